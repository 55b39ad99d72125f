/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fake_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

static void servers_are_asked_in_order_then_the_group_is_joined(void **state)
{
	struct fake_world *w = *state;

	fake_start(w);
	fake_steps(w, 4);
	assert_string_equal(fake_trace(w), "check subscribe");
	fake_steps(w, 5);
	assert_int_equal(fake_step(w), WORKER_STARTING);
	assert_false(fake_snapshot(w)->joined);
	fake_assigned(w, "0");
	assert_int_equal(fake_step(w), WORKER_RUNNING);
	assert_true(fake_snapshot(w)->joined);
	assert_int_equal(fake_snapshot(w)->partition_count, 1);
	assert_int_equal(fake_logged(w, LOG_EVENT_ASSIGNED), 1);
}

static void an_empty_assignment_is_a_standby_and_running(void **state)
{
	struct fake_world *w = *state;

	fake_start(w);
	fake_assigned(w, "");
	fake_run_ms(w, 1000);
	assert_int_equal(fake_step(w), WORKER_RUNNING);
	assert_true(fake_snapshot(w)->joined);
	assert_int_equal(fake_snapshot(w)->task_count, 0);
	assert_string_equal(fake_trace(w), "check subscribe");
	assert_non_null(strstr(fake_line(w, LOG_EVENT_ASSIGNED), "none"));
}

static void a_standby_that_gets_a_partition_serves_it(void **state)
{
	struct fake_world *w = *state;

	fake_start(w);
	fake_assigned(w, "");
	fake_run_ms(w, 500);
	fake_revoked(w, false);
	fake_assigned(w, "0");
	fake_orders(w, 0, 1);
	fake_settled(w);
	assert_int_equal(w->payment_count, 1);
}

static void an_unfit_database_ends_the_worker_at_once(void **state)
{
	struct fake_world *w = *state;

	fake_answer(w, CALL_LEDGER_CHECK, RESULT_FATAL, "42P01", "table ticket_type is missing");
	fake_start(w);
	assert_int_equal(fake_step(w), WORKER_UNFIT);
	assert_int_equal(fake_step(w), WORKER_UNFIT);
	assert_string_equal(fake_trace(w), "check");
	assert_int_equal(w->lines[0].level, LOG_LEVEL_ERROR);
	assert_string_equal(w->lines[0].text, "table ticket_type is missing");
}

static void a_database_that_is_down_is_waited_for_with_backoff(void **state)
{
	struct fake_world *w = *state;

	fake_answers(w, 5, CALL_LEDGER_CHECK, RESULT_RETRY, NULL, "connection refused");
	fake_start(w);
	fake_run_ms(w, 300);
	assert_int_equal(fake_count(w, "check"), 4); /* after 0, 25, 75 and 175 ms */
	assert_int_equal(fake_snapshot(w)->wait, WAIT_DATABASE);
	assert_string_equal(fake_snapshot(w)->wait_text, "connection refused");
	assert_true(w->polls > 0);
	fake_until_saw(w, "subscribe");
	assert_int_equal(fake_snapshot(w)->wait, WAIT_NOTHING);
	assert_int_equal(fake_logged(w, LOG_EVENT_HELD), 1); /* said once, not at each attempt */
	assert_int_equal(fake_logged(w, LOG_EVENT_RECOVERED), 1); /* and that it is over */
}

static void the_wait_of_the_start_is_counted_from_its_first_failure(void **state)
{
	struct fake_world *w = *state;
	int64_t began_us = w->now_us;

	fake_answers(w, 3, CALL_LEDGER_CHECK, RESULT_RETRY, NULL, "connection refused");
	fake_start(w);
	fake_run_ms(w, 100);
	assert_int_equal(fake_snapshot(w)->wait_since_us, began_us);
}

static void a_database_that_later_turns_out_unfit_is_unfit(void **state)
{
	struct fake_world *w = *state;

	fake_answers(w, 2, CALL_LEDGER_CHECK, RESULT_RETRY, NULL, "connection refused");
	fake_answer(w, CALL_LEDGER_CHECK, RESULT_FATAL, "28P01", "password wrong");
	fake_start(w);
	fake_steps(w, 20);
	assert_int_equal(fake_step(w), WORKER_UNFIT);
	assert_int_equal(fake_count(w, "check"), 3);
}

static void without_redis_the_fallback_database_starts(void **state)
{
	struct fake_world *w = *state;

	fake_answer(w, CALL_LOCK_CHECK, RESULT_RETRY, NULL, "connection refused");
	fake_start(w);
	fake_steps(w, 4);
	assert_string_equal(fake_trace(w), "check subscribe");
	assert_true(fake_snapshot(w)->lock_fallback);
	assert_int_equal(fake_logged(w, LOG_EVENT_LOCK_FALLBACK), 1);
}

static void without_redis_the_fallback_wait_waits(void **state)
{
	struct fake_world *w = *state;

	w->config.fallback = LOCK_FALLBACK_WAIT;
	fake_answers(w, 3, CALL_LOCK_CHECK, RESULT_RETRY, NULL, "connection refused");
	fake_start(w);
	fake_steps(w, 3);
	assert_string_equal(fake_trace(w), "check");
	assert_int_equal(fake_snapshot(w)->wait, WAIT_REDIS);
	fake_until_saw(w, "subscribe");
	assert_int_equal(fake_snapshot(w)->wait, WAIT_NOTHING);
	assert_false(fake_snapshot(w)->lock_fallback);
}

static void provider_database_asks_no_lock(void **state)
{
	struct fake_world *w = *state;

	w->without_redis = true;
	fake_answer(w, CALL_LOCK_CHECK, RESULT_FATAL, NULL, "not asked");
	fake_start(w);
	fake_steps(w, 4);
	assert_string_equal(fake_trace(w), "check subscribe");
	assert_int_equal(w->answer_count, 1);
}

static void a_missing_topic_is_named_and_waited_for(void **state)
{
	struct fake_world *w = *state;

	fake_answers(w, 3, CALL_SOURCE_CHECK, RESULT_RETRY, NULL,
		"topic payment-outcome does not exist");
	fake_start(w);
	fake_steps(w, 4);
	assert_int_equal(fake_step(w), WORKER_STARTING);
	assert_string_equal(fake_snapshot(w)->wait_text, "topic payment-outcome does not exist");
	assert_int_equal(fake_snapshot(w)->wait, WAIT_KAFKA);
	fake_until_saw(w, "subscribe");
}

static void a_failed_subscription_is_tried_again(void **state)
{
	struct fake_world *w = *state;

	fake_answer(w, CALL_SUBSCRIBE, RESULT_RETRY, NULL, "no broker");
	fake_start(w);
	fake_run_ms(w, 100);
	assert_int_equal(fake_count(w, "subscribe"), 2);
}

static void a_subscription_that_nothing_heals_is_unfit(void **state)
{
	struct fake_world *w = *state;

	fake_answer(w, CALL_SUBSCRIBE, RESULT_FATAL, NULL, "bad property");
	fake_start(w);
	fake_steps(w, 4);
	assert_int_equal(fake_step(w), WORKER_UNFIT);
}

static void our_name_taken_by_another_is_replaced(void **state)
{
	struct fake_world *w = *state;

	fake_consuming(w);
	fake_happens(w, SOURCE_OTHER_TOOK_NAME, -1);
	fake_step(w);
	assert_int_equal(fake_step(w), WORKER_REPLACED);
	assert_non_null(strstr(fake_line(w, LOG_EVENT_REPLACED), "kafka.instance"));
	fake_forget(w);
	fake_steps(w, 10);
	assert_string_equal(fake_trace(w), ""); /* not one more effect */
}

static void a_fatal_consumer_is_broken(void **state)
{
	struct fake_world *w = *state;

	fake_consuming(w);
	fake_run_ms(w, 200);
	fake_forget(w);
	fake_answer(w, CALL_POLL, RESULT_FATAL, NULL, "fatal");
	fake_step(w);
	assert_int_equal(fake_step(w), WORKER_BROKEN);
	assert_non_null(strstr(w->lines[0].text, "Kafka consumer"));
}

static void an_unreachable_broker_is_said_and_forgotten_when_silence_ends(void **state)
{
	struct fake_world *w = *state;

	fake_consuming(w);
	fake_run_ms(w, 200);
	fake_happens(w, SOURCE_UNREACHABLE, -1);
	fake_step(w);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_KAFKA);
	assert_string_equal(fake_snapshot(w)->wait_text, "brokers are down");
	fake_run_ms(w, 5000);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_KAFKA);
	fake_run_ms(w, 2000); /* it would have been said again */
	assert_int_equal(fake_snapshot(w)->wait, WAIT_NOTHING);
}

static void a_record_says_that_the_broker_is_back(void **state)
{
	struct fake_world *w = *state;

	fake_consuming(w);
	fake_run_ms(w, 200);
	fake_happens(w, SOURCE_UNREACHABLE, -1);
	fake_step(w);
	fake_orders(w, 0, 1);
	fake_until_saw(w, "begin:0@0-0");
	assert_int_equal(fake_snapshot(w)->wait, WAIT_NOTHING);
}

static void a_poll_that_fails_is_an_unreachable_broker(void **state)
{
	struct fake_world *w = *state;

	fake_consuming(w);
	fake_run_ms(w, 200);
	fake_answer(w, CALL_POLL, RESULT_RETRY, NULL, "no broker");
	fake_step(w);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_KAFKA);
	assert_int_equal(fake_step(w), WORKER_RUNNING);
}

static void a_stop_while_starting_stops(void **state)
{
	struct fake_world *w = *state;

	fake_answers(w, 9, CALL_LEDGER_CHECK, RESULT_RETRY, NULL, "connection refused");
	fake_start(w);
	fake_steps(w, 3);
	worker_stop(w->worker);
	fake_forget(w);
	fake_steps(w, 2);
	assert_int_equal(fake_step(w), WORKER_STOPPED);
	assert_string_equal(fake_trace(w), "close_source close_sink");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
	const struct CMUnitTest tests[] = {
		CASE(servers_are_asked_in_order_then_the_group_is_joined),
		CASE(an_empty_assignment_is_a_standby_and_running),
		CASE(a_standby_that_gets_a_partition_serves_it),
		CASE(an_unfit_database_ends_the_worker_at_once),
		CASE(a_database_that_is_down_is_waited_for_with_backoff),
		CASE(the_wait_of_the_start_is_counted_from_its_first_failure),
		CASE(a_database_that_later_turns_out_unfit_is_unfit),
		CASE(without_redis_the_fallback_database_starts),
		CASE(without_redis_the_fallback_wait_waits),
		CASE(provider_database_asks_no_lock),
		CASE(a_missing_topic_is_named_and_waited_for),
		CASE(a_failed_subscription_is_tried_again),
		CASE(a_subscription_that_nothing_heals_is_unfit),
		CASE(our_name_taken_by_another_is_replaced),
		CASE(a_fatal_consumer_is_broken),
		CASE(an_unreachable_broker_is_said_and_forgotten_when_silence_ends),
		CASE(a_record_says_that_the_broker_is_back),
		CASE(a_poll_that_fails_is_an_unreachable_broker),
		CASE(a_stop_while_starting_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
