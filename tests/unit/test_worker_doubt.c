/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fake_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

/* Two records whose COMMIT has lost its answer. */
static struct fake_world *in_doubt(void **state, bool took_effect)
{
	struct fake_world *w = *state;

	fake_consuming(w);
	fake_run_ms(w, 100);
	fake_forget(w);
	fake_script(w, (struct fake_answer){.call = CALL_COMMIT,
			       .result = RESULT_IN_DOUBT,
			       .text = "connection lost",
			       .takes_effect = took_effect});
	fake_orders(w, 0, 2);
	fake_until(w, 0, "in doubt");
	return w;
}

static void in_doubt_and_committed_is_published_once(void **state)
{
	struct fake_world *w = in_doubt(state, true);

	assert_int_equal(fake_count_prefix(w, "publish:"), 0);
	assert_int_equal(fake_snapshot(w)->in_doubt, 1);
	assert_false(w->lock_held);
	fake_settled(w);
	assert_int_equal(fake_count_prefix(w, "begin"), 1);
	assert_int_equal(fake_count(w, "resolve"), 1);
	assert_int_equal(fake_count_prefix(w, "publish:"), 2);
	assert_int_equal(w->types[0].remaining, 98);
	assert_int_equal(fake_snapshot(w)->decided, 2);
	assert_non_null(strstr(fake_line(w, LOG_EVENT_RESOLVED), "was committed"));
}

static void in_doubt_and_not_committed_is_done_again(void **state)
{
	struct fake_world *w = in_doubt(state, false);

	fake_settled(w);
	assert_int_equal(fake_count(w, "begin:0@0-1"), 2);
	assert_int_equal(fake_count_prefix(w, "publish:"), 2);
	assert_int_equal(w->payment_count, 2);
	assert_int_equal(fake_snapshot(w)->decided, 2);
	assert_non_null(strstr(fake_line(w, LOG_EVENT_RESOLVED), "not committed"));
}

static void still_in_doubt_is_asked_again_and_nothing_else_is_done(void **state)
{
	struct fake_world *w = in_doubt(state, true);

	fake_answers(w, 2, CALL_RESOLVE, RESULT_RETRY, NULL, "connection refused");
	fake_answer(w, CALL_RESOLVE, RESULT_BUSY, "55P03", "the commit is still running");
	fake_forget(w);
	fake_run_ms(w, 60);
	assert_string_equal(fake_trace(w), "resolve resolve");
	assert_string_equal(fake_state(w, 0), "in doubt");
	assert_int_equal(fake_snapshot(w)->wait, WAIT_DATABASE);
	fake_settled(w);
	assert_int_equal(fake_count(w, "resolve"), 4);
	assert_int_equal(w->payment_count, 2);
	assert_int_equal(fake_snapshot(w)->wait, WAIT_NOTHING);
}

static void in_doubt_with_another_owner_publishes_nothing(void **state)
{
	struct fake_world *w = in_doubt(state, true);

	strcpy(w->partitions[0].row.owner, "someone-else");
	fake_until(w, 0, "fenced");
	assert_int_equal(fake_count_prefix(w, "publish:"), 0);
	assert_int_equal(fake_snapshot(w)->fenced, 1);
	assert_int_equal(fake_snapshot(w)->decided, 0);
}

static void revoked_while_in_doubt_publishes_nothing(void **state)
{
	struct fake_world *w = in_doubt(state, true);

	fake_answers(w, 50, CALL_RESOLVE, RESULT_RETRY, NULL, "connection refused");
	fake_revoked(w, false);
	fake_until(w, 0, "");
	assert_int_equal(fake_count_prefix(w, "publish:"), 0);
	assert_int_equal(fake_count(w, "give_back:0@0"), 1);
	assert_int_equal(w->partitions[0].row.published_offset, 0);
}

static void who_comes_after_a_revoked_doubt_publishes_what_was_committed(void **state)
{
	struct fake_world *w = in_doubt(state, true);

	fake_answers(w, 50, CALL_RESOLVE, RESULT_RETRY, NULL, "connection refused");
	fake_revoked(w, false);
	fake_until(w, 0, "");
	fake_assigned(w, "0");
	fake_settled(w);
	assert_int_equal(fake_count(w, "lookup:0@0-1"), 1);
	assert_int_equal(fake_count_prefix(w, "publish:"), 2);
	assert_int_equal(w->payment_count, 2);
	assert_int_equal(w->types[0].remaining, 98);
}

static void asked_to_stop_while_in_doubt_stops_and_publishes_nothing(void **state)
{
	struct fake_world *w = in_doubt(state, true);

	fake_answers(w, 50, CALL_RESOLVE, RESULT_RETRY, NULL, "connection refused");
	worker_stop(w->worker);
	for (int i = 0; i < 100 && fake_step(w) != WORKER_STOPPED; i++)
		;
	assert_int_equal(fake_step(w), WORKER_STOPPED);
	assert_int_equal(fake_count_prefix(w, "publish:"), 0);
	assert_int_equal(w->partitions[0].committed, 0);
}

static void the_others_go_on_while_one_is_in_doubt(void **state)
{
	(void)state;
	struct fake_world *w = fake_new(2);

	fake_consuming(w);
	fake_script(w, (struct fake_answer){.call = CALL_COMMIT, .result = RESULT_IN_DOUBT});
	fake_orders(w, 0, 1);
	fake_until(w, 0, "in doubt");
	fake_answers(w, 20, CALL_RESOLVE, RESULT_RETRY, NULL, "connection refused");
	fake_orders(w, 1, 3);
	fake_until_saw(w, "publish:1-2");
	assert_string_equal(fake_state(w, 0), "in doubt");
	fake_free(w);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
	const struct CMUnitTest tests[] = {
		CASE(in_doubt_and_committed_is_published_once),
		CASE(in_doubt_and_not_committed_is_done_again),
		CASE(still_in_doubt_is_asked_again_and_nothing_else_is_done),
		CASE(in_doubt_with_another_owner_publishes_nothing),
		CASE(revoked_while_in_doubt_publishes_nothing),
		CASE(who_comes_after_a_revoked_doubt_publishes_what_was_committed),
		CASE(asked_to_stop_while_in_doubt_stops_and_publishes_nothing),
		cmocka_unit_test(the_others_go_on_while_one_is_in_doubt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
