/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fake_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

/* No progress rows at all: a new group. */
static struct fake_world *new_group(int32_t partitions)
{
	struct fake_world *w = fake_new(partitions);

	for (int32_t p = 0; p < partitions; p++)
		w->partitions[p].row.exists = false;
	return w;
}

static void start_with(struct fake_world *w, const char *partitions)
{
	fake_start(w);
	fake_assigned(w, partitions);
	fake_steps(w, 5); /* the start; the claim comes next */
	fake_forget(w);
}

static void a_row_that_exists_is_claimed_and_read_from_its_published_offset(void **state)
{
	struct fake_world *w = *state;

	fake_orders(w, 0, 20);
	w->partitions[0].row.next_offset = 9;
	w->partitions[0].row.published_offset = 7;
	start_with(w, "0");
	fake_until(w, 0, "filling");
	assert_string_equal(fake_trace(w), "claim:0 offsets:0 assign:0@7");
	assert_int_equal(fake_task(w, 0)->next_offset, 9);
	assert_int_equal(fake_task(w, 0)->published_offset, 7);
	assert_true(fake_task(w, 0)->consuming);
}

static void a_new_groups_first_claim_writes_all_partitions(void **state)
{
	(void)state;
	struct fake_world *w = new_group(3);

	fake_orders(w, 1, 5);
	w->partitions[1].low = 2;
	start_with(w, "1");
	fake_until(w, 1, "filling");
	assert_string_equal(fake_trace(w), "claim:1 offsets:0 offsets:1 offsets:2 "
					   "create:0@0,1@2,2@0 claim:1 offsets:1 assign:1@2");
	fake_free(w);
}

static void start_latest_begins_at_the_high_watermarks(void **state)
{
	(void)state;
	struct fake_world *w = new_group(2);

	w->config.start = START_LATEST;
	fake_orders(w, 0, 5);
	fake_orders(w, 1, 8);
	start_with(w, "0");
	fake_until(w, 0, "filling");
	assert_int_equal(fake_count(w, "create:0@5,1@8"), 1);
	fake_free(w);
}

static void a_partition_added_later_starts_at_earliest(void **state)
{
	(void)state;
	struct fake_world *w = new_group(3);

	w->config.start = START_LATEST;
	w->partitions[0].row.exists = true;
	fake_orders(w, 1, 8);
	start_with(w, "1");
	fake_until(w, 1, "filling");
	/* and nobody else's row is touched */
	assert_string_equal(
		fake_trace(w), "claim:1 offsets:1 create:1@0 claim:1 offsets:1 assign:1@0");
	fake_free(w);
}

static void no_row_beside_a_committed_offset_stops_and_names_the_cure(void **state)
{
	struct fake_world *w = *state;

	w->partitions[0].row.exists = false;
	w->partitions[0].committed = 42;
	fake_orders(w, 0, 50);
	start_with(w, "0");
	fake_until(w, 0, "stopped");
	assert_string_equal(fake_trace(w), "claim:0 offsets:0");
	assert_true(fake_task(w, 0)->stopped);
	assert_non_null(strstr(fake_task(w, 0)->reason, "42"));
	assert_non_null(strstr(fake_task(w, 0)->reason, "ticketpayctl progress adopt"));
	/* to the last word: a cure that is cut off cures nothing */
	assert_non_null(strstr(fake_task(w, 0)->reason,
		"progress seek --partition 0 --to earliest (books all of it)"));
	assert_int_equal(fake_entry(w, LOG_EVENT_STOPPED)->level, LOG_LEVEL_ERROR);
	assert_int_equal(fake_entry(w, LOG_EVENT_STOPPED)->partition, 0);
}

static void an_offset_of_zero_is_a_committed_offset(void **state)
{
	struct fake_world *w = *state;

	w->partitions[0].row.exists = false;
	w->partitions[0].committed = 0;
	start_with(w, "0");
	fake_until(w, 0, "stopped");
	assert_int_equal(fake_count_prefix(w, "create"), 0);
}

static void only_partitions_without_a_committed_offset_get_a_row(void **state)
{
	(void)state;
	struct fake_world *w = new_group(3);

	w->partitions[1].committed = 7;
	start_with(w, "0 1 2");
	fake_until(w, 0, "filling");
	fake_until(w, 1, "stopped");
	fake_until(w, 2, "filling");
	assert_true(fake_count(w, "create:0@0,2@0") > 0);
	assert_int_equal(fake_count_prefix(w, "create"), fake_count(w, "create:0@0,2@0"));
	assert_false(w->partitions[1].row.exists);
	fake_free(w);
}

static void a_stopped_partition_without_a_row_looks_every_second_until_adopted(void **state)
{
	struct fake_world *w = *state;

	w->partitions[0].row.exists = false;
	w->partitions[0].committed = 3;
	fake_orders(w, 0, 5);
	start_with(w, "0");
	fake_until(w, 0, "stopped");
	fake_run_ms(w, 3500);
	assert_int_equal(fake_count(w, "claim:0"), 4);
	assert_int_equal(fake_logged(w, LOG_EVENT_STOPPED), 1); /* said once */
	assert_int_equal(w->payment_count, 0);

	w->partitions[0].row = (struct progress){.exists = true,
		.next_offset = 3,
		.published_offset = 3,
		.sought = true,
		.last_record_at_ms = -1};
	fake_settled(w);
	assert_int_equal(w->payment_count, 2);
	assert_int_equal(fake_logged(w, LOG_EVENT_RESUMED), 1);
}

static void unreadable_offsets_are_retried_never_taken_for_none(void **state)
{
	struct fake_world *w = *state;

	w->partitions[0].row.exists = false;
	w->partitions[0].committed = 42;
	fake_answers(w, 3, CALL_OFFSETS, RESULT_RETRY, NULL, "coordinator not available");
	start_with(w, "0");
	fake_steps(w, 3);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_KAFKA);
	fake_until(w, 0, "stopped");
	assert_int_equal(fake_count_prefix(w, "create"), 0);
	assert_int_equal(fake_count(w, "offsets:0"), 4);
}

static void one_unreadable_partition_creates_no_row_at_all(void **state)
{
	(void)state;
	struct fake_world *w = new_group(2);

	fake_answer(w, CALL_OFFSETS, RESULT_OK, NULL, NULL);
	fake_answer(w, CALL_OFFSETS, RESULT_RETRY, NULL, "leader not available");
	start_with(w, "0");
	fake_steps(w, 2);
	assert_string_equal(fake_trace(w), "claim:0 offsets:0 offsets:1");
	fake_until(w, 0, "filling");
	assert_int_equal(fake_count(w, "create:0@0,1@0"), 1);
	fake_free(w);
}

static void a_failed_creation_is_tried_again_from_the_start(void **state)
{
	struct fake_world *w = *state;

	w->partitions[0].row.exists = false;
	fake_answer(w, CALL_CREATE, RESULT_RETRY, "57P03", "starting up");
	start_with(w, "0");
	fake_steps(w, 2);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_DATABASE);
	fake_until(w, 0, "filling");
	assert_string_equal(fake_trace(w),
		"claim:0 offsets:0 create:0@0 claim:0 offsets:0 create:0@0 "
		"claim:0 offsets:0 assign:0@0");
}

static void a_claim_that_fails_is_retried_with_backoff(void **state)
{
	struct fake_world *w = *state;

	fake_answers(w, 3, CALL_CLAIM, RESULT_RETRY, NULL, "connection refused");
	start_with(w, "0");
	fake_run_ms(w, 100);
	assert_int_equal(fake_count(w, "claim:0"), 3); /* at 0, 25 and 75 ms */
	assert_int_equal(fake_snapshot(w)->wait, WAIT_DATABASE);
	assert_false(fake_task(w, 0)->consuming);
	assert_int_equal(fake_task(w, 0)->next_offset, -1);
	assert_int_equal(fake_task(w, 0)->published_offset, -1);
	fake_until(w, 0, "filling");
	assert_int_equal(fake_snapshot(w)->wait, WAIT_NOTHING);
	assert_int_equal(fake_logged(w, LOG_EVENT_RECOVERED), 1);
}

static void a_missing_right_is_a_persons_to_put_right(void **state)
{
	static const char *const states[] = {"28000", "3D000", "42501"};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct fake_world *w = fake_new(1);

		fake_answers(w, 2, CALL_CLAIM, RESULT_RETRY, states[i],
			"permission denied for table consumer_progress");
		start_with(w, "0");
		fake_step(w);
		assert_int_equal(fake_snapshot(w)->wait, WAIT_ENVIRONMENT);
		assert_string_equal(fake_snapshot(w)->wait_text,
			"permission denied for table consumer_progress");
		fake_until(w, 0, "filling");
		fake_free(w);
	}
}

static void a_row_that_others_keep_locked_is_a_row_lock(void **state)
{
	static const char *const states[] = {"40P01", "55P03", "55006"};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct fake_world *w = fake_new(1);

		fake_answer(w, CALL_CLAIM, RESULT_RETRY, states[i], "lock timeout");
		start_with(w, "0");
		fake_step(w);
		assert_int_equal(fake_snapshot(w)->wait, WAIT_ROW_LOCK);
		fake_free(w);
	}
}

static void a_partition_stopped_in_the_database_stays_stopped(void **state)
{
	struct fake_world *w = *state;

	w->partitions[0].row.stopped = true;
	strcpy(w->partitions[0].row.stopped_reason, "someone stopped it: ticketpayctl resume");
	fake_orders(w, 0, 1);
	start_with(w, "0");
	fake_run_ms(w, 2500);
	assert_int_equal(fake_count(w, "claim:0"), 3);
	assert_int_equal(fake_count_prefix(w, "offsets"), 0);
	assert_int_equal(fake_count_prefix(w, "stop"), 0);
	assert_string_equal(fake_task(w, 0)->reason, "someone stopped it: ticketpayctl resume");
	assert_int_equal(fake_logged(w, LOG_EVENT_STOPPED), 1);

	w->partitions[0].row.stopped = false; /* resume */
	fake_settled(w);
	assert_int_equal(w->payment_count, 1);
}

static void the_same_stop_after_a_resume_is_said_again(void **state)
{
	struct fake_world *w = *state;
	struct progress *row = &w->partitions[0].row;

	row->stopped = true;
	strcpy(row->stopped_reason, "why");
	start_with(w, "0");
	fake_until(w, 0, "stopped");
	row->stopped = false;
	fake_until(w, 0, "filling");
	assert_int_equal(fake_logged(w, LOG_EVENT_RESUMED), 1);
	row->stopped = w->partitions[0].released = true;
	fake_until(w, 0, "stopped");
	assert_int_equal(fake_logged(w, LOG_EVENT_STOPPED), 2);
	assert_int_equal(fake_logged(w, LOG_EVENT_RESUMED), 1);
}

static void a_stopped_partition_stays_one_while_the_database_is_down(void **state)
{
	struct fake_world *w = *state;

	w->partitions[0].row.stopped = true;
	strcpy(w->partitions[0].row.stopped_reason, "why");
	start_with(w, "0");
	fake_until(w, 0, "stopped");
	fake_answers(w, 2, CALL_CLAIM, RESULT_RETRY, NULL, "connection refused");
	fake_run_ms(w, 1010);
	assert_string_equal(fake_state(w, 0), "stopped");
	assert_string_equal(fake_task(w, 0)->reason, "why");
	assert_int_equal(fake_snapshot(w)->wait, WAIT_DATABASE);
}

static void a_stop_without_a_row_stays_one_while_kafka_is_down(void **state)
{
	struct fake_world *w = *state;

	w->partitions[0].row.exists = false;
	w->partitions[0].committed = 3;
	start_with(w, "0");
	fake_until(w, 0, "stopped");
	fake_answers(w, 20, CALL_OFFSETS, RESULT_RETRY, NULL, "no broker");
	fake_run_ms(w, 2000);
	assert_true(fake_task(w, 0)->stopped);
	assert_non_null(strstr(fake_task(w, 0)->reason, "progress adopt"));
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_row_that_exists_is_claimed_and_read_from_its_published_offset),
		cmocka_unit_test(a_new_groups_first_claim_writes_all_partitions),
		cmocka_unit_test(start_latest_begins_at_the_high_watermarks),
		cmocka_unit_test(a_partition_added_later_starts_at_earliest),
		CASE(no_row_beside_a_committed_offset_stops_and_names_the_cure),
		CASE(an_offset_of_zero_is_a_committed_offset),
		cmocka_unit_test(only_partitions_without_a_committed_offset_get_a_row),
		CASE(a_stopped_partition_without_a_row_looks_every_second_until_adopted),
		CASE(unreadable_offsets_are_retried_never_taken_for_none),
		cmocka_unit_test(one_unreadable_partition_creates_no_row_at_all),
		CASE(a_failed_creation_is_tried_again_from_the_start),
		CASE(a_claim_that_fails_is_retried_with_backoff),
		cmocka_unit_test(a_missing_right_is_a_persons_to_put_right),
		cmocka_unit_test(a_row_that_others_keep_locked_is_a_row_lock),
		CASE(a_partition_stopped_in_the_database_stays_stopped),
		CASE(the_same_stop_after_a_resume_is_said_again),
		CASE(a_stopped_partition_stays_one_while_the_database_is_down),
		CASE(a_stop_without_a_row_stays_one_while_kafka_is_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
