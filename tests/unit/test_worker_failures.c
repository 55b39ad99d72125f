/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fake_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

static struct fake_world *consuming(void **state)
{
	struct fake_world *w = *state;

	w->without_redis = true; /* the lock has cases of its own */
	fake_consuming(w);
	fake_run_ms(w, 100);
	fake_forget(w);
	return w;
}

static const enum fake_call transaction[] = {CALL_BEGIN, CALL_LOCK_STOCK, CALL_WRITE, CALL_COMMIT};
enum { CALLS = sizeof(transaction) / sizeof(transaction[0]) };

static void a_transient_failure_holds_and_takes_the_same_records_again(void **state)
{
	(void)state;
	for (int i = 0; i < CALLS; i++) {
		struct fake_world *w = fake_new(1);
		void *one = w;

		consuming(&one);
		fake_answer(w, transaction[i], RESULT_RETRY, NULL, "connection lost");
		fake_orders(w, 0, 5);
		fake_until(w, 0, "holding");
		assert_int_equal(fake_count(w, "abort"), 1);
		assert_int_equal(w->payment_count, 0);
		assert_int_equal(fake_count_prefix(w, "publish:"), 0);
		assert_int_equal(fake_snapshot(w)->wait, WAIT_DATABASE);
		assert_string_equal(fake_snapshot(w)->wait_text, "connection lost");
		fake_settled(w);
		assert_int_equal(fake_count(w, "begin:0@0-4"), 2);
		assert_int_equal(w->payment_count, 5);
		assert_int_equal(w->types[0].remaining, 95);
		assert_int_equal(fake_snapshot(w)->wait, WAIT_NOTHING);
		assert_int_equal(fake_logged(w, LOG_EVENT_RECOVERED), 1);
		fake_free(w);
	}
}

static void the_backoff_grows_to_its_cap_and_starts_over_after_success(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answers(w, 10, CALL_BEGIN, RESULT_RETRY, NULL, "connection refused");
	fake_orders(w, 0, 1);

	int64_t began_us = w->now_us;

	fake_settled(w);
	/* 25 + 50 + ... + 800 + 4 * 1000 ms, and the polls' rounding */
	assert_in_range(w->now_us - began_us, 5575000, 5700000);
	assert_int_equal(fake_logged(w, LOG_EVENT_HELD), 1);

	fake_answer(w, CALL_BEGIN, RESULT_RETRY, NULL, "connection refused");
	fake_orders(w, 0, 1);
	began_us = w->now_us;
	fake_settled(w);
	assert_true(w->now_us - began_us < 400000);
}

static void a_held_batch_is_described_in_the_log(void **state)
{
	struct fake_world *w = consuming(state);
	const struct log_entry *e;

	fake_answer(w, CALL_WRITE, RESULT_RETRY, "53100", "disk full");
	fake_orders(w, 0, 3);
	fake_until(w, 0, "holding");
	e = fake_entry(w, LOG_EVENT_HELD);
	assert_int_equal(e->level, LOG_LEVEL_WARNING);
	assert_int_equal(e->partition, 0);
	assert_int_equal(e->first_offset, 0);
	assert_int_equal(e->last_offset, 2);
	assert_int_equal(e->attempt, 1);
	assert_int_equal(e->ticket_type, 1);
	assert_true(e->batch_id > 0);
	assert_string_equal(e->topic, FAKE_TOPIC);
}

static void three_answered_failures_halve_the_batch(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answers(w, 3, CALL_COMMIT, RESULT_RETRY, "40P01", "deadlock detected");
	fake_orders(w, 0, 8);
	fake_settled(w);
	assert_int_equal(fake_count(w, "begin:0@0-7"), 3);
	assert_int_equal(fake_count(w, "begin:0@0-3"), 1);
	assert_int_equal(fake_count(w, "begin:0@4-7"), 1);
	assert_int_equal(w->payment_count, 8);
}

static void two_answered_failures_do_not_halve(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answers(w, 2, CALL_LOCK_STOCK, RESULT_RETRY, "55P03", "lock timeout");
	fake_orders(w, 0, 8);
	fake_settled(w);
	assert_int_equal(fake_count(w, "begin:0@0-7"), 3);
	assert_int_equal(fake_count_prefix(w, "begin"), 3);
}

static void lost_connections_never_halve(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answers(w, 9, CALL_BEGIN, RESULT_RETRY, NULL, "connection refused");
	fake_orders(w, 0, 8);
	fake_settled(w);
	assert_int_equal(fake_count(w, "begin:0@0-7"), 10);
	assert_int_equal(fake_count_prefix(w, "begin"), 10);
}

static void lost_connections_in_between_do_not_count_as_answers(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answers(w, 2, CALL_BEGIN, RESULT_RETRY, "57014", "statement timeout");
	fake_answers(w, 5, CALL_BEGIN, RESULT_RETRY, NULL, "connection refused");
	fake_orders(w, 0, 8);
	fake_settled(w);
	assert_int_equal(fake_count(w, "begin:0@0-7"), 8);
	assert_int_equal(fake_count_prefix(w, "begin"), 8);
}

static void a_batch_that_keeps_failing_ends_at_one_record_and_grows_again(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answers(w, 12, CALL_WRITE, RESULT_RETRY, "57014", "statement timeout");
	fake_orders(w, 0, 8);
	fake_settled(w);
	assert_true(fake_count(w, "begin:0@0-0") > 1);
	assert_int_equal(w->payment_count, 8);
	fake_orders(w, 0, 60);
	fake_settled(w);
	fake_forget(w);
	fake_orders(w, 0, 50);
	fake_settled(w);
	assert_int_equal(fake_count_prefix(w, "begin"), 1);
}

static void a_rejected_row_is_found_by_halving_without_waiting(void **state)
{
	struct fake_world *w = consuming(state);

	strcpy(w->refused_order, "0-5");
	fake_orders(w, 0, 8);

	int64_t began_us = w->now_us;

	fake_until(w, 0, "publishing");
	for (int i = 0; i < 100 && w->partitions[0].row.next_offset < 8; i++)
		fake_step(w);
	assert_true(w->now_us - began_us < 10000); /* no backoff */
	fake_settled(w);
	assert_int_equal(w->payment_count, 7);
	assert_null(fake_payment(w, "0-5"));
	assert_int_equal(w->letter_count, 1);
	assert_int_equal(w->letters[0].offset, 5);
	assert_int_equal(w->letters[0].reason, REFUSAL_DB_REJECTED);
	assert_non_null(strstr(w->letters[0].detail, "22003"));
	assert_int_equal(fake_snapshot(w)->refused, 1);
	assert_int_equal(fake_snapshot(w)->fresh, 7);
	assert_int_equal(fake_count(w, "publish:0-5"), 0);
	assert_int_equal(fake_logged(w, LOG_EVENT_REFUSED), 1);
}

static void only_rejected_rows_all_become_letters(void **state)
{
	struct fake_world *w = consuming(state);

	strcpy(w->refused_order, "same");
	for (int i = 0; i < 4; i++)
		fake_order(w, 0, "same", 1, 1);
	fake_settled(w);
	assert_int_equal(w->letter_count, 4);
	assert_int_equal(w->payment_count, 0);
	assert_int_equal(fake_task(w, 0)->next_offset, 4);
}

static void fenced_drops_publishes_nothing_waits_a_second_and_claims_again(void **state)
{
	(void)state;
	for (int i = 0; i < CALLS; i++) {
		struct fake_world *w = fake_new(1);
		void *one = w;

		consuming(&one);
		fake_answer(w, transaction[i], RESULT_FENCED, NULL, "another owner");
		fake_orders(w, 0, 5);
		fake_until(w, 0, "fenced");

		int64_t began_us = w->now_us;

		assert_int_equal(fake_snapshot(w)->fenced, 1);
		assert_int_equal(fake_logged(w, LOG_EVENT_FENCED), 1);
		assert_int_equal(w->payment_count, 0);
		assert_false(fake_task(w, 0)->consuming);
		assert_int_equal(fake_task(w, 0)->published_offset, -1);
		fake_forget(w);
		fake_until(w, 0, "positioning");
		assert_string_equal(fake_trace(w), "claim:0");
		assert_in_range(w->now_us - began_us, 1000000, 1100000);
		assert_true(w->polls > 8);
		fake_settled(w);
		assert_int_equal(w->payment_count, 5);
		fake_free(w);
	}
}

static void records_that_come_while_fenced_are_dropped(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answer(w, CALL_BEGIN, RESULT_FENCED, NULL, "another owner");
	fake_orders(w, 0, 5);
	fake_until(w, 0, "fenced");
	fake_orders(w, 0, 2); /* Kafka does not know yet that we do not want them */
	fake_run_ms(w, 500);
	assert_int_equal(w->partitions[0].position, 7);
	fake_forget(w);
	fake_settled(w);
	assert_int_equal(fake_count(w, "begin:0@0-6"), 1);
	assert_int_equal(fake_count_prefix(w, "begin"), 1);
}

static void commit_is_withheld_when_the_partition_is_not_ours(void **state)
{
	struct fake_world *w = consuming(state);

	fake_orders(w, 0, 2);
	w->partitions[0].owned = false;
	fake_until(w, 0, "fenced");
	assert_int_equal(fake_count(w, "COMMIT"), 0);
	assert_int_equal(fake_count(w, "abort"), 1);
	assert_int_equal(fake_count_prefix(w, "publish:"), 0);
	assert_int_equal(fake_snapshot(w)->fenced, 1);
}

static void an_internal_error_breaks_the_worker_and_changes_nothing(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answer(w, CALL_WRITE, RESULT_FATAL, NULL, "wrong count");
	fake_orders(w, 0, 2);
	fake_until_saw(w, "abort");
	assert_int_equal(fake_step(w), WORKER_BROKEN);
	assert_int_equal(w->payment_count, 0);
	fake_forget(w);
	fake_steps(w, 5);
	assert_string_equal(fake_trace(w), "");
}

static void a_busy_ledger_is_asked_again_in_the_same_transaction(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answers(w, 3, CALL_LOCK_STOCK, RESULT_BUSY, NULL, "held");
	fake_orders(w, 0, 2);
	fake_settled(w);
	assert_int_equal(fake_count(w, "lock_stock"), 4);
	assert_int_equal(fake_count(w, "abort"), 0);
	assert_int_equal(fake_count_prefix(w, "begin"), 1);
}

static void a_missing_right_waits_for_a_person_and_makes_no_letter(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answers(
		w, 20, CALL_BEGIN, RESULT_RETRY, "42501", "permission denied for table payment");
	fake_orders(w, 0, 2);
	fake_run_ms(w, 3000);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_ENVIRONMENT);
	assert_non_null(strstr(fake_snapshot(w)->wait_text, "table payment"));
	fake_settled(w);
	assert_int_equal(w->letter_count, 0);
	assert_int_equal(w->payment_count, 2);
}

static void kafka_is_polled_between_two_slices_of_a_batch(void **state)
{
	struct fake_world *w = consuming(state);
	int64_t polls;

	strcpy(w->refused_order, "same");
	for (int i = 0; i < 40; i++)
		fake_order(w, 0, "same", 1, 1);
	fake_until_saw(w, "begin:0@0-39");
	polls = w->polls;
	fake_until_saw(w, "begin:0@39-39");
	/* each of these may take seconds, and a rebalance waits for us */
	assert_true(w->polls - polls >= 39);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_transient_failure_holds_and_takes_the_same_records_again),
		CASE(the_backoff_grows_to_its_cap_and_starts_over_after_success),
		CASE(a_held_batch_is_described_in_the_log),
		CASE(three_answered_failures_halve_the_batch),
		CASE(two_answered_failures_do_not_halve),
		CASE(lost_connections_never_halve),
		CASE(lost_connections_in_between_do_not_count_as_answers),
		CASE(a_batch_that_keeps_failing_ends_at_one_record_and_grows_again),
		CASE(a_rejected_row_is_found_by_halving_without_waiting),
		CASE(only_rejected_rows_all_become_letters),
		cmocka_unit_test(fenced_drops_publishes_nothing_waits_a_second_and_claims_again),
		CASE(records_that_come_while_fenced_are_dropped),
		CASE(commit_is_withheld_when_the_partition_is_not_ours),
		CASE(an_internal_error_breaks_the_worker_and_changes_nothing),
		CASE(a_busy_ledger_is_asked_again_in_the_same_transaction),
		CASE(a_missing_right_waits_for_a_person_and_makes_no_letter),
		CASE(kafka_is_polled_between_two_slices_of_a_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
