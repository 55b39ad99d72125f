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

	fake_consuming(w);
	fake_run_ms(w, 200);
	fake_forget(w);
	return w;
}

/* Returns how long it took. */
static int64_t drain(struct fake_world *w)
{
	int64_t began_us = w->now_us;

	worker_stop(w->worker);
	for (int i = 0; i < 20000 && fake_step(w) != WORKER_STOPPED; i++)
		;
	assert_int_equal(fake_step(w), WORKER_STOPPED);
	return w->now_us - began_us;
}

static void an_idle_worker_releases_commits_and_closes(void **state)
{
	struct fake_world *w = consuming(state);

	fake_orders(w, 0, 3);
	fake_settled(w);
	fake_forget(w);
	assert_true(drain(w) < 1000000);
	assert_string_equal(fake_trace(w), "give_back:0@3 commit_wait:0@3 close_source close_sink");
	assert_true(w->partitions[0].released);
	assert_int_equal(w->partitions[0].row.published_offset, 3);
	assert_int_equal(w->partitions[0].committed, 3);
	assert_int_equal(fake_snapshot(w)->task_count, 0);
}

static void a_stopped_worker_does_nothing_more(void **state)
{
	struct fake_world *w = consuming(state);

	drain(w);
	fake_forget(w);
	fake_orders(w, 0, 3);
	fake_steps(w, 10);
	assert_string_equal(fake_trace(w), "");
}

static void an_open_transaction_is_finished_and_published(void **state)
{
	struct fake_world *w = consuming(state);

	fake_orders(w, 0, 3);
	fake_until(w, 0, "writing");
	drain(w);
	assert_int_equal(w->payment_count, 3);
	assert_int_equal(w->outcome_count, 3);
	assert_int_equal(w->partitions[0].committed, 3);
	assert_int_equal(w->partitions[0].row.published_offset, 3);
	assert_false(w->lock_held);
}

static void no_further_slice_is_begun(void **state)
{
	struct fake_world *w = *state;

	w->config.max_events = 4;
	consuming(state);
	fake_answers(w, 3, CALL_WRITE, RESULT_RETRY, "57014", "statement timeout");
	fake_orders(w, 0, 4);
	fake_until_saw(w, "begin:0@0-1"); /* halved */
	drain(w);
	assert_int_equal(w->payment_count, 2);
	assert_int_equal(w->outcome_count, 2);
	assert_int_equal(w->partitions[0].row.next_offset, 2);
	assert_int_equal(w->partitions[0].committed, 2);
}

static void records_that_were_only_read_are_left_for_others(void **state)
{
	struct fake_world *w = *state;

	w->config.linger_ms = 60000;
	consuming(state);
	fake_orders(w, 0, 4);
	fake_run_ms(w, 200);
	assert_int_equal(w->partitions[0].position, 4);
	drain(w);
	assert_int_equal(w->payment_count, 0);
	assert_int_equal(w->partitions[0].committed, 0);
}

static void deliveries_are_awaited(void **state)
{
	struct fake_world *w = consuming(state);

	w->deliver_by_hand = true;
	fake_orders(w, 0, 2);
	fake_until_saw(w, "publish:0-1");
	worker_stop(w->worker);
	fake_steps(w, 50);
	assert_int_equal(fake_count_prefix(w, "give_back"), 0);
	fake_tell(w, 0, true);
	fake_tell(w, 1, true);
	drain(w);
	assert_int_equal(w->partitions[0].committed, 2);
	assert_int_equal(w->partitions[0].row.published_offset, 2);
}

static void deliveries_are_awaited_for_drain_ms_at_most(void **state)
{
	struct fake_world *w = consuming(state);

	w->deliver_by_hand = true;
	fake_orders(w, 0, 2);
	fake_until_saw(w, "publish:0-1");
	assert_in_range(drain(w), 5000000, 5100000);
	assert_int_equal(fake_count(w, "give_back:0@0"), 1);
	assert_int_equal(w->partitions[0].row.published_offset, 0);
	assert_int_equal(w->partitions[0].committed, 0); /* never above what is delivered */
}

static void a_sink_that_stays_full_does_not_hold_the_stop(void **state)
{
	struct fake_world *w = consuming(state);

	w->sink_full = true;
	fake_orders(w, 0, 2);
	fake_until(w, 0, "publishing");
	assert_in_range(drain(w), 4900000, 5100000);
	assert_int_equal(w->partitions[0].row.published_offset, 0);
	assert_int_equal(w->partitions[0].row.next_offset, 2);
}

static void a_sink_that_gets_room_again_takes_the_rest(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answers(w, 100, CALL_PUBLISH, RESULT_BUSY, NULL, "full");
	fake_orders(w, 0, 2);
	fake_until(w, 0, "publishing");
	drain(w);
	assert_int_equal(w->outcome_count, 2);
	assert_int_equal(w->partitions[0].committed, 2);
}

static void a_held_batch_does_not_hold_the_stop(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answers(w, 100, CALL_BEGIN, RESULT_RETRY, NULL, "connection refused");
	fake_answer(w, CALL_RELEASE, RESULT_RETRY, NULL, "connection refused");
	fake_orders(w, 0, 2);
	fake_until(w, 0, "holding");
	assert_true(drain(w) < 1000000);
	assert_int_equal(fake_count_prefix(w, "begin"), 1);
	assert_int_equal(fake_count_prefix(w, "give_back"), 1);
}

static void a_commit_that_fails_at_the_end_is_said(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answer(w, CALL_COMMIT_WAIT, RESULT_RETRY, NULL, "timed out");
	drain(w);
	assert_int_equal(fake_logged(w, LOG_EVENT_COMMIT_FAILED), 1);
	assert_true(w->partitions[0].released);
}

static void a_wait_for_the_lock_is_left(void **state)
{
	struct fake_world *w = *state;

	w->config.scope = LOCK_SCOPE_TRANSACTION;
	consuming(state);
	fake_answers(w, 500, CALL_ACQUIRE, RESULT_BUSY, NULL, "held");
	fake_orders(w, 0, 2);
	fake_until_saw(w, "acquire:1");
	drain(w);
	/* others of this process stand behind us in the queue */
	assert_true(fake_count(w, "forget") >= 1);
	assert_int_equal(w->payment_count, 0);
}

static void partitions_that_are_stopped_or_fenced_are_not_released(void **state)
{
	(void)state;
	struct fake_world *w = fake_new(2);

	w->partitions[0].row.stopped = true;
	fake_start(w);
	fake_assigned(w, "0 1");
	fake_until(w, 0, "stopped");
	fake_until(w, 1, "filling");
	fake_answer(w, CALL_BEGIN, RESULT_FENCED, NULL, "another owner");
	fake_orders(w, 1, 1);
	fake_until(w, 1, "fenced");
	fake_forget(w);
	drain(w);
	assert_string_equal(fake_trace(w), "close_source close_sink");
	fake_free(w);
}

static void every_partition_is_released(void **state)
{
	(void)state;
	struct fake_world *w = fake_new(3);

	fake_consuming(w);
	fake_orders(w, 0, 1);
	fake_orders(w, 1, 2);
	fake_orders(w, 2, 3);
	fake_settled(w);
	fake_forget(w);
	drain(w);
	assert_string_equal(fake_trace(w),
		"give_back:0@1 commit_wait:0@1 give_back:1@2 commit_wait:1@2 "
		"give_back:2@3 commit_wait:2@3 close_source close_sink");
	fake_free(w);
}

static void a_stop_during_a_release_finishes_it(void **state)
{
	struct fake_world *w = consuming(state);

	fake_revoked(w, false);
	fake_until(w, 0, "releasing");
	drain(w);
	assert_int_equal(fake_count(w, "give_back:0@0"), 1);
	assert_int_equal(fake_count_prefix(w, "commit_wait"), 0); /* not ours any more */
}

static void an_undelivered_outcome_is_left_to_who_comes_next(void **state)
{
	struct fake_world *w = consuming(state);

	w->deliver_by_hand = true;
	fake_orders(w, 0, 2);
	fake_until_saw(w, "publish:0-1");
	worker_stop(w->worker);
	fake_tell(w, 0, true);
	fake_tell(w, 1, false);
	drain(w);
	assert_int_equal(w->partitions[0].row.published_offset, 0);
	assert_int_equal(w->partitions[0].committed, 0);
}

static void the_breaker_still_stops_while_draining(void **state)
{
	struct fake_world *w = *state;

	w->config.breaker = 2;
	consuming(state);
	for (int i = 0; i < 3; i++)
		fake_value(w, 0, "no JSON");
	fake_until(w, 0, "publishing");
	drain(w);
	assert_true(w->partitions[0].row.stopped);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
	const struct CMUnitTest tests[] = {
		CASE(an_idle_worker_releases_commits_and_closes),
		CASE(a_stopped_worker_does_nothing_more),
		CASE(an_open_transaction_is_finished_and_published),
		CASE(no_further_slice_is_begun),
		CASE(records_that_were_only_read_are_left_for_others),
		CASE(deliveries_are_awaited),
		CASE(deliveries_are_awaited_for_drain_ms_at_most),
		CASE(a_sink_that_stays_full_does_not_hold_the_stop),
		CASE(a_sink_that_gets_room_again_takes_the_rest),
		CASE(a_held_batch_does_not_hold_the_stop),
		CASE(a_commit_that_fails_at_the_end_is_said),
		CASE(a_wait_for_the_lock_is_left),
		cmocka_unit_test(partitions_that_are_stopped_or_fenced_are_not_released),
		cmocka_unit_test(every_partition_is_released),
		CASE(a_stop_during_a_release_finishes_it),
		CASE(an_undelivered_outcome_is_left_to_who_comes_next),
		CASE(the_breaker_still_stops_while_draining),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
