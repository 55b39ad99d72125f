/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fake_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

static void what_is_there_is_taken_at_once_as_one_batch(void **state)
{
	struct fake_world *w = *state;

	fake_consuming(w);
	fake_orders(w, 0, 7);
	fake_settled(w);
	assert_int_equal(fake_count_prefix(w, "begin"), 1);
	assert_int_equal(fake_count(w, "begin:0@0-6"), 1);
	assert_int_equal(w->payment_count, 7);
}

static void max_events_bounds_a_batch(void **state)
{
	struct fake_world *w = *state;

	w->config.max_events = 4;
	fake_consuming(w);
	fake_orders(w, 0, 10);
	fake_settled(w);
	assert_int_equal(fake_count(w, "begin:0@0-3"), 1);
	assert_int_equal(fake_count(w, "begin:0@4-7"), 1);
	assert_int_equal(fake_count(w, "begin:0@8-9"), 1);
}

static void max_bytes_bounds_a_batch(void **state)
{
	struct fake_world *w = *state;

	w->config.max_bytes = 250; /* an event here has about 100 bytes */
	fake_consuming(w);
	fake_orders(w, 0, 6);
	fake_settled(w);
	assert_int_equal(fake_count(w, "begin:0@0-2"), 1);
	assert_int_equal(fake_count(w, "begin:0@3-5"), 1);
	assert_int_equal(w->payment_count, 6);
}

static void linger_waits_for_more(void **state)
{
	struct fake_world *w = *state;

	w->config.linger_ms = 200;
	fake_consuming(w);
	fake_orders(w, 0, 1);
	fake_run_ms(w, 100);
	fake_orders(w, 0, 1);
	assert_int_equal(fake_count_prefix(w, "begin"), 0);
	fake_run_ms(w, 150);
	assert_int_equal(fake_count(w, "begin:0@0-1"), 1);
}

static void a_full_batch_does_not_linger(void **state)
{
	struct fake_world *w = *state;
	int64_t began_us;

	w->config.linger_ms = 60000;
	w->config.max_events = 3;
	fake_consuming(w);
	began_us = w->now_us;
	fake_orders(w, 0, 3);
	fake_until_saw(w, "COMMIT");
	assert_true(w->now_us - began_us < 1000000);
}

static void the_loop_does_not_sleep_past_the_linger(void **state)
{
	struct fake_world *w = *state;

	w->config.linger_ms = 30;
	fake_consuming(w);
	fake_orders(w, 0, 1);
	while (w->partitions[0].position == 0)
		fake_step(w);
	fake_until_saw(w, "begin:0@0-0");
	assert_true(w->last_wait_ms <= 30);
}

/* The transaction of a record that found us rested takes 2 ms; meanwhile more come. Returns when it
 * ended. */
static int64_t with_records_waiting(struct fake_world *w, int count)
{
	w->config.max_events = 2000;
	fake_consuming(w);
	fake_orders(w, 0, 1);
	fake_until_saw(w, "begin:0@0-0");
	fake_script(w, (struct fake_answer){.call = CALL_COMMIT, .takes_us = 2000});
	fake_orders(w, 0, count);
	fake_until_saw(w, "COMMIT");
	fake_forget(w);
	return w->now_us;
}

/* The same with a burst of two behind that record, whose transaction takes as long. */
static int64_t with_records_behind_a_burst(struct fake_world *w, int count)
{
	(void)with_records_waiting(w, 2);
	fake_until_saw(w, "begin:0@1-2");
	fake_script(w, (struct fake_answer){.call = CALL_COMMIT, .takes_us = 2000});
	fake_orders(w, 0, count);
	fake_until_saw(w, "COMMIT");
	return w->now_us;
}

static void a_burst_behind_a_record_that_found_us_rested_does_not_rest(void **state)
{
	struct fake_world *w = *state;
	int64_t ended_us = with_records_waiting(w, 2);

	fake_until_saw(w, "begin:0@1-2");
	assert_in_range(w->now_us - ended_us, 0, 1000);
}

static void records_that_wait_behind_a_burst_rest_as_long_as_a_few_small_batches(void **state)
{
	struct fake_world *w = *state;
	int64_t ended_us = with_records_behind_a_burst(w, 2);

	fake_until_saw(w, "begin:0@3-4");
	assert_in_range(w->now_us - ended_us, 6000, 8000);
	assert_int_equal(fake_count_prefix(w, "begin"), 2);
}

static void many_waiting_records_do_not_rest(void **state)
{
	struct fake_world *w = *state;
	int64_t ended_us = with_records_behind_a_burst(w, 1000);

	fake_until_saw(w, "begin:0@3-1002");
	assert_in_range(w->now_us - ended_us, 0, 1000);
}

static void a_record_that_comes_within_the_rest_waits_for_its_end(void **state)
{
	struct fake_world *w = *state;
	int64_t ended_us = with_records_waiting(w, 0);

	fake_until(w, 0, "filling");
	w->now_us += 2000; /* within a poll, which returns early for it */
	fake_orders(w, 0, 1);
	fake_until_saw(w, "begin:0@1-1");
	assert_in_range(w->now_us - ended_us, 6000, 8000);
}

static void a_record_that_finds_us_idle_does_not_rest(void **state)
{
	struct fake_world *w = *state;
	int64_t came_us;

	(void)with_records_waiting(w, 0);
	fake_until(w, 0, "filling");
	fake_run_ms(w, 7);
	came_us = w->now_us;
	fake_orders(w, 0, 1);
	fake_until_saw(w, "begin:0@1-1");
	assert_in_range(w->now_us - came_us, 0, 900);
}

static void where_transactions_are_slow_an_idle_partition_waits_for_a_part_of_one(void **state)
{
	struct fake_world *w = *state;
	int64_t came_us;

	fake_consuming(w);
	fake_orders(w, 0, 1);
	fake_until_saw(w, "begin:0@0-0");
	fake_script(w, (struct fake_answer){.call = CALL_COMMIT, .takes_us = 80000});
	fake_until_saw(w, "COMMIT");
	fake_until(w, 0, "filling");
	fake_run_ms(w, 50);
	came_us = w->now_us;
	fake_orders(w, 0, 2);
	fake_until_saw(w, "begin:0@1-2");
	assert_in_range(w->now_us - came_us, 5000, 7000);
}

static void a_lower_offset_is_dropped_and_counted(void **state)
{
	struct fake_world *w = *state;

	fake_consuming(w);
	fake_orders(w, 0, 3);
	fake_settled(w);
	fake_forget(w);
	fake_stray(w, 0, 1);
	fake_stray(w, 0, 2);
	fake_orders(w, 0, 1);
	fake_settled(w);
	assert_int_equal(fake_snapshot(w)->dropped, 2);
	assert_int_equal(fake_count_prefix(w, "begin"), 1);
	assert_int_equal(fake_count(w, "begin:0@3-3"), 1);
	assert_int_equal(w->payment_count, 4);
}

static void a_gap_in_an_undisturbed_stream_is_believed_at_once(void **state)
{
	struct fake_world *w = *state;

	fake_consuming(w);
	fake_orders(w, 0, 3);
	fake_settled(w);
	fake_forget(w);
	fake_gap(w, 0, 10);
	fake_orders(w, 0, 2);
	fake_settled(w);
	assert_int_equal(fake_count_prefix(w, "seek"), 0);
	assert_int_equal(fake_count(w, "begin:0@10-11"), 1);
	assert_int_equal(fake_task(w, 0)->next_offset, 12);
	assert_non_null(strstr(fake_line(w, LOG_EVENT_GAP), "3 to 9"));
	assert_int_equal(fake_entry(w, LOG_EVENT_GAP)->first_offset, 3);
	assert_int_equal(fake_entry(w, LOG_EVENT_GAP)->last_offset, 9);
}

static void a_gap_right_after_the_assignment_is_looked_at_twice(void **state)
{
	struct fake_world *w = *state;

	fake_gap(w, 0, 5);
	fake_orders(w, 0, 2);
	fake_consuming(w);
	fake_settled(w);
	assert_int_equal(fake_count(w, "seek:0@0"), 1);
	assert_int_equal(fake_count_prefix(w, "seek"), 1);
	assert_int_equal(fake_count(w, "begin:0@5-6"), 1);
	assert_int_equal(fake_logged(w, LOG_EVENT_GAP), 1);
}

static void records_that_the_first_look_missed_are_not_skipped(void **state)
{
	struct fake_world *w = *state;

	fake_orders(w, 0, 8);
	fake_consuming(w);
	fake_stray(w, 0, 5); /* the stream runs ahead of the position */
	fake_settled(w);
	assert_int_equal(fake_count(w, "seek:0@0"), 1);
	assert_int_equal(fake_logged(w, LOG_EVENT_GAP), 0);
	assert_int_equal(w->payment_count, 8);
}

static void a_different_gap_at_the_second_look_is_asked_again(void **state)
{
	struct fake_world *w = *state;

	fake_consuming(w);
	fake_stray(w, 0, 5);
	fake_until_saw(w, "seek:0@0");
	fake_stray(w, 0, 3);
	fake_run_ms(w, 100);
	assert_int_equal(fake_count(w, "seek:0@0"), 2);
	assert_int_equal(fake_count_prefix(w, "begin"), 0);
	fake_stray(w, 0, 3);
	fake_until_saw(w, "begin:0@3-3");
}

static void after_an_error_in_the_stream_a_gap_is_looked_at_twice(void **state)
{
	struct fake_world *w = *state;

	fake_consuming(w);
	fake_orders(w, 0, 3);
	fake_settled(w);
	fake_forget(w);
	fake_happens(w, SOURCE_DISTURBED, 0);
	fake_gap(w, 0, 10);
	fake_orders(w, 0, 1);
	fake_settled(w);
	/* at once, because fetching may stand still, and once more for the gap */
	assert_int_equal(fake_count(w, "seek:0@3"), 2);
	assert_int_equal(fake_count(w, "begin:0@10-10"), 1);
}

static void records_between_an_error_and_the_seek_are_not_believed(void **state)
{
	struct fake_world *w = *state;

	fake_consuming(w);
	fake_orders(w, 0, 2);
	fake_answers(w, 6, CALL_BEGIN, RESULT_RETRY, NULL, "connection refused");
	fake_until(w, 0, "holding"); /* where nothing is sought */
	fake_happens(w, SOURCE_DISTURBED, 0);
	fake_stray(w, 0, 4);
	fake_stray(w, 0, 4);
	fake_orders(w, 0, 4);
	fake_settled(w);
	assert_int_equal(w->payment_count, 6);
	assert_int_equal(fake_logged(w, LOG_EVENT_GAP), 0);
}

static void a_seek_that_fails_is_tried_again(void **state)
{
	struct fake_world *w = *state;

	fake_consuming(w);
	fake_answers(w, 2, CALL_SEEK, RESULT_RETRY, NULL, "not now");
	fake_happens(w, SOURCE_DISTURBED, 0);
	fake_steps(w, 3);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_KAFKA);
	fake_orders(w, 0, 2);
	fake_settled(w);
	assert_int_equal(fake_count(w, "seek:0@0"), 3);
	assert_int_equal(w->payment_count, 2);
}

static void a_seek_that_worked_ends_the_wait(void **state)
{
	struct fake_world *w = *state;

	fake_consuming(w);
	fake_answer(w, CALL_SEEK, RESULT_RETRY, NULL, "not now");
	fake_happens(w, SOURCE_DISTURBED, 0);
	fake_run_ms(w, 500);
	assert_int_equal(fake_count(w, "seek:0@0"), 2);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_NOTHING);
}

/* Whatever we ask for is answered with errors: perhaps it is deleted by now. */
static void a_stream_that_only_breaks_is_looked_up_anew(void **state)
{
	struct fake_world *w = *state;

	fake_orders(w, 0, 8);
	fake_consuming(w);
	fake_settled(w);
	fake_forget(w);
	for (int i = 0; i < 30 && fake_count_prefix(w, "offsets") == 0; i++) {
		fake_happens(w, SOURCE_DISTURBED, 0);
		fake_run_ms(w, 100);
	}
	assert_int_equal(fake_count(w, "offsets:0"), 1);
	fake_orders(w, 0, 2);
	fake_settled(w);
	assert_int_equal(w->payment_count, 10);
}

static void retention_that_overtakes_us_stops_the_partition_while_it_runs(void **state)
{
	struct fake_world *w = *state;

	fake_orders(w, 0, 8);
	fake_consuming(w);
	fake_settled(w);
	w->partitions[0].low = w->partitions[0].high = 12;
	for (int i = 0; i < 30 && strcmp(fake_state(w, 0), "stopped") != 0; i++) {
		fake_happens(w, SOURCE_DISTURBED, 0);
		fake_run_ms(w, 200);
	}
	assert_string_equal(fake_state(w, 0), "stopped");
	assert_non_null(strstr(fake_task(w, 0)->reason, "8 to 11"));
}

static void while_a_batch_is_held_its_partition_is_paused_when_full(void **state)
{
	struct fake_world *w = *state;

	w->config.max_events = 4;
	fake_consuming(w);
	fake_orders(w, 0, 20);
	fake_answers(w, 6, CALL_BEGIN, RESULT_RETRY, NULL, "connection refused");
	fake_until_saw(w, "pause:0");
	assert_int_equal(w->payment_count, 0);
	fake_settled(w);
	assert_true(fake_count(w, "resume:0") >= 1);
	assert_int_equal(w->payment_count, 20);
	assert_false(w->partitions[0].paused);
}

static void after_a_resume_a_gap_is_looked_at_twice(void **state)
{
	struct fake_world *w = *state;

	w->config.max_events = 4;
	fake_consuming(w);
	fake_answers(w, 4, CALL_BEGIN, RESULT_RETRY, NULL, "connection refused");
	fake_orders(w, 0, 8); /* one batch in process and a full one, nothing over */
	fake_until_saw(w, "pause:0");
	fake_until_saw(w, "resume:0");
	assert_int_equal(fake_count_prefix(w, "seek"), 0);
	fake_stray(w, 0, 10); /* fetching went on ahead of its place */
	fake_orders(w, 0, 3);
	fake_settled(w);
	assert_int_equal(w->payment_count, 11);
	assert_int_equal(fake_logged(w, LOG_EVENT_GAP), 0);
}

static void back_pressure_of_one_partition_leaves_the_others_alone(void **state)
{
	(void)state;
	struct fake_world *w = fake_new(2);

	w->config.max_events = 4;
	fake_consuming(w);
	w->sink_full = true;
	fake_orders(w, 0, 20);
	fake_until_saw(w, "pause:0");
	assert_int_equal(fake_count(w, "pause:1"), 0);
	w->sink_full = false;
	fake_orders(w, 1, 5);
	fake_settled(w);
	assert_int_equal(w->payment_count, 25);
	fake_free(w);
}

static void a_record_that_did_not_fit_is_not_skipped(void **state)
{
	struct fake_world *w = *state;

	w->config.max_events = 4;
	fake_consuming(w);
	/* held, full, and the pause is refused: records keep coming */
	fake_answers(w, 30, CALL_PAUSE, RESULT_RETRY, NULL, "not now");
	fake_answers(w, 4, CALL_BEGIN, RESULT_RETRY, NULL, "connection refused");
	fake_orders(w, 0, 20);
	fake_settled(w);
	assert_int_equal(w->payment_count, 20);
	assert_int_equal(fake_task(w, 0)->next_offset, 20);
	assert_int_equal(fake_logged(w, LOG_EVENT_GAP), 0);
}

static void a_record_polled_during_a_hold_is_kept(void **state)
{
	struct fake_world *w = *state;

	fake_consuming(w);
	fake_orders(w, 0, 2);
	fake_answers(w, 3, CALL_BEGIN, RESULT_RETRY, NULL, "connection refused");
	fake_until(w, 0, "holding");
	fake_orders(w, 0, 3);
	fake_settled(w);
	assert_int_equal(w->payment_count, 5);
	assert_int_equal(fake_count(w, "begin:0@2-4"), 1);
	assert_int_equal(fake_count_prefix(w, "seek"), 0);
}

static void kafka_is_polled_while_a_batch_is_held(void **state)
{
	struct fake_world *w = *state;
	int64_t polls;

	fake_consuming(w);
	fake_orders(w, 0, 2);
	fake_answers(w, 12, CALL_BEGIN, RESULT_RETRY, NULL, "connection refused");
	fake_until(w, 0, "holding");
	polls = w->polls;
	fake_run_ms(w, 10000);
	assert_true(w->polls - polls >= 100); /* a poll waits 100 ms at most */
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
	const struct CMUnitTest tests[] = {
		CASE(what_is_there_is_taken_at_once_as_one_batch),
		CASE(max_events_bounds_a_batch),
		CASE(max_bytes_bounds_a_batch),
		CASE(linger_waits_for_more),
		CASE(a_full_batch_does_not_linger),
		CASE(the_loop_does_not_sleep_past_the_linger),
		CASE(a_burst_behind_a_record_that_found_us_rested_does_not_rest),
		CASE(records_that_wait_behind_a_burst_rest_as_long_as_a_few_small_batches),
		CASE(many_waiting_records_do_not_rest),
		CASE(a_record_that_comes_within_the_rest_waits_for_its_end),
		CASE(a_record_that_finds_us_idle_does_not_rest),
		CASE(where_transactions_are_slow_an_idle_partition_waits_for_a_part_of_one),
		CASE(a_lower_offset_is_dropped_and_counted),
		CASE(a_gap_in_an_undisturbed_stream_is_believed_at_once),
		CASE(a_gap_right_after_the_assignment_is_looked_at_twice),
		CASE(records_that_the_first_look_missed_are_not_skipped),
		CASE(a_different_gap_at_the_second_look_is_asked_again),
		CASE(after_an_error_in_the_stream_a_gap_is_looked_at_twice),
		CASE(records_between_an_error_and_the_seek_are_not_believed),
		CASE(a_seek_that_fails_is_tried_again),
		CASE(a_seek_that_worked_ends_the_wait),
		CASE(a_stream_that_only_breaks_is_looked_up_anew),
		CASE(retention_that_overtakes_us_stops_the_partition_while_it_runs),
		CASE(while_a_batch_is_held_its_partition_is_paused_when_full),
		CASE(after_a_resume_a_gap_is_looked_at_twice),
		cmocka_unit_test(back_pressure_of_one_partition_leaves_the_others_alone),
		CASE(a_record_that_did_not_fit_is_not_skipped),
		CASE(a_record_polled_during_a_hold_is_kept),
		CASE(kafka_is_polled_while_a_batch_is_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
