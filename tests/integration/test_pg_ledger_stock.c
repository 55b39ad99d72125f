/* SPDX-License-Identifier: Apache-2.0 */
#include "pg_fixture.h"

/* What will probably be taken is taken when the stock is read; a wrong guess is corrected. */

/* Uses the `err` of the case. */
#define OK(call) assert_result(RESULT_OK, call, &err)

static struct stock_hints hints; /* empty: what is predicted is CONFIRMED */

/* As a worker without a lock of its own does it: the stock is read with the first flush. */
static void decide_early(struct pg_ledger *l, struct batch *b)
{
	struct error err = {0};

	b->stock_early = true;
	batch_stock(b);
	OK(pg_ledger_ops.begin(l, b, &err));
	assert_true(b->stock_read);
	decide_classify(b);
	decide_allocate(b, &hints);
	OK(pg_ledger_ops.write(l, b, &err));
	OK(pg_ledger_ops.commit(l, b, &err));
}

static void after_a_right_guess_nothing_is_left_to_be_written(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr)
	struct batch *b = BATCH(&p, 0, 0, event("o-a", "k", 1, 2), event("o-b", "k", 1, 1));

	OK(decide_until_stock(l, b, &err));
	OK(pg_ledger_ops.lock_stock(l, b, &err));
	assert_int_equal(batch_find_stock(b, 1)->remaining, 100); /* before the guess */
	assert_int_equal(batch_find_stock(b, 1)->given, 3);
	decide_allocate(b, &hints);
	kill_sessions();
	OK(pg_ledger_ops.write(l, b, &err)); /* nobody is asked */
	assert_result(RESULT_RETRY, pg_ledger_ops.commit(l, b, &err), &err);
	assert_no_effect();
}

static void a_guess_beyond_the_stock_takes_nothing(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr)
	struct batch *b = BATCH(&p, 0, 0, event("o-a", "k", 2, 2), event("o-b", "k", 2, 2),
		event("o-c", "k", 2, 1), event("o-d", "k", 1, 4));

	OK(decide_all(l, b, &err));
	assert_int_equal(batch_find_stock(b, 2)->given, 0);
	assert_int_equal(batch_find_stock(b, 1)->given, 4);
	assert_sql("96,0", "SELECT string_agg(remaining::text, ',' ORDER BY id) FROM ticket_type");
	assert_sql("o-a CONFIRMED,o-b SOLD_OUT,o-c CONFIRMED,o-d CONFIRMED",
		"SELECT string_agg(order_id || ' ' || status, ',' ORDER BY order_id) FROM payment");
}

static void orders_that_existed_are_given_back(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	CLEANUP(batch_done_ptr)
	struct batch *first = BATCH(&p, 0, 0, event("o-a", "k", 1, 2), event("o-b", "k", 2, 3));

	decide_early(l, first);
	assert_sql("98,0", "SELECT string_agg(remaining::text, ',' ORDER BY id) FROM ticket_type");

	p = claim(l, 0);
	CLEANUP(batch_done_ptr)
	struct batch *again = BATCH(&p, 0, 2, event("o-a", "k", 1, 2), event("o-c", "k", 1, 5),
		event("o-b", "k", 2, 3), event("o-x", "k", 99, 1));

	decide_early(l, again);
	assert_int_equal(batch_find_stock(again, 1)->given, 7);
	assert_int_equal(batch_find_stock(again, 2)->given, 0); /* nothing was left */
	assert_int_equal(batch_find_stock(again, 99)->given, 0);
	assert_sql("93,0", "SELECT string_agg(remaining::text, ',' ORDER BY id) FROM ticket_type");
	assert_sql("o-a 0,o-b 1,o-c 3,o-x 5",
		"SELECT string_agg(order_id || ' ' || kafka_offset, ',' ORDER BY order_id)"
		" FROM payment");
}

static void what_was_predicted_to_be_sold_out_is_not_guessed(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr)
	struct batch *b = BATCH(&p, 0, 0, event("o-a", "k", 1, 2), event("o-b", "k", 1, 1));

	b->records[0].predicted = PAYMENT_SOLD_OUT;
	OK(decide_all(l, b, &err));
	assert_int_equal(batch_find_stock(b, 1)->given, 1);
	assert_sql("97,3", "SELECT string_agg(remaining::text, ',' ORDER BY id) FROM ticket_type");
	assert_sql("2", "SELECT count(*) FROM payment WHERE status = 'CONFIRMED'");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, case_setup, case_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(after_a_right_guess_nothing_is_left_to_be_written),
		CASE(a_guess_beyond_the_stock_takes_nothing),
		CASE(orders_that_existed_are_given_back),
		CASE(what_was_predicted_to_be_sold_out_is_not_guessed),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
