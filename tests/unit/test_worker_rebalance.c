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
	fake_run_ms(w, 100);
	fake_forget(w);
	return w;
}

static void a_revoke_releases_the_row_with_what_is_delivered(void **state)
{
	struct fake_world *w = consuming(state);

	fake_orders(w, 0, 3);
	fake_settled(w);
	fake_forget(w);
	fake_revoked(w, false);
	fake_until(w, 0, "");
	assert_int_equal(fake_count(w, "give_back:0@3"), 1);
	assert_true(w->partitions[0].released);
	assert_int_equal(w->partitions[0].row.published_offset, 3);
	assert_int_equal(fake_logged(w, LOG_EVENT_REVOKED), 1);
	assert_int_equal(fake_snapshot(w)->task_count, 0);
}

static void a_lost_partition_is_said_to_be_lost(void **state)
{
	struct fake_world *w = consuming(state);

	fake_revoked(w, true);
	fake_until(w, 0, "");
	assert_non_null(strstr(fake_line(w, LOG_EVENT_REVOKED), "lost"));
}

static void revoked_records_have_no_effect(void **state)
{
	struct fake_world *w = *state;

	w->config.linger_ms = 60000;
	consuming(state);
	fake_orders(w, 0, 3);
	fake_until_saw(w, "progress:0@0"); /* five idle seconds: they are read, not decided */
	assert_int_equal(w->partitions[0].position, 3);
	fake_revoked(w, false);
	fake_until(w, 0, "");
	fake_run_ms(w, 1000);
	assert_int_equal(fake_count_prefix(w, "begin"), 0);
	assert_int_equal(w->payment_count, 0);
}

static void a_held_batch_is_dropped_by_a_revoke(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answers(w, 100, CALL_BEGIN, RESULT_RETRY, NULL, "connection refused");
	fake_orders(w, 0, 3);
	fake_until(w, 0, "holding");
	fake_run_ms(w, 5000);
	fake_revoked(w, false);
	fake_until(w, 0, "");
	assert_int_equal(fake_snapshot(w)->wait, WAIT_NOTHING);
	w->answer_count = 0;
	fake_assigned(w, "0");
	fake_settled(w);
	assert_int_equal(w->payment_count, 3);
}

static void a_revoke_while_waiting_for_the_lock_leaves_its_queue(void **state)
{
	struct fake_world *w = *state;

	w->config.scope = LOCK_SCOPE_TRANSACTION;
	consuming(state);
	fake_answers(w, 500, CALL_ACQUIRE, RESULT_BUSY, NULL, "held");
	fake_orders(w, 0, 3);
	fake_until(w, 0, "locking");
	fake_run_ms(w, 5);
	assert_int_equal(fake_count(w, "forget"), 0);
	fake_revoked(w, false);
	fake_until(w, 0, "");
	assert_int_equal(fake_count(w, "forget"), 1);
	assert_int_equal(fake_count_prefix(w, "begin"), 0);
}

static void a_rebalance_is_never_served_beside_an_open_transaction(void **state)
{
	struct fake_world *w = consuming(state);
	int64_t polls;

	fake_answers(w, 3, CALL_LOCK_STOCK, RESULT_BUSY, NULL, "held");
	fake_orders(w, 0, 3);
	fake_until_saw(w, "lock_stock");
	fake_revoked(w, false);
	polls = w->polls;
	fake_until_saw(w, "COMMIT");
	assert_int_equal(w->polls, polls);
	assert_string_equal(fake_state(w, 0), "publishing");
	fake_until(w, 0, "");
	assert_int_equal(w->payment_count, 3);
}

static void a_publication_cut_off_by_a_revoke_is_not_counted_as_delivered(void **state)
{
	struct fake_world *w = consuming(state);

	fake_orders(w, 0, 3);
	fake_until(w, 0, "publishing");
	fake_answer(w, CALL_PUBLISH, RESULT_OK, NULL, NULL);
	fake_answer(w, CALL_PUBLISH, RESULT_BUSY, NULL, "full");
	fake_until_saw(w, "publish:0-1");
	w->sink_full = true;
	fake_revoked(w, false);
	fake_until(w, 0, "");
	assert_int_equal(fake_count(w, "give_back:0@0"), 1);
	assert_int_equal(w->partitions[0].row.published_offset, 0);
}

static void assigned_again_right_after_a_revoke_is_claimed_again(void **state)
{
	struct fake_world *w = consuming(state);

	fake_orders(w, 0, 3);
	fake_settled(w);
	fake_forget(w);
	fake_revoked(w, false);
	fake_assigned(w, "0");
	fake_step(w);
	fake_orders(w, 0, 2);
	fake_settled(w);
	assert_int_equal(fake_count(w, "claim:0"), 1);
	assert_int_equal(w->payment_count, 5);
	assert_false(w->partitions[0].released);
}

static void a_release_that_fails_is_not_repeated(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answer(w, CALL_RELEASE, RESULT_RETRY, NULL, "connection refused");
	fake_revoked(w, false);
	fake_until(w, 0, "");
	assert_int_equal(fake_count(w, "give_back:0@0"), 1);
	assert_false(w->partitions[0].released);
}

static void an_unclaimed_partition_is_left_without_a_word_to_the_database(void **state)
{
	struct fake_world *w = *state;

	fake_answers(w, 100, CALL_CLAIM, RESULT_RETRY, NULL, "connection refused");
	fake_start(w);
	fake_assigned(w, "0");
	fake_until_saw(w, "claim:0");
	fake_revoked(w, false);
	fake_until(w, 0, "");
	assert_int_equal(fake_count_prefix(w, "give_back"), 0);
}

static void the_callback_waits_for_no_server(void **state)
{
	struct fake_world *w = *state;

	fake_start(w);
	fake_until_saw(w, "subscribe");
	fake_assigned(w, "0");
	fake_forget(w);
	fake_step(w);
	assert_string_equal(fake_trace(w), ""); /* claiming is the next step's */
	fake_until(w, 0, "filling");
	fake_revoked(w, false);
	fake_run_ms(w, 100);
	fake_until(w, 0, "");
}

static void records_of_a_partition_that_is_not_ours_are_ignored(void **state)
{
	(void)state;
	struct fake_world *w = fake_new(2);

	fake_start(w);
	fake_assigned(w, "0");
	fake_until(w, 0, "filling");
	fake_stray(w, 1, 0);
	fake_happens(w, SOURCE_DISTURBED, 1);
	fake_commit_failed(w, 1);
	fake_run_ms(w, 500);
	assert_int_equal(w->payment_count, 0);
	assert_int_equal(fake_snapshot(w)->task_count, 1);
	fake_free(w);
}

static void partitions_that_grow_are_served(void **state)
{
	(void)state;
	struct fake_world *w = fake_new(3);

	w->partition_count = 1;
	fake_consuming(w);
	fake_orders(w, 0, 1);
	fake_settled(w);
	w->partition_count = 3;
	fake_revoked(w, false);
	fake_assigned(w, "0 1 2");
	fake_orders(w, 0, 1);
	fake_orders(w, 1, 1);
	fake_orders(w, 2, 1);
	fake_settled(w);
	assert_int_equal(w->payment_count, 4);
	assert_int_equal(fake_snapshot(w)->partition_count, 3);
	fake_free(w);
}

static void each_claim_assigns_all_claimed_partitions(void **state)
{
	(void)state;
	struct fake_world *w = fake_new(2);

	fake_orders(w, 0, 4);
	fake_start(w);
	fake_assigned(w, "0 1");
	fake_answers(w, 1, CALL_CLAIM, RESULT_OK, NULL, NULL);
	fake_answers(w, 6, CALL_CLAIM, RESULT_RETRY, NULL, "connection refused");
	fake_until_saw(w, "assign:0@0");
	fake_settled(w);
	assert_int_equal(fake_count(w, "assign:0@4,1@0"), 1);
	fake_free(w);
}

static void a_paused_partition_is_resumed_after_another_was_claimed(void **state)
{
	(void)state;
	struct fake_world *w = fake_new(2);

	w->config.max_events = 4;
	fake_start(w);
	fake_assigned(w, "0");
	fake_until(w, 0, "filling");
	fake_answers(w, 8, CALL_BEGIN, RESULT_RETRY, NULL, "connection refused");
	fake_orders(w, 0, 20);
	fake_until_saw(w, "pause:0");
	fake_revoked(w, false);
	fake_assigned(w, "0 1");
	fake_orders(w, 1, 4);
	fake_settled(w);
	assert_int_equal(w->payment_count, 24);
	assert_false(w->partitions[0].paused);
	fake_free(w);
}

static void a_failed_assignment_leaves_no_other_partition_paused(void **state)
{
	(void)state;
	struct fake_world *w = fake_new(2);

	w->config.max_events = 4;
	w->config.breaker = 3;
	fake_consuming(w);
	fake_answers(w, 1, CALL_BEGIN, RESULT_OK, NULL, NULL);
	fake_orders(w, 1, 20);
	fake_answers(w, 7, CALL_BEGIN, RESULT_RETRY, NULL, "connection refused");
	fake_until_saw(w, "pause:1");
	/* partition 0 is stopped, which takes long, and taking it from the assignment fails:
	 * the held batch is due at once and makes room before Kafka is asked again */
	w->answer_count = 0;
	fake_script(w, (struct fake_answer){.call = CALL_STOP, .takes_us = 3000000});
	fake_answers(w, 1, CALL_ASSIGN, RESULT_RETRY, NULL, "not now");
	for (int i = 0; i < 4; i++)
		fake_value(w, 0, "no JSON");
	fake_until(w, 0, "stopped");
	fake_run_ms(w, 5000);
	assert_int_equal(w->payment_count, 20);
	assert_false(w->partitions[1].paused);
	fake_free(w);
}

/* The sink tells of what was published under an earlier assignment. */
static void told_late_of_an_earlier_assignment_counts_for_nothing(void **state)
{
	struct fake_world *w = consuming(state);

	w->deliver_by_hand = true;
	fake_orders(w, 0, 1);
	fake_until_saw(w, "publish:0-0");
	fake_revoked(w, false);
	fake_until(w, 0, "");
	/* another worker decides and publishes record 0, then the partition is ours again */
	w->partitions[0].row.published_offset = w->partitions[0].committed = 1;
	fake_assigned(w, "0");
	fake_orders(w, 0, 1);
	fake_until_saw(w, "publish:0-1");
	fake_tell(w, 0, true);
	fake_run_ms(w, 2000);
	assert_int_equal(fake_task(w, 0)->published_offset, 1);
	assert_int_equal(w->partitions[0].row.published_offset, 1);
	fake_tell(w, 1, true);
	fake_run_ms(w, 2000);
	assert_int_equal(w->partitions[0].row.published_offset, 2);
}

static void lost_late_of_an_earlier_assignment_hides_no_loss_of_now(void **state)
{
	struct fake_world *w = consuming(state);

	w->deliver_by_hand = true;
	fake_orders(w, 0, 1);
	fake_until_saw(w, "publish:0-0");
	fake_revoked(w, false);
	fake_until(w, 0, "");
	w->partitions[0].row.published_offset = w->partitions[0].committed = 1;
	fake_assigned(w, "0");
	fake_orders(w, 0, 1);
	fake_until_saw(w, "publish:0-1");
	fake_tell(w, 0, true);
	fake_steps(w, 2);
	fake_tell(w, 1, false);
	w->deliver_by_hand = false;
	fake_run_ms(w, 3000);
	assert_int_equal(fake_count(w, "publish:0-1"), 2);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_revoke_releases_the_row_with_what_is_delivered),
		CASE(a_lost_partition_is_said_to_be_lost),
		CASE(revoked_records_have_no_effect),
		CASE(a_held_batch_is_dropped_by_a_revoke),
		CASE(a_revoke_while_waiting_for_the_lock_leaves_its_queue),
		CASE(a_rebalance_is_never_served_beside_an_open_transaction),
		CASE(a_publication_cut_off_by_a_revoke_is_not_counted_as_delivered),
		CASE(assigned_again_right_after_a_revoke_is_claimed_again),
		CASE(a_release_that_fails_is_not_repeated),
		CASE(an_unclaimed_partition_is_left_without_a_word_to_the_database),
		CASE(the_callback_waits_for_no_server),
		cmocka_unit_test(records_of_a_partition_that_is_not_ours_are_ignored),
		cmocka_unit_test(partitions_that_grow_are_served),
		cmocka_unit_test(each_claim_assigns_all_claimed_partitions),
		cmocka_unit_test(a_paused_partition_is_resumed_after_another_was_claimed),
		cmocka_unit_test(a_failed_assignment_leaves_no_other_partition_paused),
		CASE(told_late_of_an_earlier_assignment_counts_for_nothing),
		CASE(lost_late_of_an_earlier_assignment_hides_no_loss_of_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
