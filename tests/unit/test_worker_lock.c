/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fake_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

static struct fake_world *with(void **state, enum lock_scope scope, enum lock_fallback fallback)
{
	struct fake_world *w = *state;

	w->config.scope = scope;
	w->config.fallback = fallback;
	fake_consuming(w);
	w->partitions[0].committed = 0;
	fake_run_ms(w, 100); /* the first commit of an offset is out of the way */
	fake_forget(w);
	return w;
}

static void until_filling(struct fake_world *w)
{
	fake_until_saw(w, "COMMIT");
	fake_until(w, 0, "filling");
}

static void scope_stock_locks_inside_the_transaction(void **state)
{
	struct fake_world *w = with(state, LOCK_SCOPE_STOCK, LOCK_FALLBACK_DATABASE);

	fake_orders(w, 0, 1);
	until_filling(w);
	assert_string_equal(
		fake_trace(w), "begin:0@0-0 acquire:1 lock_stock write COMMIT unlock publish:0-0");
}

static void scope_transaction_locks_around_the_transaction(void **state)
{
	struct fake_world *w = with(state, LOCK_SCOPE_TRANSACTION, LOCK_FALLBACK_DATABASE);

	fake_orders(w, 0, 1);
	until_filling(w);
	assert_string_equal(
		fake_trace(w), "acquire:1 begin:0@0-0 lock_stock write COMMIT unlock publish:0-0");
}

static void provider_database_takes_no_lock(void **state)
{
	struct fake_world *w = *state;

	w->without_redis = true;
	with(state, LOCK_SCOPE_TRANSACTION, LOCK_FALLBACK_WAIT);
	fake_orders(w, 0, 1);
	until_filling(w);
	assert_string_equal(fake_trace(w), "begin:0@0-0 lock_stock write COMMIT publish:0-0");
}

static void stock_that_no_lock_comes_before_may_be_read_early(void **state)
{
	struct fake_world *w = *state;

	w->reads_early = true;
	with(state, LOCK_SCOPE_TRANSACTION, LOCK_FALLBACK_WAIT);
	fake_order(w, 0, "a", 1, 60);
	fake_order(w, 0, "b", 1, 60);
	fake_order(w, 0, "c", 9, 1);
	fake_order(w, 0, "a", 1, 60);
	until_filling(w);
	assert_string_equal(fake_trace(w), "acquire:1,9 begin:0@0-3 write COMMIT unlock publish:a "
					   "publish:b publish:c publish:a");
	assert_int_equal(fake_payment(w, "a")->status, PAYMENT_CONFIRMED);
	assert_int_equal(fake_payment(w, "b")->status, PAYMENT_SOLD_OUT);
	assert_int_equal(fake_payment(w, "c")->status, PAYMENT_UNKNOWN_TICKET_TYPE);
	assert_int_equal(w->types[0].remaining, 40);
}

static void stock_behind_the_lock_is_never_read_early(void **state)
{
	struct fake_world *w = *state;

	w->reads_early = true;
	with(state, LOCK_SCOPE_STOCK, LOCK_FALLBACK_DATABASE);
	fake_orders(w, 0, 1);
	until_filling(w);
	assert_int_equal(fake_count(w, "lock_stock"), 1);
}

static void all_types_are_locked_at_once_ascending(void **state)
{
	struct fake_world *w = with(state, LOCK_SCOPE_STOCK, LOCK_FALLBACK_DATABASE);

	fake_order(w, 0, "a", 9, 1);
	fake_order(w, 0, "b", 2, 1);
	fake_order(w, 0, "c", 9, 1);
	fake_order(w, 0, "d", 1, 1);
	until_filling(w);
	assert_int_equal(fake_count(w, "acquire:1,2,9"), 1);
}

static void letters_alone_lock_nothing(void **state)
{
	for (int scope = LOCK_SCOPE_STOCK; scope <= LOCK_SCOPE_TRANSACTION; scope++) {
		struct fake_world *w = fake_new(1);
		void *one = w;

		(void)state;
		with(&one, (enum lock_scope)scope, LOCK_FALLBACK_DATABASE);
		fake_value(w, 0, "no JSON");
		until_filling(w);
		assert_string_equal(fake_trace(w), "begin:0@0-0 write COMMIT");
		fake_free(w);
	}
}

static void duplicates_alone_lock_nothing_in_scope_stock(void **state)
{
	struct fake_world *w = with(state, LOCK_SCOPE_STOCK, LOCK_FALLBACK_DATABASE);

	fake_order(w, 0, "a", 1, 1);
	until_filling(w);
	fake_forget(w);
	fake_order(w, 0, "a", 1, 1);
	until_filling(w);
	assert_string_equal(fake_trace(w), "begin:0@1-1 write COMMIT publish:a");
}

static void in_scope_transaction_the_lock_of_duplicates_is_freed(void **state)
{
	struct fake_world *w = with(state, LOCK_SCOPE_TRANSACTION, LOCK_FALLBACK_DATABASE);

	fake_order(w, 0, "a", 1, 1);
	until_filling(w);
	fake_forget(w);
	fake_order(w, 0, "a", 1, 1);
	until_filling(w);
	assert_string_equal(fake_trace(w), "acquire:1 begin:0@1-1 write COMMIT unlock publish:a");
	assert_false(w->lock_held);
}

static void busy_is_asked_again_until_the_time_is_up_then_row_locks_decide(void **state)
{
	for (int scope = LOCK_SCOPE_STOCK; scope <= LOCK_SCOPE_TRANSACTION; scope++) {
		struct fake_world *w = fake_new(1);
		void *one = w;

		(void)state;
		with(&one, (enum lock_scope)scope, LOCK_FALLBACK_DATABASE);
		for (int i = 0; i < 4; i++)
			fake_script(w, (struct fake_answer){.call = CALL_ACQUIRE,
					       .result = RESULT_BUSY,
					       .text = "held",
					       .takes_us = 300000});
		fake_orders(w, 0, 1);

		int64_t began_us = w->now_us;

		until_filling(w);
		assert_int_equal(fake_count(w, "acquire:1"), 4);
		assert_true(w->now_us - began_us >= 1000000);
		assert_true(w->now_us - began_us < 1400000);
		assert_int_equal(fake_count(w, "unlock"), 0);
		assert_true(fake_count(w, "forget") >= 1);
		assert_int_equal(w->payment_count, 1);
		assert_int_equal(fake_snapshot(w)->lock_fallbacks, 1);
		assert_true(fake_snapshot(w)->lock_fallback);
		fake_free(w);
	}
}

static void a_lock_had_in_time_is_no_fallback(void **state)
{
	struct fake_world *w = with(state, LOCK_SCOPE_STOCK, LOCK_FALLBACK_DATABASE);

	fake_answers(w, 3, CALL_ACQUIRE, RESULT_BUSY, NULL, "held");
	fake_orders(w, 0, 1);
	until_filling(w);
	assert_int_equal(fake_count(w, "acquire:1"), 4);
	assert_int_equal(fake_count(w, "unlock"), 1);
	assert_int_equal(fake_snapshot(w)->lock_fallbacks, 0);
}

static void redis_that_does_not_answer_is_not_waited_for(void **state)
{
	struct fake_world *w = with(state, LOCK_SCOPE_STOCK, LOCK_FALLBACK_DATABASE);

	fake_answers(w, 2, CALL_ACQUIRE, RESULT_RETRY, NULL, "Redis: connection refused");
	fake_orders(w, 0, 1);
	until_filling(w);
	assert_int_equal(fake_count(w, "acquire:1"), 1);
	fake_orders(w, 0, 1);
	fake_settled(w);
	assert_int_equal(fake_snapshot(w)->lock_fallbacks, 2);
	assert_int_equal(fake_logged(w, LOG_EVENT_LOCK_FALLBACK), 1); /* not once a batch */
	assert_true(fake_snapshot(w)->lock_fallback);
	fake_orders(w, 0, 1); /* Redis is back */
	fake_settled(w);
	assert_false(fake_snapshot(w)->lock_fallback);
	assert_int_equal(w->payment_count, 3);
}

static void fallback_wait_rolls_back_holds_and_tries_again(void **state)
{
	static const enum result answers[] = {RESULT_BUSY, RESULT_RETRY};
	static const enum wait_cause causes[] = {WAIT_LOCK, WAIT_REDIS};

	for (int i = 0; i < 4; i++) {
		struct fake_world *w = fake_new(1);
		void *one = w;

		(void)state;
		with(&one, i < 2 ? LOCK_SCOPE_STOCK : LOCK_SCOPE_TRANSACTION, LOCK_FALLBACK_WAIT);
		for (int k = 0; k < 3; k++)
			fake_script(w, (struct fake_answer){.call = CALL_ACQUIRE,
					       .result = answers[i % 2],
					       .text = "why",
					       .takes_us = 1000000});
		fake_orders(w, 0, 1);
		fake_until(w, 0, "holding");
		assert_int_equal(fake_snapshot(w)->wait, causes[i % 2]);
		assert_string_equal(fake_snapshot(w)->wait_text, "why");
		assert_false(w->in_transaction);
		assert_int_equal(fake_count(w, "COMMIT"), 0);
		until_filling(w);
		assert_int_equal(fake_count(w, "acquire:1"), 4);
		assert_int_equal(fake_count(w, "unlock"), 1);
		assert_int_equal(fake_snapshot(w)->lock_fallbacks, 0);
		assert_int_equal(w->payment_count, 1);
		fake_free(w);
	}
}

static void the_wait_begins_anew_with_each_attempt(void **state)
{
	struct fake_world *w = with(state, LOCK_SCOPE_TRANSACTION, LOCK_FALLBACK_WAIT);

	fake_script(w, (struct fake_answer){
			       .call = CALL_ACQUIRE, .result = RESULT_BUSY, .takes_us = 1500000});
	fake_script(w, (struct fake_answer){
			       .call = CALL_ACQUIRE, .result = RESULT_BUSY, .takes_us = 500000});
	fake_orders(w, 0, 1);
	until_filling(w);
	/* the second attempt has a second of its own, so it may ask once more */
	assert_int_equal(fake_count(w, "acquire:1"), 3);
}

static void a_lease_that_ran_out_is_counted_and_said_and_the_commit_stands(void **state)
{
	for (int scope = LOCK_SCOPE_STOCK; scope <= LOCK_SCOPE_TRANSACTION; scope++) {
		struct fake_world *w = fake_new(1);
		void *one = w;

		(void)state;
		with(&one, (enum lock_scope)scope, LOCK_FALLBACK_DATABASE);
		fake_script(w, (struct fake_answer){.call = CALL_WRITE, .takes_us = 6000001});
		fake_orders(w, 0, 1);
		until_filling(w);
		assert_int_equal(fake_snapshot(w)->leases_expired, 1);
		assert_int_equal(fake_logged(w, LOG_EVENT_LEASE_EXPIRED), 1);
		assert_int_equal(w->payment_count, 1);
		assert_int_equal(fake_count(w, "unlock"), 1);
		fake_free(w);
	}
}

static void a_lease_just_in_time_is_not_counted(void **state)
{
	struct fake_world *w = with(state, LOCK_SCOPE_STOCK, LOCK_FALLBACK_DATABASE);

	fake_script(w, (struct fake_answer){.call = CALL_WRITE, .takes_us = 6000000});
	fake_orders(w, 0, 1);
	until_filling(w);
	assert_int_equal(fake_snapshot(w)->leases_expired, 0);
}

/* Whatever ends the transaction: the lock is freed, the transaction closed. */
static void the_lock_is_freed_on_every_way_out(void **state)
{
	static const struct {
		enum fake_call call;
		enum result result;
	} ways[] = {
		{CALL_BEGIN, RESULT_RETRY},
		{CALL_BEGIN, RESULT_FENCED},
		{CALL_LOCK_STOCK, RESULT_RETRY},
		{CALL_LOCK_STOCK, RESULT_FENCED},
		{CALL_WRITE, RESULT_RETRY},
		{CALL_WRITE, RESULT_FATAL},
		{CALL_COMMIT, RESULT_RETRY},
		{CALL_COMMIT, RESULT_FENCED},
		{CALL_COMMIT, RESULT_IN_DOUBT},
		{CALL_BEGIN, RESULT_FATAL},
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(ways) / sizeof(ways[0]); i++) {
		struct fake_world *w = fake_new(1);
		void *one = w;

		with(&one, i % 2 ? LOCK_SCOPE_TRANSACTION : LOCK_SCOPE_STOCK,
			LOCK_FALLBACK_DATABASE);
		fake_answer(w, ways[i / 2].call, ways[i / 2].result, "40P01", "scripted");
		fake_orders(w, 0, 1);
		fake_until_saw(w, "abort");
		assert_false(w->lock_held);
		assert_false(w->in_transaction);
		assert_int_equal(fake_count_prefix(w, "acquire"), fake_count(w, "unlock"));
		fake_free(w);
	}
}

static void while_one_partition_holds_the_lock_no_other_steps(void **state)
{
	(void)state;
	struct fake_world *w = fake_new(2);

	w->config.scope = LOCK_SCOPE_TRANSACTION;
	fake_consuming(w);
	fake_orders(w, 0, 1);
	fake_orders(w, 1, 1);
	fake_settled(w);
	/* each transaction is whole before the next begins; the fake aborts on anything else */
	assert_int_equal(fake_count(w, "COMMIT"), 2);
	assert_int_equal(fake_count(w, "unlock"), 2);
	fake_free(w);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
	const struct CMUnitTest tests[] = {
		CASE(scope_stock_locks_inside_the_transaction),
		CASE(scope_transaction_locks_around_the_transaction),
		CASE(provider_database_takes_no_lock),
		CASE(stock_that_no_lock_comes_before_may_be_read_early),
		CASE(stock_behind_the_lock_is_never_read_early),
		CASE(all_types_are_locked_at_once_ascending),
		cmocka_unit_test(letters_alone_lock_nothing),
		CASE(duplicates_alone_lock_nothing_in_scope_stock),
		CASE(in_scope_transaction_the_lock_of_duplicates_is_freed),
		cmocka_unit_test(busy_is_asked_again_until_the_time_is_up_then_row_locks_decide),
		CASE(a_lock_had_in_time_is_no_fallback),
		CASE(redis_that_does_not_answer_is_not_waited_for),
		cmocka_unit_test(fallback_wait_rolls_back_holds_and_tries_again),
		CASE(the_wait_begins_anew_with_each_attempt),
		cmocka_unit_test(a_lease_that_ran_out_is_counted_and_said_and_the_commit_stands),
		CASE(a_lease_just_in_time_is_not_counted),
		cmocka_unit_test(the_lock_is_freed_on_every_way_out),
		cmocka_unit_test(while_one_partition_holds_the_lock_no_other_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
