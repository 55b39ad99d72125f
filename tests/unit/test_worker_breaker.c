/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fake_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

static struct fake_world *consuming(void **state, int64_t limit)
{
	struct fake_world *w = *state;

	w->config.breaker = limit;
	fake_consuming(w);
	fake_run_ms(w, 100);
	fake_forget(w);
	return w;
}

static void the_batch_is_committed_and_published_then_the_partition_stops(void **state)
{
	struct fake_world *w = consuming(state, 3);

	fake_orders(w, 0, 1);
	for (int i = 0; i < 4; i++)
		fake_value(w, 0, "{\"orderId\":\"bad\"}");
	fake_until(w, 0, "stopped");
	assert_int_equal(w->letter_count, 4);
	assert_int_equal(w->payment_count, 1);
	assert_int_equal(w->partitions[0].row.next_offset, 5);
	assert_int_equal(w->outcome_count, 5);
	assert_true(strstr(fake_trace(w), "publish:bad") < strstr(fake_trace(w), "stop:0"));
	assert_true(w->partitions[0].row.stopped);
}

static void the_reason_has_the_count_both_timestamps_and_the_cure(void **state)
{
	struct fake_world *w = consuming(state, 3);

	fake_orders(w, 0, 2);
	for (int i = 0; i < 4; i++)
		fake_value(w, 0, "no JSON");
	fake_until(w, 0, "stopped");
	assert_non_null(strstr(fake_task(w, 0)->reason, "4 of the last"));
	assert_non_null(strstr(fake_task(w, 0)->reason, "1700000000002"));
	assert_non_null(strstr(fake_task(w, 0)->reason, "1700000000005"));
	assert_non_null(strstr(fake_task(w, 0)->reason, "ticketpayctl resume --partition 0"));
}

/* What the next look reads has gone through consumer_progress and back. */
static void the_cure_is_still_named_after_the_next_look(void **state)
{
	struct fake_world *w = consuming(state, 3);

	for (int i = 0; i < 4; i++)
		fake_value(w, 0, "no JSON");
	fake_until(w, 0, "stopped");
	fake_run_ms(w, 3000);
	assert_true(fake_count(w, "claim:0") >= 2);
	assert_non_null(strstr(fake_task(w, 0)->reason, "ticketpayctl resume --partition 0"));
	assert_int_equal(fake_logged(w, LOG_EVENT_STOPPED), 1);
}

static void exactly_the_limit_goes_on(void **state)
{
	struct fake_world *w = consuming(state, 3);

	for (int i = 0; i < 3; i++)
		fake_value(w, 0, "no JSON");
	fake_settled(w);
	assert_int_equal(fake_count(w, "stop:0"), 0);
}

static void limit_zero_never_stops(void **state)
{
	struct fake_world *w = consuming(state, 0);

	for (int i = 0; i < 1500; i++)
		fake_value(w, 0, "no JSON");
	fake_settled(w);
	assert_int_equal(w->letter_count, 1500);
	assert_int_equal(fake_count(w, "stop:0"), 0);
}

static void conflicts_and_unknown_types_count_duplicates_and_sold_out_do_not(void **state)
{
	struct fake_world *w = consuming(state, 3);

	fake_order(w, 0, "a", 1, 100);
	for (int i = 0; i < 10; i++)
		fake_order(w, 0, "a", 1, 100); /* duplicates */
	for (int i = 0; i < 10; i++)
		fake_orders(w, 0, 1); /* sold out */
	fake_order(w, 0, "a", 1, 2);  /* conflict */
	fake_order(w, 0, "u", 8, 1);  /* no such type */
	fake_value(w, 0, NULL);       /* a tombstone */
	fake_settled(w);
	assert_string_equal(fake_state(w, 0), "filling");
	fake_order(w, 0, "v", 8, 1);
	fake_until(w, 0, "stopped");
}

static void only_the_partition_with_the_bad_records_stops(void **state)
{
	(void)state;
	struct fake_world *w = fake_new(2);

	w->config.breaker = 3;
	fake_consuming(w);
	for (int i = 0; i < 4; i++)
		fake_value(w, 0, "no JSON");
	fake_until(w, 0, "stopped");
	/* the others are assigned anew, without it */
	assert_int_equal(fake_count(w, "assign:1@0"), 1);
	fake_orders(w, 1, 3);
	fake_until_saw(w, "publish:1-2");
	assert_false(w->partitions[0].assigned);
	fake_free(w);
}

static void records_after_the_stop_have_no_effect(void **state)
{
	struct fake_world *w = consuming(state, 3);

	w->config.max_events = 4;
	worker_reconfigure(w->worker, &w->config);
	for (int i = 0; i < 4; i++)
		fake_value(w, 0, "no JSON");
	fake_until(w, 0, "stopped");
	fake_orders(w, 0, 5);
	fake_stray(w, 0, 4);
	fake_run_ms(w, 5000);
	assert_int_equal(w->payment_count, 0);
	assert_int_equal(w->partitions[0].row.next_offset, 4);
}

static void after_resume_it_goes_on_with_a_clean_count(void **state)
{
	struct fake_world *w = consuming(state, 3);

	for (int i = 0; i < 4; i++)
		fake_value(w, 0, "no JSON");
	fake_until(w, 0, "stopped");
	w->partitions[0].row.stopped = false;
	for (int i = 0; i < 3; i++)
		fake_value(w, 0, "no JSON");
	fake_settled(w);
	assert_int_equal(w->letter_count, 7);
	assert_int_equal(fake_logged(w, LOG_EVENT_RESUMED), 1);
	fake_value(w, 0, "no JSON");
	fake_until(w, 0, "stopped");
}

static void a_stop_that_cannot_be_written_loses_no_order_of_the_records(void **state)
{
	struct fake_world *w = consuming(state, 3);

	/* Records are read on while the outcomes wait, the stop fails, all outcomes are on their
	 * way: whatever is tried next must not publish a later offset as delivered before them. */
	w->deliver_by_hand = true;
	w->sink_full = true;
	fake_answer(w, CALL_STOP, RESULT_RETRY, NULL, "connection refused");
	for (int i = 0; i < 4; i++)
		fake_value(w, 0, "{\"orderId\":\"bad\"}");
	fake_until(w, 0, "publishing");
	fake_orders(w, 0, 3);
	while (w->partitions[0].position < 7)
		fake_step(w);
	w->sink_full = false;
	fake_until_saw(w, "stop:0");
	fake_forget(w);
	w->config.breaker = 0;
	worker_reconfigure(w->worker, &w->config);
	for (int i = 0; i < 200 && w->outcome_count < 7; i++)
		fake_step(w);

	int bad = 0;

	for (int i = 0; i < w->outcome_count; i++) {
		if (strcmp(w->outcomes[i].order_id, "bad") == 0 && i < 4)
			continue; /* the first time: never told of */
		bad += strcmp(w->outcomes[i].order_id, "bad") == 0;
		fake_tell(w, i, true);
		fake_steps(w, 2);
		/* the four letters' outcomes come first, then those of the orders */
		assert_true(bad == 4 || fake_task(w, 0)->published_offset <= 4);
	}
}

static struct fake_world *tripped_and_undelivered(void **state)
{
	struct fake_world *w = consuming(state, 3);

	w->deliver_by_hand = true;
	for (int i = 0; i < 4; i++)
		fake_value(w, 0, "{\"orderId\":\"bad\"}");
	fake_until(w, 0, "publishing");
	fake_run_ms(w, 500);
	return w;
}

static void what_is_delivered_in_time_is_written_before_the_stop(void **state)
{
	struct fake_world *w = tripped_and_undelivered(state);

	assert_int_equal(fake_count(w, "stop:0"), 0);
	for (int i = 0; i < 4; i++)
		fake_tell(w, i, true);
	fake_until(w, 0, "stopped");
	assert_int_equal(w->partitions[0].row.published_offset, 4);
	assert_int_equal(fake_count(w, "commit:0@4"), 1);
	w->partitions[0].row.stopped = false;
	fake_run_ms(w, 2000);
	assert_string_equal(fake_state(w, 0), "filling");
	assert_int_equal(w->outcome_count, 4); /* none a second time */
}

static void a_stop_waits_a_second_for_deliveries_and_no_longer(void **state)
{
	struct fake_world *w = tripped_and_undelivered(state);

	fake_run_ms(w, 520);
	assert_string_equal(fake_state(w, 0), "stopped");
	assert_int_equal(w->partitions[0].row.published_offset, 0);
}

static void a_stop_asked_to_drain_is_written(void **state)
{
	struct fake_world *w = tripped_and_undelivered(state);

	worker_stop(w->worker);
	fake_run_ms(w, 600);
	assert_int_equal(fake_count(w, "stop:0"), 1);
	assert_true(w->partitions[0].row.stopped);
}

/* ---- unclean claims ------------------------------------------------------------------------ */

/* A claim that is the nth without a release. */
static struct fake_world *claimed_unclean(void **state, int32_t times)
{
	struct fake_world *w = *state;

	w->partitions[0].released = false;
	w->partitions[0].row.unclean_claims = times - 1;
	fake_orders(w, 0, 6);
	fake_start(w);
	fake_assigned(w, "0");
	return w;
}

static void two_kills_are_nothing(void **state)
{
	struct fake_world *w = claimed_unclean(state, 2);

	fake_settled(w);
	assert_int_equal(fake_count(w, "begin:0@0-5"), 1);
}

static void after_three_kills_it_goes_one_record_at_a_time_until_it_moves(void **state)
{
	struct fake_world *w = claimed_unclean(state, 3);

	fake_settled(w);
	assert_int_equal(fake_count(w, "begin:0@0-0"), 1);
	assert_int_equal(fake_count(w, "begin:0@1-2"), 1); /* and grows again */
	assert_int_equal(w->payment_count, 6);
	assert_int_equal(w->partitions[0].row.unclean_claims, 0);
}

static void nineteen_kills_stop_nothing(void **state)
{
	struct fake_world *w = claimed_unclean(state, 19);

	fake_settled(w);
	assert_int_equal(w->payment_count, 6);
}

static void after_twenty_kills_a_person_must_look(void **state)
{
	struct fake_world *w = claimed_unclean(state, 21);

	fake_until(w, 0, "stopped");
	assert_int_equal(fake_count(w, "stop:0"), 1);
	assert_int_equal(w->payment_count, 0);
	assert_int_equal(w->letter_count, 0);
	assert_non_null(strstr(fake_task(w, 0)->reason, "offset 0"));
	fake_run_ms(w, 1500);
	assert_non_null(strstr(fake_task(w, 0)->reason, "ticketpayctl resume --partition 0"));
	assert_int_equal(fake_logged(w, LOG_EVENT_STOPPED), 1);
}

static void kills_behind_the_last_record_are_forgotten(void **state)
{
	struct fake_world *w = *state;
	struct fake_partition *p = &w->partitions[0];

	fake_orders(w, 0, 6);
	p->row.next_offset = p->row.published_offset = 6;
	p->row.last_record_at_ms = fake_ms(5);
	p->high = 7; /* a transaction's marker */
	p->released = false;
	p->row.unclean_claims = 22;
	fake_start(w);
	fake_assigned(w, "0");
	fake_until(w, 0, "filling");
	fake_run_ms(w, 100);
	assert_int_equal(fake_count(w, "stop:0"), 0);
	assert_int_equal(p->row.unclean_claims, 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
	const struct CMUnitTest tests[] = {
		CASE(the_batch_is_committed_and_published_then_the_partition_stops),
		CASE(the_reason_has_the_count_both_timestamps_and_the_cure),
		CASE(the_cure_is_still_named_after_the_next_look),
		CASE(exactly_the_limit_goes_on),
		CASE(limit_zero_never_stops),
		CASE(conflicts_and_unknown_types_count_duplicates_and_sold_out_do_not),
		cmocka_unit_test(only_the_partition_with_the_bad_records_stops),
		CASE(records_after_the_stop_have_no_effect),
		CASE(after_resume_it_goes_on_with_a_clean_count),
		CASE(a_stop_that_cannot_be_written_loses_no_order_of_the_records),
		CASE(what_is_delivered_in_time_is_written_before_the_stop),
		CASE(a_stop_waits_a_second_for_deliveries_and_no_longer),
		CASE(a_stop_asked_to_drain_is_written),
		CASE(two_kills_are_nothing),
		CASE(after_three_kills_it_goes_one_record_at_a_time_until_it_moves),
		CASE(nineteen_kills_stop_nothing),
		CASE(after_twenty_kills_a_person_must_look),
		CASE(kills_behind_the_last_record_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
