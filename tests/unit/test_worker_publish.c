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

	w->without_redis = true;
	fake_consuming(w);
	fake_run_ms(w, 200);
	fake_forget(w);
	return w;
}

static void what_is_decided_is_published_in_offset_order(void **state)
{
	struct fake_world *w = consuming(state);

	fake_order(w, 0, "z", 1, 60);
	fake_value(w, 0, "no JSON");
	fake_order(w, 0, "a", 1, 60);
	fake_order(w, 0, "z", 1, 60);
	fake_order(w, 0, "z", 1, 61);
	fake_order(w, 0, "u", 9, 1);
	fake_value(w, 0, "{\"orderId\":\"r\"}");
	fake_settled(w);
	assert_int_equal(w->outcome_count, 6);
	assert_string_equal(w->outcomes[0].order_id, "z");
	assert_non_null(strstr(w->outcomes[0].value, "\"status\":\"CONFIRMED\",\"remaining\":40"));
	assert_non_null(strstr(w->outcomes[1].value, "\"status\":\"SOLD_OUT\",\"remaining\":40"));
	assert_non_null(strstr(w->outcomes[2].value, "\"duplicate\":true"));
	assert_non_null(strstr(w->outcomes[3].value, "\"status\":\"ORDER_CONFLICT\""));
	assert_non_null(strstr(w->outcomes[4].value, "\"status\":\"UNKNOWN_TICKET_TYPE\""));
	assert_non_null(strstr(w->outcomes[5].value, "\"status\":\"REFUSED\""));
	assert_int_equal(w->letter_count, 3);
}

static void outcomes_are_sent_at_once_when_no_other_batch_waits(void **state)
{
	struct fake_world *w = consuming(state);

	w->deliver_by_hand = true;
	w->hurries = 0;
	fake_orders(w, 0, 1);
	fake_until_saw(w, "publish:0-0");
	assert_int_equal(w->hurries, 0);
	fake_run_ms(w, 3);
	assert_true(w->hurries > 0);
}

static void outcomes_wait_for_those_of_the_batch_behind_them(void **state)
{
	struct fake_world *w = *state;

	w->without_redis = true;
	w->config.max_events = 2;
	fake_consuming(w);
	w->deliver_by_hand = true;
	fake_orders(w, 0, 6);
	w->hurries = 0;
	fake_until_saw(w, "begin:0@4-5");
	assert_int_equal(w->outcome_count, 4);
	assert_int_equal(w->hurries, 0);
}

static void no_offset_is_committed_before_delivery(void **state)
{
	struct fake_world *w = consuming(state);

	w->deliver_by_hand = true;
	fake_orders(w, 0, 2);
	fake_run_ms(w, 3000);
	assert_int_equal(w->outcome_count, 2);
	assert_int_equal(fake_count_prefix(w, "commit:"), 0);
	assert_int_equal(w->partitions[0].row.published_offset, 0);
	fake_tell(w, 1, true);
	fake_run_ms(w, 2000);
	assert_int_equal(fake_count_prefix(w, "commit:"), 0);
	fake_tell(w, 0, true);
	fake_run_ms(w, 1100);
	assert_int_equal(fake_count(w, "commit:0@2"), 1);
	assert_int_equal(w->partitions[0].row.published_offset, 2);
}

static void the_next_batch_does_not_wait_for_deliveries(void **state)
{
	struct fake_world *w = consuming(state);

	w->deliver_by_hand = true;
	fake_orders(w, 0, 2);
	fake_until(w, 0, "publishing");
	fake_until(w, 0, "filling");
	fake_orders(w, 0, 2);
	fake_until_saw(w, "begin:0@2-3");
	assert_int_equal(fake_task(w, 0)->published_offset, 0);
}

static void published_offset_travels_with_the_next_transaction(void **state)
{
	struct fake_world *w = consuming(state);

	fake_orders(w, 0, 2);
	fake_until(w, 0, "publishing");
	fake_until(w, 0, "filling");
	fake_orders(w, 0, 2);
	fake_until_saw(w, "publish:0-3");
	assert_int_equal(w->partitions[0].row.published_offset, 2);
	assert_int_equal(fake_count_prefix(w, "progress"), 0);
}

static void published_offset_is_written_after_an_idle_second_once(void **state)
{
	struct fake_world *w = consuming(state);

	fake_orders(w, 0, 2);
	fake_until_saw(w, "publish:0-1");
	fake_run_ms(w, 900);
	assert_int_equal(fake_count_prefix(w, "progress"), 0);
	fake_run_ms(w, 300);
	assert_int_equal(fake_count(w, "progress:0@2"), 1);
	assert_int_equal(w->partitions[0].row.published_offset, 2);
	fake_run_ms(w, 3000);
	assert_int_equal(fake_count(w, "progress:0@2"), 1);
}

static void what_a_transaction_wrote_is_not_written_again(void **state)
{
	struct fake_world *w = consuming(state);

	fake_orders(w, 0, 2);
	fake_until(w, 0, "publishing");
	fake_until(w, 0, "filling");
	w->deliver_by_hand = true;
	fake_orders(w, 0, 2);
	fake_until_saw(w, "publish:0-3");
	fake_run_ms(w, 3000); /* nothing more is delivered */
	assert_int_equal(w->partitions[0].row.published_offset, 2);
	assert_int_equal(fake_count_prefix(w, "progress"), 0);
}

static void an_idle_owner_looks_whether_it_still_is_one(void **state)
{
	struct fake_world *w = consuming(state);

	fake_orders(w, 0, 5);
	fake_settled(w);
	fake_run_ms(w, 2000);
	/* ticketpayctl progress seek --to 2 */
	w->partitions[0].row.owner[0] = '\0';
	w->partitions[0].released = true;
	w->partitions[0].row.sought = true;
	w->partitions[0].row.next_offset = w->partitions[0].row.published_offset = 2;
	w->partitions[0].row.last_record_at_ms = -1;
	fake_forget(w);
	fake_run_ms(w, 7000);
	assert_int_equal(fake_count(w, "commit_wait:0@2"), 1);
	assert_int_equal(fake_count(w, "begin:0@2-4"), 1);
	assert_int_equal(w->payment_count, 5); /* decided again, the rows stand */
}

static void a_failed_idle_write_is_tried_again(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answers(w, 2, CALL_PROGRESS, RESULT_RETRY, NULL, "connection refused");
	fake_orders(w, 0, 2);
	fake_until_saw(w, "progress:0@2");
	assert_int_equal(fake_snapshot(w)->wait, WAIT_DATABASE);
	fake_run_ms(w, 5000);
	assert_int_equal(w->partitions[0].row.published_offset, 2);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_NOTHING);
}

static void a_busy_partition_commits_what_is_delivered_too(void **state)
{
	struct fake_world *w = consuming(state);

	for (int i = 0; i < 50; i++) {
		fake_orders(w, 0, 20);
		fake_script(w, (struct fake_answer){.call = CALL_COMMIT, .takes_us = 20000});
	}
	w->config.max_events = 20;
	worker_reconfigure(w->worker, &w->config);
	for (int i = 0; i < 10000 && w->partitions[0].row.next_offset < 1000; i++)
		fake_step(w);
	assert_int_equal(w->partitions[0].row.next_offset, 1000);
	/* a second of work behind us and no idle moment in it */
	assert_true(w->partitions[0].committed >= 500);
	assert_true(fake_count_prefix(w, "commit:") <= 12);
}

static void small_batches_do_not_flood_the_broker_with_commits(void **state)
{
	struct fake_world *w = consuming(state);

	int64_t began_us = w->now_us;

	for (int i = 0; i < 20; i++) {
		fake_orders(w, 0, 1);
		fake_run_ms(w, 10);
	}
	/* ten a second and partition at most */
	assert_true(fake_count_prefix(w, "commit:") <= 1 + (w->now_us - began_us) / 100000);
	fake_run_ms(w, 200);
	assert_int_equal(w->partitions[0].committed, 20);
}

static void a_failed_commit_is_repeated_later_without_flooding(void **state)
{
	struct fake_world *w = consuming(state);

	fake_orders(w, 0, 2);
	fake_until_saw(w, "commit:0@2");
	fake_commit_failed(w, 0);
	fake_run_ms(w, 1500);
	assert_int_equal(fake_count(w, "commit:0@2"), 1);
	assert_int_equal(fake_entry(w, LOG_EVENT_COMMIT_FAILED)->level, LOG_LEVEL_WARNING);
	fake_run_ms(w, 1000);
	assert_int_equal(fake_count(w, "commit:0@2"), 2);
}

static void a_commit_that_cannot_be_sent_is_tried_again(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answers(w, 2, CALL_COMMIT_OFFSET, RESULT_RETRY, NULL, "no coordinator");
	fake_orders(w, 0, 2);
	fake_run_ms(w, 1000);
	assert_int_equal(fake_count(w, "commit:0@2"), 3);
	assert_int_equal(w->partitions[0].committed, 2);
}

static void a_full_sink_is_waited_out_and_each_outcome_goes_once(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answer(w, CALL_PUBLISH, RESULT_OK, NULL, NULL);
	fake_answers(w, 5, CALL_PUBLISH, RESULT_BUSY, NULL, "queue full");
	fake_answer(w, CALL_PUBLISH, RESULT_RETRY, NULL, "being made anew");
	fake_orders(w, 0, 3);
	fake_settled(w);
	assert_int_equal(w->outcome_count, 3);
	assert_string_equal(w->outcomes[0].order_id, "0-0");
	assert_string_equal(w->outcomes[2].order_id, "0-2");
	assert_int_equal(fake_logged(w, LOG_EVENT_HELD), 0); /* 30 ms are not worth a word */
}

static void a_sink_full_for_long_is_said_and_kafka_still_polled(void **state)
{
	struct fake_world *w = consuming(state);
	int64_t polls;

	w->sink_full = true;
	fake_orders(w, 0, 3);
	fake_run_ms(w, 2000);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_DELIVERY);
	assert_string_equal(fake_snapshot(w)->wait_text, "full"); /* the sink's own words */
	assert_int_equal(fake_logged(w, LOG_EVENT_HELD), 1);
	assert_int_equal(w->partitions[0].committed, 0);
	polls = w->polls;
	fake_run_ms(w, 2000);
	assert_true(w->polls > polls + 10);
	w->sink_full = false;
	fake_settled(w);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_NOTHING);
	assert_int_equal(w->outcome_count, 3);
}

static void an_undelivered_outcome_is_published_again_from_the_delivered_offset(void **state)
{
	struct fake_world *w = consuming(state);

	w->deliver_by_hand = true;
	fake_orders(w, 0, 2);
	fake_until_saw(w, "publish:0-1");
	fake_tell(w, 0, true);
	fake_tell(w, 1, true);
	fake_until_saw(w, "commit:0@2");
	fake_orders(w, 0, 2);
	fake_until_saw(w, "publish:0-3");
	fake_tell(w, 2, false);
	fake_tell(w, 3, true);
	w->deliver_by_hand = false;
	fake_forget(w);
	fake_settled(w);
	assert_int_equal(fake_count(w, "assign:0@2"), 1);
	assert_int_equal(fake_count(w, "lookup:0@2-3"), 1);
	assert_int_equal(fake_count(w, "publish:0-0"), 0);
	assert_int_equal(fake_count(w, "publish:0-2"), 1);
	assert_int_equal(fake_count(w, "publish:0-3"), 1);
	assert_int_equal(fake_snapshot(w)->republished, 1);
	assert_int_equal(fake_logged(w, LOG_EVENT_REPUBLISH), 1);
	assert_int_equal(w->payment_count, 4);
}

static void told_of_before_the_repetition_counts_no_more(void **state)
{
	struct fake_world *w = consuming(state);

	w->deliver_by_hand = true;
	fake_orders(w, 0, 3);
	fake_until_saw(w, "publish:0-2");
	fake_tell(w, 0, false);
	fake_until(w, 0, "positioning");
	fake_until_saw(w, "lookup:0@0-2");
	fake_until(w, 0, "filling");
	assert_int_equal(w->outcome_count, 6);
	fake_tell(w, 1, true);
	fake_tell(w, 2, true);
	fake_tell(w, 3, true);
	fake_steps(w, 3);
	assert_int_equal(fake_task(w, 0)->published_offset, 0);
	fake_tell(w, 4, true);
	fake_tell(w, 5, true);
	fake_steps(w, 3);
	assert_int_equal(fake_task(w, 0)->published_offset, 3);
}

static void an_outcome_that_the_sink_never_takes_is_asked_for_again(void **state)
{
	struct fake_world *w = consuming(state);

	fake_answer(w, CALL_PUBLISH, RESULT_FATAL, NULL, "message too large");
	fake_orders(w, 0, 2);
	fake_settled(w);
	assert_int_equal(w->payment_count, 2);
	assert_int_equal(fake_snapshot(w)->republished, 1);
	assert_int_equal(w->outcome_count, 2);
}

static void a_producer_made_anew_is_no_exit(void **state)
{
	struct fake_world *w = consuming(state);

	w->deliver_by_hand = true;
	fake_orders(w, 0, 1);
	fake_until_saw(w, "publish:0-0");
	fake_answer(w, CALL_SERVE, RESULT_RETRY, NULL, "fatal error of the producer");
	fake_tell(w, 0, false);
	w->deliver_by_hand = false;
	fake_settled(w);
	assert_int_equal(w->outcome_count, 2);
	assert_int_equal(fake_step(w), WORKER_RUNNING);
}

static void more_slices_than_fit_wait_for_the_first(void **state)
{
	struct fake_world *w = consuming(state);

	w->deliver_by_hand = true;
	for (int i = 0; i < 260; i++) {
		fake_orders(w, 0, 1);
		for (int k = 0; k < 40 && w->outcome_count <= i; k++)
			fake_step(w);
	}
	assert_int_equal(w->outcome_count, 256);
	assert_string_equal(fake_state(w, 0), "publishing");
	for (int i = 0; i < 256; i++)
		fake_tell(w, i, true);
	w->deliver_by_hand = false;
	fake_settled(w);
	assert_int_equal(w->outcome_count, 260);
	assert_int_equal(w->partitions[0].row.next_offset, 260);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
	const struct CMUnitTest tests[] = {
		CASE(what_is_decided_is_published_in_offset_order),
		CASE(outcomes_are_sent_at_once_when_no_other_batch_waits),
		CASE(outcomes_wait_for_those_of_the_batch_behind_them),
		CASE(no_offset_is_committed_before_delivery),
		CASE(the_next_batch_does_not_wait_for_deliveries),
		CASE(published_offset_travels_with_the_next_transaction),
		CASE(published_offset_is_written_after_an_idle_second_once),
		CASE(what_a_transaction_wrote_is_not_written_again),
		CASE(an_idle_owner_looks_whether_it_still_is_one),
		CASE(a_failed_idle_write_is_tried_again),
		CASE(a_busy_partition_commits_what_is_delivered_too),
		CASE(small_batches_do_not_flood_the_broker_with_commits),
		CASE(a_failed_commit_is_repeated_later_without_flooding),
		CASE(a_commit_that_cannot_be_sent_is_tried_again),
		CASE(a_full_sink_is_waited_out_and_each_outcome_goes_once),
		CASE(a_sink_full_for_long_is_said_and_kafka_still_polled),
		CASE(an_undelivered_outcome_is_published_again_from_the_delivered_offset),
		CASE(told_of_before_the_repetition_counts_no_more),
		CASE(an_outcome_that_the_sink_never_takes_is_asked_for_again),
		CASE(a_producer_made_anew_is_no_exit),
		CASE(more_slices_than_fit_wait_for_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
