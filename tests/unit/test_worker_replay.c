/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fake_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

/* Records 0 to decided-1 were decided and, up to `published`, published by somebody before. */
static void decided_before(struct fake_world *w, int decided, int64_t published)
{
	fake_orders(w, 0, decided);
	fake_consuming(w);
	fake_settled(w);
	worker_stop(w->worker);
	while (fake_step(w) != WORKER_STOPPED)
		;
	worker_free(w->worker);
	w->worker = NULL;
	w->outcome_count = w->first_outcome = 0;
	w->partitions[0].row.published_offset = published;
	w->partitions[0].committed = published;
	w->partitions[0].assigned = false;
	fake_forget(w);
}

static void restart(struct fake_world *w)
{
	fake_start(w);
	fake_assigned(w, "0");
	fake_until(w, 0, "filling");
	fake_forget(w);
}

static void a_replay_is_looked_up_and_published_without_lock_or_writes(void **state)
{
	struct fake_world *w = *state;

	decided_before(w, 3, 0);
	restart(w);
	fake_until(w, 0, "publishing");
	fake_until(w, 0, "filling");
	assert_string_equal(fake_trace(w), "lookup:0@0-2 publish:0-0 publish:0-1 publish:0-2");
	assert_int_equal(w->payment_count, 3);
	assert_int_equal(fake_snapshot(w)->decided, 0);
	assert_int_equal(fake_task(w, 0)->next_offset, 3);
}

static void a_replay_ends_where_the_new_begins(void **state)
{
	struct fake_world *w = *state;

	decided_before(w, 3, 1);
	fake_orders(w, 0, 2);
	restart(w);
	fake_settled(w);
	assert_int_equal(fake_count(w, "lookup:0@1-2"), 1);
	assert_int_equal(fake_count(w, "begin:0@3-4"), 1);
	assert_int_equal(fake_count(w, "publish:0-0"), 0);
	assert_int_equal(w->payment_count, 5);
	assert_true(strstr(fake_trace(w), "lookup") < strstr(fake_trace(w), "begin"));
}

static void silent_records_publish_nothing_and_still_advance(void **state)
{
	struct fake_world *w = *state;

	decided_before(w, 3, 0);
	w->payment_count = 1; /* rows 1 and 2 were removed by somebody */
	restart(w);
	fake_settled(w);
	assert_int_equal(fake_count_prefix(w, "publish:"), 1);
	assert_int_equal(fake_task(w, 0)->published_offset, 3);
}

static void a_refused_record_is_published_again_only_with_its_letter(void **state)
{
	struct fake_world *w = *state;

	fake_value(w, 0, "{\"orderId\":\"bad\"}");
	decided_before(w, 0, 0);
	assert_int_equal(w->letter_count, 1);
	restart(w);
	fake_settled(w);
	assert_int_equal(fake_count(w, "publish:bad"), 1);
	assert_non_null(strstr(w->outcomes[0].value, "\"REFUSED\""));

	worker_free(w->worker);
	w->worker = NULL;
	w->letter_count = 0;
	w->partitions[0].committed = 0;
	restart(w);
	fake_settled(w);
	assert_int_equal(fake_count_prefix(w, "publish:"), 0);
}

static void a_replayed_own_record_is_no_duplicate(void **state)
{
	struct fake_world *w = *state;

	decided_before(w, 2, 0);
	w->payments[1].partition = 3;
	restart(w);
	fake_settled(w);
	assert_non_null(strstr(w->outcomes[0].value, "\"duplicate\":false"));
	assert_non_null(strstr(w->outcomes[0].value, "\"remaining\":null"));
	assert_non_null(strstr(w->outcomes[1].value, "\"duplicate\":true"));
}

static void a_replay_does_not_count_for_the_breaker(void **state)
{
	struct fake_world *w = *state;

	for (int i = 0; i < 20; i++)
		fake_value(w, 0, "{}");
	decided_before(w, 0, 0);
	w->config.breaker = 5;
	restart(w);
	fake_settled(w);
	fake_orders(w, 0, 1);
	fake_settled(w);
	assert_int_equal(fake_count_prefix(w, "lookup"), 1);
	assert_int_equal(fake_count(w, "stop:0"), 0);
}

static void a_lookup_that_fails_is_held_and_done_again(void **state)
{
	struct fake_world *w = *state;

	decided_before(w, 3, 0);
	fake_answers(w, 3, CALL_LOOKUP, RESULT_RETRY, NULL, "connection refused");
	restart(w);
	fake_until(w, 0, "holding");
	assert_int_equal(fake_snapshot(w)->wait, WAIT_DATABASE);
	fake_settled(w);
	assert_int_equal(fake_count(w, "lookup:0@0-2"), 4);
	assert_int_equal(fake_count_prefix(w, "publish:"), 3);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_NOTHING);
}

static void a_fenced_lookup_publishes_nothing(void **state)
{
	struct fake_world *w = *state;

	decided_before(w, 3, 0);
	fake_answer(w, CALL_LOOKUP, RESULT_FENCED, NULL, "another owner");
	restart(w);
	fake_until(w, 0, "fenced");
	assert_int_equal(fake_count_prefix(w, "publish:"), 0);
	assert_int_equal(fake_snapshot(w)->fenced, 1);
	fake_settled(w);
	assert_int_equal(fake_count_prefix(w, "publish:"), 3);
}

static void a_replay_over_a_gap_advances_over_it(void **state)
{
	struct fake_world *w = *state;

	fake_orders(w, 0, 2);
	fake_gap(w, 0, 8);
	decided_before(w, 2, 0);
	restart(w);
	fake_settled(w);
	assert_int_equal(fake_task(w, 0)->published_offset, 10);
	assert_int_equal(fake_count_prefix(w, "publish:"), 4);
}

static void a_long_replay_comes_in_batches(void **state)
{
	struct fake_world *w = *state;

	decided_before(w, 10, 0);
	w->config.max_events = 4;
	restart(w);
	fake_settled(w);
	assert_int_equal(fake_count_prefix(w, "lookup"), 3);
	assert_int_equal(fake_count_prefix(w, "publish:"), 10);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_replay_is_looked_up_and_published_without_lock_or_writes),
		CASE(a_replay_ends_where_the_new_begins),
		CASE(silent_records_publish_nothing_and_still_advance),
		CASE(a_refused_record_is_published_again_only_with_its_letter),
		CASE(a_replayed_own_record_is_no_duplicate),
		CASE(a_replay_does_not_count_for_the_breaker),
		CASE(a_lookup_that_fails_is_held_and_done_again),
		CASE(a_fenced_lookup_publishes_nothing),
		CASE(a_replay_over_a_gap_advances_over_it),
		CASE(a_long_replay_comes_in_batches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
