/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/decide.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

static struct stock_hints hints;

static int make(void **state)
{
	memset(&hints, 0, sizeof(hints));
	*state = batch_new(64);
	return *state ? 0 : -1;
}

static int unmake(void **state)
{
	batch_free(*state);
	return 0;
}

static void append(
	struct batch *b, const char *order_id, const char *payment_key, int64_t type, int quantity)
{
	char value[300];
	struct error err;
	int n = snprintf(value, sizeof(value),
		"{\"orderId\":\"%s\",\"paymentKey\":\"%s\",\"amount\":1,\"ticketTypeId\":%" PRId64
		",\"memberId\":1,\"quantity\":%d}",
		order_id, payment_key, type, quantity);

	assert_int_equal(batch_append(b,
				 &(struct raw_record){.offset = (int64_t)(10 + b->count),
					 .value = {.data = value, .length = (size_t)n}},
				 1000, &err),
		RESULT_OK);
}

static void append_bad(struct batch *b)
{
	struct error err;

	assert_int_equal(batch_append(b, &(struct raw_record){.offset = (int64_t)(10 + b->count)},
				 1000, &err),
		RESULT_OK);
}

/* What the ledger does: the rows that exist have been marked, the stock is read. */
static void decide(struct batch *b, int64_t type, int64_t remaining)
{
	b->decided_at_us = 77;
	decide_classify(b);
	batch_stock(b);

	struct stock *s = batch_find_stock(b, type);

	if (s)
		*s = (struct stock){.id = type, .known = true, .remaining = remaining};
	decide_allocate(b, &hints);
}

static void exists(struct batch *b, size_t candidate, const char *payment_key,
	enum payment_status status, int32_t partition, int64_t offset)
{
	struct candidate *c = &b->candidates[candidate];

	c->exists = true;
	*batch_row(b, c) = (struct payment_row){.event = b->records[c->record].event,
		.status = status,
		.partition = partition,
		.offset = offset,
		.decided_at_us = 55};
	batch_row(b, c)->event.payment_key =
		(struct bytes){.data = payment_key, .length = strlen(payment_key)};
}

#define assert_record(b, i, v, s, left)                                                            \
	do {                                                                                       \
		assert_int_equal((b)->records[i].verdict, v);                                      \
		assert_int_equal((b)->records[i].status, s);                                       \
		assert_int_equal((b)->records[i].remaining, left);                                 \
	} while (0)

static void tickets_go_in_offset_order_not_in_order_of_ids(void **state)
{
	struct batch *b = *state;

	append(b, "z", "k", 1, 1);
	append(b, "a", "k", 1, 1);
	batch_slice(b, 0, 2);
	decide(b, 1, 1);
	assert_record(b, 0, VERDICT_FRESH, PAYMENT_CONFIRMED, 0);
	assert_record(b, 1, VERDICT_FRESH, PAYMENT_SOLD_OUT, 0);
	assert_int_equal(batch_find_stock(b, 1)->taken, 1);
}

static void a_smaller_order_behind_one_that_does_not_fit_is_confirmed(void **state)
{
	struct batch *b = *state;

	append(b, "a", "k", 1, 2);
	append(b, "b", "k", 1, 5);
	append(b, "c", "k", 1, 1);
	append(b, "d", "k", 1, 1);
	batch_slice(b, 0, 4);
	decide(b, 1, 3);
	assert_record(b, 0, VERDICT_FRESH, PAYMENT_CONFIRMED, 1);
	assert_record(b, 1, VERDICT_FRESH, PAYMENT_SOLD_OUT, 1);
	assert_record(b, 2, VERDICT_FRESH, PAYMENT_CONFIRMED, 0);
	assert_record(b, 3, VERDICT_FRESH, PAYMENT_SOLD_OUT, 0);
	assert_int_equal(batch_find_stock(b, 1)->taken, 3);
	assert_int_equal(batch_find_stock(b, 1)->remaining, 0);
}

static void without_the_type_nothing_is_taken(void **state)
{
	struct batch *b = *state;

	append(b, "a", "k", 8, 1);
	append(b, "b", "k", 1, 1);
	batch_slice(b, 0, 2);
	decide(b, 1, 5);
	assert_record(b, 0, VERDICT_FRESH, PAYMENT_UNKNOWN_TICKET_TYPE, -1);
	assert_record(b, 1, VERDICT_FRESH, PAYMENT_CONFIRMED, 4);
	assert_int_equal(batch_find_stock(b, 8)->taken, 0);
}

static void the_same_order_twice_in_a_batch_takes_once(void **state)
{
	struct batch *b = *state;

	append(b, "a", "k", 1, 3);
	append(b, "a", "k", 1, 3);
	batch_slice(b, 0, 2);
	decide(b, 1, 3);
	assert_record(b, 0, VERDICT_FRESH, PAYMENT_CONFIRMED, 0);
	assert_record(b, 1, VERDICT_DUPLICATE, PAYMENT_CONFIRMED, -1);
	assert_int_equal(b->records[1].decided_at_us, 77);
	assert_int_equal(batch_find_stock(b, 1)->taken, 3);
}

static void other_content_in_a_batch_is_a_conflict_with_the_first(void **state)
{
	struct batch *b = *state;

	append(b, "a", "first", 1, 1);
	append(b, "a", "second", 1, 1);
	append(b, "a", "first", 1, 2);
	batch_slice(b, 0, 3);
	decide(b, 1, 9);
	assert_record(b, 0, VERDICT_FRESH, PAYMENT_CONFIRMED, 8);
	assert_record(b, 1, VERDICT_CONFLICT, PAYMENT_CONFIRMED, -1);
	assert_record(b, 2, VERDICT_CONFLICT, PAYMENT_CONFIRMED, -1);
	assert_true(bytes_equal(b->records[1].first_payment_key, BYTES_LITERAL("first")));
	assert_int_equal(batch_find_stock(b, 1)->taken, 1);
}

static void a_row_that_stands_repeats_its_status_and_time(void **state)
{
	struct batch *b = *state;

	append(b, "a", "k", 1, 1);
	append(b, "a", "k", 1, 1);
	batch_slice(b, 0, 2);
	exists(b, 0, "k", PAYMENT_SOLD_OUT, 3, 99);
	decide(b, 1, 100);
	assert_record(b, 0, VERDICT_DUPLICATE, PAYMENT_SOLD_OUT, -1);
	assert_record(b, 1, VERDICT_DUPLICATE, PAYMENT_SOLD_OUT, -1);
	assert_int_equal(b->records[0].decided_at_us, 55);
	assert_int_equal(b->stock_count, 0);
}

static void a_row_with_other_content_is_a_conflict_with_its_payment_key(void **state)
{
	struct batch *b = *state;

	append(b, "a", "k", 1, 1);
	batch_slice(b, 0, 1);
	exists(b, 0, "other", PAYMENT_CONFIRMED, 0, 10);
	decide(b, 1, 100);
	assert_record(b, 0, VERDICT_CONFLICT, PAYMENT_CONFIRMED, -1);
	assert_true(bytes_equal(b->records[0].first_payment_key, BYTES_LITERAL("other")));
}

static void the_rows_own_record_is_no_duplicate(void **state)
{
	struct batch *b = *state;

	append(b, "a", "k", 1, 1);
	b->partition = 2;
	batch_slice(b, 0, 1);
	exists(b, 0, "k", PAYMENT_CONFIRMED, 2, 10);
	decide(b, 1, 100);
	assert_record(b, 0, VERDICT_FRESH, PAYMENT_CONFIRMED, -1);
	batch_slice(b, 0, 1);
	exists(b, 0, "k", PAYMENT_CONFIRMED, 1, 10); /* the same offset of another partition */
	decide(b, 1, 100);
	assert_int_equal(b->records[0].verdict, VERDICT_DUPLICATE);
	batch_slice(b, 0, 1);
	exists(b, 0, "k", PAYMENT_CONFIRMED, 2, 9);
	decide(b, 1, 100);
	assert_int_equal(b->records[0].verdict, VERDICT_DUPLICATE);
}

static void a_refused_record_touches_nobody(void **state)
{
	struct batch *b = *state;

	append_bad(b);
	append(b, "a", "k", 1, 1);
	append_bad(b);
	batch_slice(b, 0, 3);
	decide(b, 1, 1);
	assert_record(b, 0, VERDICT_REFUSED, PAYMENT_CONFIRMED, -1);
	assert_int_equal(b->records[0].decided_at_us, 77);
	assert_record(b, 1, VERDICT_FRESH, PAYMENT_CONFIRMED, 0);
}

static void predictions_follow_the_stock_last_seen(void **state)
{
	struct batch *b = *state;

	append(b, "a", "k", 1, 3);
	append(b, "b", "k", 8, 1);
	append(b, "c", "k", 2, 1);
	append(b, "d", "k", 1, 2);
	append_bad(b);
	batch_slice(b, 0, 5);
	decide_predict(b, &hints); /* nothing seen yet: confirmed */
	for (int i = 0; i < 5; i++)
		assert_int_equal(b->records[i].predicted, PAYMENT_CONFIRMED);
	decide(b, 1, 5); /* 2 left; 8 and 2 are not known */
	batch_slice(b, 0, 5);
	decide_predict(b, &hints);
	assert_int_equal(b->records[0].predicted, PAYMENT_SOLD_OUT);
	assert_int_equal(b->records[1].predicted, PAYMENT_UNKNOWN_TICKET_TYPE);
	assert_int_equal(b->records[2].predicted, PAYMENT_UNKNOWN_TICKET_TYPE);
	assert_int_equal(b->records[3].predicted, PAYMENT_SOLD_OUT);
}

static void predictions_count_down_within_a_batch(void **state)
{
	struct batch *b = *state;

	append(b, "a", "k", 1, 1);
	batch_slice(b, 0, 1);
	decide(b, 1, 4); /* 3 left */
	batch_clear(b);
	append(b, "b", "k", 1, 2);
	append(b, "c", "k", 1, 2);
	append(b, "d", "k", 1, 1);
	batch_slice(b, 0, 3);
	for (int again = 0; again < 2; again++) { /* a guess leaves what was seen as it is */
		decide_predict(b, &hints);
		assert_int_equal(b->records[0].predicted, PAYMENT_CONFIRMED);
		assert_int_equal(b->records[1].predicted, PAYMENT_SOLD_OUT);
		assert_int_equal(b->records[2].predicted, PAYMENT_CONFIRMED);
		batch_slice(b, 0, 3);
	}
}

static void hints_of_another_type_in_the_same_slot_say_nothing(void **state)
{
	struct batch *b = *state;

	append(b, "a", "k", 1, 1);
	batch_slice(b, 0, 1);
	decide(b, 1, 1);
	batch_clear(b);
	append(b, "b", "k", 1 + STOCK_HINTS, 1);
	batch_slice(b, 0, 1);
	decide_predict(b, &hints);
	assert_int_equal(b->records[0].predicted, PAYMENT_CONFIRMED);
}

static void the_largest_ids_have_a_slot(void **state)
{
	struct batch *b = *state;

	append(b, "a", "k", INT64_MAX, 1);
	batch_slice(b, 0, 1);
	decide(b, INT64_MAX, 1);
	assert_record(b, 0, VERDICT_FRESH, PAYMENT_CONFIRMED, 0);
	batch_slice(b, 0, 1);
	decide_predict(b, &hints);
	assert_int_equal(b->records[0].predicted, PAYMENT_SOLD_OUT);
}

static void the_tally_counts_each_record_once(void **state)
{
	struct batch *b = *state;

	append(b, "a", "k", 1, 1);
	append(b, "a", "k", 1, 1);
	append(b, "a", "other", 1, 1);
	append(b, "b", "k", 8, 1);
	append_bad(b);
	append(b, "c", "k", 1, 1);
	append(b, "d", "k", 1, 1);
	batch_slice(b, 0, 7);
	decide(b, 1, 9);
	b->records[5].verdict = VERDICT_SILENT;
	b->records[6].verdict = VERDICT_NONE;

	struct tally t = decide_tally(b);

	assert_int_equal(t.fresh, 2);
	assert_int_equal(t.duplicates, 1);
	assert_int_equal(t.conflicts, 1);
	assert_int_equal(t.refused, 1);
	assert_int_equal(t.unknown_type, 1);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, make, unmake)
	const struct CMUnitTest tests[] = {
		CASE(tickets_go_in_offset_order_not_in_order_of_ids),
		CASE(a_smaller_order_behind_one_that_does_not_fit_is_confirmed),
		CASE(without_the_type_nothing_is_taken),
		CASE(the_same_order_twice_in_a_batch_takes_once),
		CASE(other_content_in_a_batch_is_a_conflict_with_the_first),
		CASE(a_row_that_stands_repeats_its_status_and_time),
		CASE(a_row_with_other_content_is_a_conflict_with_its_payment_key),
		CASE(the_rows_own_record_is_no_duplicate),
		CASE(a_refused_record_touches_nobody),
		CASE(predictions_follow_the_stock_last_seen),
		CASE(predictions_count_down_within_a_batch),
		CASE(hints_of_another_type_in_the_same_slot_say_nothing),
		CASE(the_largest_ids_have_a_slot),
		CASE(the_tally_counts_each_record_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
