/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fake_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

/* A log of `records`, of which the database has decided `next` and published `published`. */
static struct fake_world *progressed(
	struct fake_world *w, int records, int64_t next, int64_t published)
{
	struct progress *row = &w->partitions[0].row;

	fake_orders(w, 0, records);
	row->next_offset = next;
	row->published_offset = published;
	row->last_record_at_ms = next > 0 ? fake_ms(next - 1) : -1;
	return w;
}

static void start(struct fake_world *w)
{
	fake_start(w);
	fake_assigned(w, "0");
	fake_until_saw(w, "subscribe");
	fake_forget(w);
}

static void committed_below_published_replays_from_there(void **state)
{
	struct fake_world *w = progressed(*state, 20, 15, 12);

	w->partitions[0].committed = 4;
	start(w);
	fake_until(w, 0, "filling");
	assert_int_equal(fake_count(w, "assign:0@4"), 1);
}

static void committed_above_published_does_not_skip(void **state)
{
	struct fake_world *w = progressed(*state, 20, 15, 12);

	w->partitions[0].committed = 18;
	start(w);
	fake_until(w, 0, "filling");
	assert_int_equal(fake_count(w, "assign:0@12"), 1);
}

static void no_committed_offset_starts_at_published(void **state)
{
	struct fake_world *w = progressed(*state, 20, 15, 12);

	start(w);
	fake_until(w, 0, "filling");
	assert_int_equal(fake_count(w, "assign:0@12"), 1);
}

static void unreadable_offsets_are_retried(void **state)
{
	struct fake_world *w = progressed(*state, 20, 15, 12);

	w->partitions[0].committed = 4;
	fake_answers(w, 4, CALL_OFFSETS, RESULT_RETRY, NULL, "no broker");
	start(w);
	fake_steps(w, 4);
	assert_int_equal(fake_count_prefix(w, "assign"), 0);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_KAFKA);
	assert_string_equal(fake_snapshot(w)->wait_text, "no broker");
	fake_until(w, 0, "filling");
	assert_int_equal(fake_count(w, "claim:0"), 1);
	assert_int_equal(fake_count(w, "assign:0@4"), 1);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_NOTHING);
}

static void a_sought_row_tells_kafka_first_and_the_database_then(void **state)
{
	struct fake_world *w = progressed(*state, 20, 10, 10);

	w->partitions[0].row.sought = true;
	w->partitions[0].committed = 3; /* of before the seek: ignored */
	start(w);
	fake_until(w, 0, "filling");
	assert_string_equal(fake_trace(w), "claim:0 commit_wait:0@10 clear_sought:0 offsets:0 "
					   "timestamp:0@9 assign:0@10");
	assert_false(w->partitions[0].row.sought);
}

static void sought_stays_set_until_kafka_has_the_offset(void **state)
{
	struct fake_world *w = progressed(*state, 20, 10, 10);

	w->partitions[0].row.sought = true;
	fake_answers(w, 2, CALL_COMMIT_WAIT, RESULT_RETRY, NULL, "timed out");
	start(w);
	fake_steps(w, 4);
	assert_true(w->partitions[0].row.sought);
	assert_int_equal(fake_count_prefix(w, "assign"), 0);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_KAFKA);
	fake_until(w, 0, "filling");
	assert_int_equal(fake_count(w, "commit_wait:0@10"), 3);
	assert_int_equal(fake_count(w, "clear_sought:0"), 1);
}

static void sought_that_cannot_be_cleared_reads_nothing_yet(void **state)
{
	struct fake_world *w = progressed(*state, 20, 10, 10);

	w->partitions[0].row.sought = true;
	fake_answer(w, CALL_CLEAR_SOUGHT, RESULT_RETRY, "53300", "too many connections");
	start(w);
	fake_steps(w, 3);
	assert_int_equal(fake_count_prefix(w, "assign"), 0);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_DATABASE);
	fake_until(w, 0, "filling");
	assert_false(w->partitions[0].row.sought);
}

static void a_seek_that_another_takes_over_fences_us(void **state)
{
	struct fake_world *w = progressed(*state, 20, 10, 10);

	w->partitions[0].row.sought = true;
	fake_answer(w, CALL_CLEAR_SOUGHT, RESULT_FENCED, NULL, "another owner");
	start(w);
	fake_until(w, 0, "fenced");
	assert_int_equal(fake_count_prefix(w, "assign"), 0);
	fake_until(w, 0, "filling");
	assert_int_equal(fake_count(w, "claim:0"), 2);
}

static void undecided_records_that_are_gone_stop_the_partition(void **state)
{
	struct fake_world *w = progressed(*state, 20, 5, 5);

	w->partitions[0].low = 8;
	start(w);
	fake_until(w, 0, "stopped");
	assert_int_equal(fake_count(w, "stop:0"), 1);
	assert_int_equal(fake_count_prefix(w, "assign"), 0);
	assert_true(w->partitions[0].row.stopped);
	assert_non_null(strstr(w->partitions[0].reason, "5 to 7"));
	assert_non_null(strstr(w->partitions[0].reason, "progress seek --partition 0"));
	assert_int_equal(fake_logged(w, LOG_EVENT_STOPPED), 1);
}

static void only_published_records_gone_begins_at_low_with_a_warning(void **state)
{
	struct fake_world *w = progressed(*state, 20, 15, 5);

	w->partitions[0].low = 8;
	start(w);
	fake_until(w, 0, "filling");
	assert_int_equal(fake_count(w, "assign:0@8"), 1);
	assert_int_equal(fake_entry(w, LOG_EVENT_GAP)->level, LOG_LEVEL_WARNING);
	assert_non_null(strstr(fake_line(w, LOG_EVENT_GAP), "5 to 7"));
}

static void next_offset_at_the_low_watermark_goes_on(void **state)
{
	struct fake_world *w = progressed(*state, 20, 8, 8);

	w->partitions[0].low = 8;
	start(w);
	fake_until(w, 0, "filling");
	/* record 7 is not retained: nothing to compare with */
	assert_int_equal(fake_count_prefix(w, "timestamp"), 0);
	assert_int_equal(fake_logged(w, LOG_EVENT_GAP), 0);
}

static void above_the_high_watermark_for_30_s_stops(void **state)
{
	struct fake_world *w = progressed(*state, 5, 9, 9);

	start(w);
	fake_run_ms(w, 29000);
	assert_string_equal(fake_state(w, 0), "positioning");
	assert_int_equal(fake_snapshot(w)->wait, WAIT_KAFKA);
	assert_int_equal(fake_count(w, "stop:0"), 0);
	fake_run_ms(w, 4000);
	assert_string_equal(fake_state(w, 0), "stopped");
	assert_int_equal(fake_count(w, "stop:0"), 1);
	assert_non_null(strstr(fake_task(w, 0)->reason, "progress seek --partition 0"));
	assert_non_null(strstr(fake_task(w, 0)->reason, "recreated"));
}

static void above_the_high_watermark_for_a_while_goes_on(void **state)
{
	struct fake_world *w = progressed(*state, 5, 9, 9);

	start(w);
	fake_run_ms(w, 20000);
	fake_orders(w, 0, 4); /* a leader that had not caught up */
	fake_until(w, 0, "filling");
	assert_int_equal(fake_count(w, "assign:0@9"), 1);
	assert_int_equal(fake_count(w, "stop:0"), 0);
}

static void the_30_s_begin_anew_after_a_good_answer(void **state)
{
	struct fake_world *w = progressed(*state, 5, 9, 9);

	start(w);
	fake_run_ms(w, 20000);
	w->partitions[0].high = 9;
	fake_answer(w, CALL_TIMESTAMP, RESULT_RETRY, NULL, "no broker");
	fake_until_saw(w, "timestamp:0@8");
	w->partitions[0].high = 5;
	fake_run_ms(w, 20000);
	assert_string_equal(fake_state(w, 0), "positioning");
}

static void another_timestamp_below_next_offset_stops(void **state)
{
	struct fake_world *w = progressed(*state, 20, 10, 10);

	w->partitions[0].row.last_record_at_ms = fake_ms(9) + 1;
	start(w);
	fake_until(w, 0, "stopped");
	assert_string_equal(fake_trace(w), "claim:0 offsets:0 timestamp:0@9 stop:0");
	assert_non_null(strstr(fake_task(w, 0)->reason, "progress seek --partition 0"));
	assert_non_null(strstr(fake_task(w, 0)->reason, "recreated"));
}

static void a_record_that_is_no_more_says_nothing(void **state)
{
	struct fake_world *w = progressed(*state, 20, 10, 10);

	w->partitions[0].records[9].offset = 8; /* compacted away */
	start(w);
	fake_until(w, 0, "filling");
}

static void a_timestamp_that_cannot_be_read_is_asked_again(void **state)
{
	struct fake_world *w = progressed(*state, 20, 10, 10);

	w->partitions[0].row.last_record_at_ms = fake_ms(9) + 1;
	fake_answers(w, 2, CALL_TIMESTAMP, RESULT_RETRY, NULL, "no broker");
	start(w);
	fake_steps(w, 3);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_KAFKA);
	fake_until(w, 0, "stopped");
	assert_int_equal(fake_count(w, "timestamp:0@9"), 3);
}

static void without_a_last_timestamp_nothing_is_compared(void **state)
{
	struct fake_world *w = progressed(*state, 20, 10, 10);

	w->partitions[0].row.last_record_at_ms = -1;
	start(w);
	fake_until(w, 0, "filling");
	assert_int_equal(fake_count_prefix(w, "timestamp"), 0);
}

/* ---- a topic that is made anew while we run ----------------------------------------------- */

static struct fake_world *after_a_pause(void **state)
{
	struct fake_world *w = progressed(*state, 20, 10, 20);

	start(w);
	fake_settled(w);
	fake_run_ms(w, 1500);
	fake_forget(w);
	return w;
}

static void the_first_batch_after_a_pause_is_followed_by_a_look(void **state)
{
	struct fake_world *w = after_a_pause(state);

	fake_orders(w, 0, 2);
	fake_until_saw(w, "timestamp:0@19");
	assert_int_equal(w->partitions[0].row.next_offset, 22); /* it did not wait for the look */
	fake_orders(w, 0, 2);                                   /* no pause before these */
	fake_run_ms(w, 500);
	assert_int_equal(fake_count_prefix(w, "timestamp"), 1);
	assert_int_equal(w->partitions[0].row.next_offset, 24);
}

static void another_record_before_it_stops_and_its_outcomes_are_out(void **state)
{
	struct fake_world *w = after_a_pause(state);
	int published = w->outcome_count;

	w->partitions[0].records[19].timestamp_ms++; /* of the topic that was made anew */
	fake_orders(w, 0, 2);
	fake_until(w, 0, "stopped");
	assert_int_equal(w->outcome_count, published + 2);
	assert_non_null(strstr(fake_task(w, 0)->reason, "recreated"));
	assert_non_null(strstr(fake_task(w, 0)->reason, "progress seek --partition 0"));
}

static void a_look_that_fails_is_made_again_before_the_next_batch(void **state)
{
	struct fake_world *w = after_a_pause(state);

	fake_answers(w, 3, CALL_TIMESTAMP, RESULT_RETRY, NULL, "no broker");
	fake_orders(w, 0, 2);
	fake_until_saw(w, "timestamp:0@19");
	fake_orders(w, 0, 2);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_KAFKA);
	assert_int_equal(w->partitions[0].row.next_offset, 22);
	fake_settled(w);
	assert_int_equal(fake_count(w, "timestamp:0@19"), 4);
	assert_int_equal(w->partitions[0].row.next_offset, 24);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_NOTHING);
}

static void a_failed_assignment_is_tried_again(void **state)
{
	struct fake_world *w = progressed(*state, 20, 10, 10);

	fake_answer(w, CALL_ASSIGN, RESULT_RETRY, NULL, "not now");
	start(w);
	fake_until(w, 0, "filling");
	assert_int_equal(fake_count(w, "assign:0@10"), 2);
	fake_settled(w);
	assert_int_equal(w->payment_count, 10);
}

static void a_stop_that_cannot_be_written_is_tried_again(void **state)
{
	struct fake_world *w = progressed(*state, 20, 5, 5);

	w->partitions[0].low = 8;
	fake_answers(w, 2, CALL_STOP, RESULT_RETRY, NULL, "connection refused");
	start(w);
	fake_steps(w, 4);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_DATABASE);
	fake_until(w, 0, "stopped");
	assert_int_equal(fake_count(w, "stop:0"), 3);
	assert_int_equal(fake_count_prefix(w, "assign"), 0);
}

static void a_stop_of_what_is_not_ours_fences_us(void **state)
{
	struct fake_world *w = progressed(*state, 20, 5, 5);

	w->partitions[0].low = 8;
	fake_answer(w, CALL_STOP, RESULT_FENCED, NULL, "another owner");
	start(w);
	fake_until(w, 0, "fenced");
	assert_false(w->partitions[0].row.stopped);
	fake_until(w, 0, "stopped");
	assert_int_equal(fake_count(w, "claim:0"), 2);
}

static void one_stopped_partition_leaves_the_others_reading(void **state)
{
	(void)state;
	struct fake_world *w = fake_new(2);

	progressed(w, 20, 5, 5);
	w->partitions[0].low = 8;
	fake_orders(w, 1, 3);
	fake_start(w);
	fake_assigned(w, "0 1");
	fake_until(w, 0, "stopped");
	for (int i = 0; i < 100 && w->payment_count < 3; i++)
		fake_step(w);
	assert_int_equal(w->payment_count, 3);
	fake_free(w);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
	const struct CMUnitTest tests[] = {
		CASE(committed_below_published_replays_from_there),
		CASE(committed_above_published_does_not_skip),
		CASE(no_committed_offset_starts_at_published),
		CASE(unreadable_offsets_are_retried),
		CASE(a_sought_row_tells_kafka_first_and_the_database_then),
		CASE(sought_stays_set_until_kafka_has_the_offset),
		CASE(sought_that_cannot_be_cleared_reads_nothing_yet),
		CASE(a_seek_that_another_takes_over_fences_us),
		CASE(undecided_records_that_are_gone_stop_the_partition),
		CASE(only_published_records_gone_begins_at_low_with_a_warning),
		CASE(next_offset_at_the_low_watermark_goes_on),
		CASE(above_the_high_watermark_for_30_s_stops),
		CASE(above_the_high_watermark_for_a_while_goes_on),
		CASE(the_30_s_begin_anew_after_a_good_answer),
		CASE(another_timestamp_below_next_offset_stops),
		CASE(a_record_that_is_no_more_says_nothing),
		CASE(a_timestamp_that_cannot_be_read_is_asked_again),
		CASE(without_a_last_timestamp_nothing_is_compared),
		CASE(the_first_batch_after_a_pause_is_followed_by_a_look),
		CASE(another_record_before_it_stops_and_its_outcomes_are_out),
		CASE(a_look_that_fails_is_made_again_before_the_next_batch),
		CASE(a_failed_assignment_is_tried_again),
		CASE(a_stop_that_cannot_be_written_is_tried_again),
		CASE(a_stop_of_what_is_not_ours_fences_us),
		cmocka_unit_test(one_stopped_partition_leaves_the_others_reading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
