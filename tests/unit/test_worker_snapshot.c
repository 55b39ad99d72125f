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

static void totals_count_each_record_once_and_no_replay(void **state)
{
	struct fake_world *w = consuming(state);
	const struct worker_snapshot *s;

	fake_order(w, 0, "a", 1, 1);
	fake_order(w, 0, "a", 1, 1);
	fake_order(w, 0, "a", 1, 2);
	fake_order(w, 0, "b", 9, 1);
	fake_value(w, 0, NULL);
	fake_settled(w);
	s = fake_snapshot(w);
	assert_int_equal(s->decided, 5);
	assert_int_equal(s->fresh, 2);
	assert_int_equal(s->duplicates, 1);
	assert_int_equal(s->conflicts, 1);
	assert_int_equal(s->refused, 1);
	assert_int_equal(s->batches, 1);
	assert_int_equal(s->batch_records, 5);
	fake_revoked(w, false);
	fake_until(w, 0, "");
	w->partitions[0].committed = 0;
	fake_assigned(w, "0");
	fake_settled(w);
	s = fake_snapshot(w);
	assert_int_equal(s->decided, 5);
	assert_int_equal(s->batches, 1);
}

static void the_time_of_a_batch_is_that_of_its_transaction(void **state)
{
	struct fake_world *w = consuming(state);

	fake_script(w, (struct fake_answer){.call = CALL_LOCK_STOCK, .takes_us = 1500});
	fake_script(w, (struct fake_answer){.call = CALL_COMMIT, .takes_us = 2500});
	fake_orders(w, 0, 2);
	fake_until(w, 0, "publishing");
	assert_int_equal(fake_snapshot(w)->batch_us, 4000);
	assert_int_equal(fake_snapshot(w)->batch_records, 2);
}

static void a_partition_tells_its_offsets_and_its_last_record(void **state)
{
	struct fake_world *w = consuming(state);
	const struct partition_snapshot *p;

	w->deliver_by_hand = true;
	fake_orders(w, 0, 3);
	fake_until_saw(w, "publish:0-2");
	p = fake_task(w, 0);
	assert_int_equal(p->partition, 0);
	assert_int_equal(p->next_offset, 3);
	assert_int_equal(p->published_offset, 0);
	assert_int_equal(p->high, 3);
	assert_int_equal(p->last_record_at_ms, fake_ms(2));
	assert_string_equal(p->reason, "");
	assert_false(p->stopped);
}

static void every_state_of_a_batch_has_its_name(void **state)
{
	static const char *const names[] = {
		"claiming",
		"positioning",
		"filling",
		"inserting",
		"locking",
		"reading stock",
		"writing",
		"committing",
		"publishing",
		"filling",
	};
	struct fake_world *w = *state;
	size_t next = 0;

	fake_start(w);
	fake_assigned(w, "0");
	fake_until(w, 0, names[0]);
	for (int i = 0; i < 300 && next < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(fake_state(w, 0), names[next]))
			next++;
		if (next == 3 && w->partitions[0].high == 0)
			fake_orders(w, 0, 1);
		fake_step(w);
	}
	assert_int_equal(next, sizeof(names) / sizeof(names[0]));
}

static void every_step_stamps_its_time(void **state)
{
	struct fake_world *w = consuming(state);

	for (int i = 0; i < 20; i++) {
		fake_step(w);
		assert_int_equal(fake_snapshot(w)->step_us, w->now_us);
	}
}

static void a_step_waits_a_tenth_of_a_second_at_most(void **state)
{
	struct fake_world *w = consuming(state);

	for (int i = 0; i < 200; i++) {
		int64_t began_us = w->now_us;

		fake_step(w);
		assert_true(w->now_us - began_us <= 100000);
	}
}

static void an_idle_worker_does_not_spin(void **state)
{
	struct fake_world *w = consuming(state);
	int64_t polls = w->polls;

	fake_run_ms(w, 20000);
	assert_in_range(w->polls - polls, 190, 230);
}

static void a_waiting_worker_does_not_spin(void **state)
{
	struct fake_world *w = consuming(state);
	int64_t polls;

	fake_answers(w, 100, CALL_BEGIN, RESULT_RETRY, NULL, "connection refused");
	fake_orders(w, 0, 1);
	fake_until(w, 0, "holding");
	polls = w->polls;
	fake_run_ms(w, 10000);
	assert_in_range(w->polls - polls, 90, 150);
}

static void the_gravest_wait_of_the_partitions_is_told(void **state)
{
	(void)state;
	struct fake_world *w = fake_new(2);

	fake_consuming(w);
	fake_answer(w, CALL_BEGIN, RESULT_RETRY, "55P03", "row lock");
	fake_answers(w, 20, CALL_BEGIN, RESULT_RETRY, "42501", "permission denied");
	fake_orders(w, 0, 1);
	fake_until(w, 0, "holding");
	fake_orders(w, 1, 1);
	fake_until(w, 1, "holding");
	assert_int_equal(fake_snapshot(w)->wait, WAIT_ENVIRONMENT);
	assert_string_equal(fake_snapshot(w)->wait_text, "permission denied");
	fake_free(w);
}

static void a_wait_counts_from_its_first_failure(void **state)
{
	struct fake_world *w = consuming(state);
	int64_t began_us;

	fake_answers(w, 20, CALL_BEGIN, RESULT_RETRY, NULL, "connection refused");
	fake_orders(w, 0, 1);
	fake_until(w, 0, "holding");
	began_us = fake_snapshot(w)->wait_since_us;
	assert_true(w->now_us - began_us < 1000);
	fake_run_ms(w, 4000);
	assert_int_equal(fake_snapshot(w)->wait_since_us, began_us);
}

static void refused_records_are_shown_now_and_then_only(void **state)
{
	struct fake_world *w = consuming(state);

	for (int i = 0; i < 5; i++) {
		fake_value(w, 0, "{\"orderId\":5}");
		fake_value(w, 0, "no JSON");
		fake_settled(w);
	}
	assert_int_equal(fake_logged(w, LOG_EVENT_REFUSED), 1);
	assert_int_equal(fake_entry(w, LOG_EVENT_REFUSED)->level, LOG_LEVEL_WARNING);
	assert_non_null(strstr(fake_line(w, LOG_EVENT_REFUSED), "BAD_FIELD orderId"));
	assert_int_equal(fake_logged(w, LOG_EVENT_BATCH), 5); /* one line a batch */
	fake_run_ms(w, 10000);
	fake_order(w, 0, "a", 1, 1);
	fake_order(w, 0, "a", 1, 2);
	fake_settled(w);
	assert_int_equal(fake_logged(w, LOG_EVENT_REFUSED), 2);
	assert_non_null(strstr(fake_line(w, LOG_EVENT_REFUSED), "ORDER_CONFLICT"));
}

/* ---- settings taken over while it runs ----------------------------------------------------- */

static void a_smaller_batch_holds_from_the_next_batch_on(void **state)
{
	struct fake_world *w = consuming(state);

	w->config.max_events = 2;
	worker_reconfigure(w->worker, &w->config);
	fake_step(w);
	fake_forget(w);
	fake_orders(w, 0, 4);
	fake_settled(w);
	assert_int_equal(fake_count(w, "begin:0@0-1"), 1);
	assert_int_equal(fake_count(w, "begin:0@2-3"), 1);
}

static void a_larger_batch_holds_from_the_next_batch_on(void **state)
{
	struct fake_world *w = *state;

	w->config.max_events = 2;
	consuming(state);
	w->config.max_events = 100;
	worker_reconfigure(w->worker, &w->config);
	fake_step(w);
	fake_orders(w, 0, 2);
	fake_settled(w);
	fake_forget(w);
	fake_orders(w, 0, 10);
	fake_settled(w);
	assert_int_equal(fake_count_prefix(w, "begin"), 1);
}

static void settings_are_not_taken_inside_a_transaction(void **state)
{
	struct fake_world *w = consuming(state);

	fake_orders(w, 0, 2);
	fake_until(w, 0, "locking");
	w->config.fallback = LOCK_FALLBACK_WAIT;
	worker_reconfigure(w->worker, &w->config);
	fake_answer(w, CALL_ACQUIRE, RESULT_RETRY, NULL, "Redis is down");
	fake_settled(w);
	assert_int_equal(fake_snapshot(w)->lock_fallbacks, 1); /* as it was before */
	fake_answer(w, CALL_ACQUIRE, RESULT_RETRY, NULL, "Redis is down");
	fake_orders(w, 0, 2);
	fake_until(w, 0, "holding");
	fake_settled(w);
	assert_int_equal(fake_snapshot(w)->lock_fallbacks, 1);
}

static void linger_breaker_and_event_bytes_are_taken(void **state)
{
	struct fake_world *w = consuming(state);

	w->config.linger_ms = 60000;
	w->config.breaker = 1;
	w->config.event_bytes = 10;
	worker_reconfigure(w->worker, &w->config);
	fake_step(w);
	fake_orders(w, 0, 2);
	fake_run_ms(w, 2000);
	assert_int_equal(fake_count_prefix(w, "begin"), 0);
	fake_run_ms(w, 60000);
	assert_string_equal(fake_state(w, 0), "stopped");
	assert_int_equal(w->letter_count, 2);
	assert_int_equal(w->letters[0].reason, REFUSAL_TOO_LARGE);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
	const struct CMUnitTest tests[] = {
		CASE(totals_count_each_record_once_and_no_replay),
		CASE(the_time_of_a_batch_is_that_of_its_transaction),
		CASE(a_partition_tells_its_offsets_and_its_last_record),
		CASE(every_state_of_a_batch_has_its_name),
		CASE(every_step_stamps_its_time),
		CASE(a_step_waits_a_tenth_of_a_second_at_most),
		CASE(an_idle_worker_does_not_spin),
		CASE(a_waiting_worker_does_not_spin),
		cmocka_unit_test(the_gravest_wait_of_the_partitions_is_told),
		CASE(a_wait_counts_from_its_first_failure),
		CASE(refused_records_are_shown_now_and_then_only),
		CASE(a_smaller_batch_holds_from_the_next_batch_on),
		CASE(a_larger_batch_holds_from_the_next_batch_on),
		CASE(settings_are_not_taken_inside_a_transaction),
		CASE(linger_breaker_and_event_bytes_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
