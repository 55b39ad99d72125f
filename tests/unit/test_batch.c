/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/batch.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

static void append_raw(struct batch *b, const struct raw_record *raw)
{
	struct error err;

	assert_int_equal(batch_append(b, raw, 1000, &err), RESULT_OK);
}

static void append(struct batch *b, int64_t offset, const char *order_id, int64_t type)
{
	char value[300];
	int n = snprintf(value, sizeof(value),
		"{\"orderId\":\"%s\",\"paymentKey\":\"k\",\"amount\":1,\"ticketTypeId\":%" PRId64
		",\"memberId\":1}",
		order_id, type);

	append_raw(b, &(struct raw_record){.offset = offset,
			      .timestamp_ms = 1000 + offset,
			      .value = {.data = value, .length = (size_t)n}});
	memset(value, 'x', sizeof(value)); /* the batch has its own copy */
}

static bool is(struct bytes b, const char *s)
{
	return bytes_equal(b, (struct bytes){.data = s, .length = strlen(s)});
}

static struct bytes candidate_id(const struct batch *b, size_t i)
{
	return b->records[b->candidates[i].record].event.order_id;
}

static int make(void **state)
{
	*state = batch_new(16);
	return *state ? 0 : -1;
}

static int unmake(void **state)
{
	batch_free(*state);
	batch_free(NULL);
	return 0;
}

static void a_record_is_kept_whole_and_copied(void **state)
{
	struct batch *b = *state;
	char key[] = "a\0key", headers[] = "h\0h", value[] = "no JSON";

	append_raw(b, &(struct raw_record){.offset = 7,
			      .timestamp_ms = -1,
			      .key = {.data = key, .length = 5},
			      .value = {.data = value, .length = 7},
			      .headers = {.data = headers, .length = 3}});
	memset(key, 0, sizeof(key));
	memset(headers, 0, sizeof(headers));
	memset(value, 0, sizeof(value));

	const struct record *r = &b->records[0];

	assert_int_equal(r->offset, 7);
	assert_int_equal(r->timestamp_ms, -1);
	assert_memory_equal(r->key.data, "a\0key", 5);
	assert_memory_equal(r->headers.data, "h\0h", 3);
	assert_true(is(r->value, "no JSON"));
	assert_int_equal(r->refusal, REFUSAL_BAD_JSON);
	assert_int_equal(r->remaining, -1);
	assert_int_equal(b->bytes, 5 + 7 + 3);
	assert_int_equal(b->count, 1);
}

static void of_a_too_large_value_the_prefix_and_the_length_are_kept(void **state)
{
	struct batch *b = *state;
	static char value[5000];

	memset(value, '{', sizeof(value));
	append_raw(b, &(struct raw_record){.value = {.data = value, .length = sizeof(value)}});
	assert_int_equal(b->records[0].refusal, REFUSAL_TOO_LARGE);
	assert_int_equal(b->records[0].value.length, 1000);
	assert_int_equal(b->records[0].value_bytes, 5000);
	assert_int_equal(b->bytes, 1000);
}

static void a_tombstone_is_kept_as_one(void **state)
{
	struct batch *b = *state;

	append_raw(b, &(struct raw_record){.offset = 1});
	assert_null(b->records[0].value.data);
	assert_null(b->records[0].key.data);
	assert_null(b->records[0].headers.data);
	assert_int_equal(b->records[0].refusal, REFUSAL_EMPTY_VALUE);
}

static void candidates_are_the_first_of_each_order_sorted_by_bytes(void **state)
{
	struct batch *b = *state;

	append(b, 10, "b", 1);
	append(b, 11, "a", 1);
	append(b, 12, "B", 1);
	append(b, 13, "a", 1);
	append(b, 14, "ab", 1);
	append(b, 15, "b", 1);
	batch_slice(b, 0, 6);
	assert_int_equal(b->candidate_count, 4);
	assert_true(is(candidate_id(b, 0), "B"));
	assert_true(is(candidate_id(b, 1), "a"));
	assert_true(is(candidate_id(b, 2), "ab"));
	assert_true(is(candidate_id(b, 3), "b"));
	assert_int_equal(b->candidates[1].record, 1);
	assert_int_equal(b->candidates[3].record, 0);
	assert_int_equal(b->records[3].candidate, 1);
	assert_int_equal(b->records[5].candidate, 3);
}

static void order_ids_with_much_in_common_are_told_apart_by_every_byte(void **state)
{
	static const char *const ids[] = {"order-2026-000000001", "order-2026-000000000",
		"order-2026-00000000", "order-2026-0000000000",
		"order-2026-000000000=", "order-2026-000000000.z.z.z.zb",
		"order-2026-000000000.z.z.z.za"};
	static const uint32_t sorted[] = {2, 1, 6, 5, 3, 4, 0};
	struct batch *b = *state;

	for (int i = 0; i < 7; i++)
		append(b, i, ids[i], 1);
	batch_slice(b, 0, 7);
	assert_int_equal(b->candidate_count, 7);
	for (int i = 0; i < 7; i++)
		assert_int_equal(b->candidates[i].record, sorted[i]);
}

static void refused_records_are_no_candidates(void **state)
{
	struct batch *b = *state;

	append_raw(b, &(struct raw_record){.offset = 1});
	append(b, 2, "a", 1);
	batch_slice(b, 0, 2);
	assert_int_equal(b->candidate_count, 1);
	assert_int_equal(b->candidates[0].record, 1);
}

static void a_slice_knows_where_it_ends(void **state)
{
	struct batch *b = *state;

	append(b, 10, "a", 1);
	append(b, 20, "b", 1);
	append(b, 30, "c", 1);
	batch_slice(b, 1, 1);
	assert_int_equal(b->next, 21);
	assert_int_equal(b->last_record_at_ms, 1020);
	assert_int_equal(b->candidate_count, 1);
	assert_int_equal(b->candidates[0].record, 1);
	assert_ptr_equal(batch_record(b, 0), &b->records[1]);
	batch_slice(b, 0, 3);
	assert_int_equal(b->next, 31);
	assert_int_equal(b->candidate_count, 3);
}

static void a_new_slice_forgets_what_an_attempt_decided(void **state)
{
	struct batch *b = *state;

	append(b, 1, "a", 1);
	batch_slice(b, 0, 1);
	batch_stock(b);
	b->decided_at_us = 5;
	b->candidates[0].exists = true;
	b->records[0].verdict = VERDICT_CONFLICT;
	b->records[0].predicted = b->records[0].status = PAYMENT_SOLD_OUT;
	b->records[0].remaining = 9;
	b->records[0].decided_at_us = 5;
	b->records[0].first_payment_key = BYTES_LITERAL("k");
	batch_slice(b, 0, 1);
	assert_int_equal(b->decided_at_us, 0);
	assert_int_equal(b->stock_count, 0);
	assert_false(b->candidates[0].exists);
	assert_int_equal(b->records[0].verdict, VERDICT_NONE);
	assert_int_equal(b->records[0].predicted, PAYMENT_CONFIRMED);
	assert_int_equal(b->records[0].status, PAYMENT_CONFIRMED);
	assert_int_equal(b->records[0].remaining, -1);
	assert_int_equal(b->records[0].decided_at_us, 0);
	assert_null(b->records[0].first_payment_key.data);
}

static void stock_has_each_type_once_in_ascending_order(void **state)
{
	struct batch *b = *state;
	const int64_t types[] = {9, 9, 2, 9, INT64_MAX, 2, 1};

	for (int i = 0; i < 7; i++)
		append(b, i, (char[]){(char)('g' - i), '\0'}, types[i]);
	batch_slice(b, 0, 7);
	batch_stock(b);
	assert_int_equal(b->stock_count, 4);
	assert_int_equal(b->stock[0].id, 1);
	assert_int_equal(b->stock[1].id, 2);
	assert_int_equal(b->stock[2].id, 9);
	assert_int_equal(b->stock[3].id, INT64_MAX);
	assert_ptr_equal(batch_find_stock(b, 9), &b->stock[2]);
	assert_null(batch_find_stock(b, 3));
	assert_false(b->stock[0].known);
}

static void types_of_orders_that_exist_are_not_locked(void **state)
{
	struct batch *b = *state;

	append(b, 1, "a", 1);
	append(b, 2, "b", 2);
	batch_slice(b, 0, 2);
	b->candidates[0].exists = true;
	batch_stock(b);
	assert_int_equal(b->stock_count, 1);
	assert_int_equal(b->stock[0].id, 2);
	b->candidates[1].exists = true;
	batch_stock(b);
	assert_int_equal(b->stock_count, 0);
	assert_null(batch_find_stock(b, 2));
}

static void a_rejected_record_becomes_a_letter_in_the_next_slice(void **state)
{
	struct batch *b = *state;
	char detail[] = "SQLSTATE 22003";

	append(b, 1, "a", 1);
	batch_slice(b, 0, 1);
	batch_reject(b, 0, detail);
	memset(detail, 'x', sizeof(detail) - 1);
	batch_slice(b, 0, 1);
	assert_int_equal(b->records[0].refusal, REFUSAL_DB_REJECTED);
	assert_string_equal(b->records[0].detail, "SQLSTATE 22003");
	assert_int_equal(b->candidate_count, 0);
}

static void a_cleared_batch_takes_records_again(void **state)
{
	struct batch *b = *state;

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 16; i++)
			append(b, i, (char[]){(char)('a' + i), '\0'}, 1);
		batch_slice(b, 0, 16);
		batch_stock(b);
		assert_int_equal(b->candidate_count, 16);
		batch_clear(b);
		assert_int_equal(b->count, 0);
		assert_int_equal(b->bytes, 0);
		assert_int_equal(b->length, 0);
		assert_int_equal(b->candidate_count, 0);
		assert_int_equal(b->stock_count, 0);
	}
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, make, unmake)
	const struct CMUnitTest tests[] = {
		CASE(a_record_is_kept_whole_and_copied),
		CASE(of_a_too_large_value_the_prefix_and_the_length_are_kept),
		CASE(a_tombstone_is_kept_as_one),
		CASE(candidates_are_the_first_of_each_order_sorted_by_bytes),
		CASE(order_ids_with_much_in_common_are_told_apart_by_every_byte),
		CASE(refused_records_are_no_candidates),
		CASE(a_slice_knows_where_it_ends),
		CASE(a_new_slice_forgets_what_an_attempt_decided),
		CASE(stock_has_each_type_once_in_ascending_order),
		CASE(types_of_orders_that_exist_are_not_locked),
		CASE(a_rejected_record_becomes_a_letter_in_the_next_slice),
		CASE(a_cleared_batch_takes_records_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
