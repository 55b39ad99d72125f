/* SPDX-License-Identifier: Apache-2.0 */
#include "pg_fixture.h"

#include <stdio.h>

#include "base/clock.h"
#include "pg_proxy.h"

/* When there is no answer: deadlines, and COMMITs of which nobody knows what became of them. */

static enum result commit(struct pg_ledger *l, struct batch *b, struct error *err)
{
	return pg_ledger_ops.commit(l, b, err);
}

static struct pg_ledger *ledger_through(const struct pg_proxy *proxy)
{
	char more[100];

	snprintf(
		more, sizeof(more), "host=127.0.0.1 port=%d sslmode=disable", pg_proxy_port(proxy));
	return ledger_open(more, false);
}

static void a_slow_statement_is_ended_by_the_server(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 1));
	int64_t start_us = clock_monotonic_us();

	sql("CREATE TEMP TABLE mine AS SELECT pid FROM pg_stat_activity WHERE usename = '%s'",
		fixture_daemon());
	trigger_create("BEFORE INSERT ON payment FOR EACH ROW", "PERFORM pg_sleep(60)");
	assert_result(RESULT_RETRY, pg_ledger_ops.begin(l, b, &err), &err);
	trigger_drop();
	assert_string_equal(err.sqlstate, "57014");
	assert_true(clock_monotonic_us() - start_us < TIMEOUT_MS * INT64_C(1000));
	assert_no_effect();
	assert_result(RESULT_OK, decide_all(l, b, &err), &err);
	assert_sql("1", "SELECT count(*) FROM pg_stat_activity JOIN mine USING (pid)");
	sql("DROP TABLE mine");
}

static void a_frozen_server_costs_one_deadline(void **state)
{
	struct pg_proxy *proxy = pg_proxy_start(fixture_host(), fixture_port());
	struct pg_ledger *l = ledger_through(proxy);
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 1));
	int64_t start_us = clock_monotonic_us();

	(void)state;
	assert_result(RESULT_OK, decide_until_stock(l, b, &err), &err);
	pg_proxy_fault(proxy, PG_PROXY_FREEZE);
	assert_result(RESULT_RETRY, pg_ledger_ops.lock_stock(l, b, &err), &err);
	int64_t took_us = clock_monotonic_us() - start_us;
	assert_string_equal(err.sqlstate, "57014");
	assert_in_range(took_us, TIMEOUT_MS * 900, TIMEOUT_MS * 1200);
	pg_ledger_ops.abort(l);

	/* The client is gone for the server only when the network says so; its own timeout for
	 * idle transactions frees the rows at the latest then. */
	sql("SET lock_timeout = '5s'");
	sql("UPDATE consumer_progress SET claimed_by = claimed_by");
	sql("RESET lock_timeout");
	pg_proxy_fault(proxy, PG_PROXY_NONE);
	batch_slice(b, 0, 1);
	assert_result(RESULT_OK, decide_all(l, b, &err), &err);
	pg_ledger_free(l);
	pg_proxy_stop(proxy);
}

static void commit_is_in_doubt_and_resolved(void **state)
{
	struct pg_proxy *proxy = pg_proxy_start(fixture_host(), fixture_port());
	struct pg_ledger *l = ledger_through(proxy);
	struct progress p = claim(l, 0);
	struct error err = {0};
	enum resolution what = RESOLUTION_COMMITTED;
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 1));

	(void)state;
	assert_result(RESULT_OK, decide_until_commit(l, b, &err), &err);
	pg_proxy_fault(proxy, PG_PROXY_CUT_BEFORE);
	assert_result(RESULT_IN_DOUBT, pg_ledger_ops.commit(l, b, &err), &err);
	assert_string_equal(err.sqlstate, "");
	assert_result(RESULT_OK, pg_ledger_ops.resolve(l, b, &what, &err), &err);
	assert_int_equal(what, RESOLUTION_NOT_COMMITTED);
	assert_no_effect();

	batch_slice(b, 0, 1);
	assert_result(RESULT_OK, decide_until_commit(l, b, &err), &err);
	pg_proxy_fault(proxy, PG_PROXY_CUT_AFTER);
	assert_result(RESULT_IN_DOUBT, pg_ledger_ops.commit(l, b, &err), &err);
	assert_result(RESULT_OK, pg_ledger_ops.resolve(l, b, &what, &err), &err);
	assert_int_equal(what, RESOLUTION_COMMITTED);
	assert_sql("99", "SELECT remaining FROM ticket_type WHERE id = 1");

	/* Another has it by now, whatever became of ours. */
	sql("UPDATE consumer_progress SET owner = gen_random_uuid()");
	assert_result(RESULT_FENCED, pg_ledger_ops.resolve(l, b, &what, &err), &err);
	sql("UPDATE consumer_progress SET owner = NULL");
	assert_result(RESULT_FENCED, pg_ledger_ops.resolve(l, b, &what, &err), &err);
	sql("TRUNCATE consumer_progress");
	assert_result(RESULT_FENCED, pg_ledger_ops.resolve(l, b, &what, &err), &err);
	pg_ledger_free(l);
	pg_proxy_stop(proxy);
}

static void commit_answered_with_rollback_has_failed(void **state)
{
	struct pg_proxy *proxy = pg_proxy_start(fixture_host(), fixture_port());
	struct pg_ledger *l = ledger_through(proxy);
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 1));

	(void)state;
	assert_result(RESULT_OK, decide_until_commit(l, b, &err), &err);
	pg_proxy_fault(proxy, PG_PROXY_ANSWER_ROLLBACK);
	assert_result(RESULT_RETRY, pg_ledger_ops.commit(l, b, &err), &err);
	assert_says(&err, "ROLLBACK");
	pg_ledger_free(l);
	pg_proxy_stop(proxy);
}

static void an_error_in_answer_to_commit_is_certain(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 1));

	sql("CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS"
	    " $$ BEGIN RAISE serialization_failure; END $$");
	sql("CREATE CONSTRAINT TRIGGER fault AFTER INSERT ON payment DEFERRABLE INITIALLY DEFERRED"
	    " FOR EACH ROW EXECUTE FUNCTION fault()");
	assert_result(RESULT_OK, decide_until_commit(l, b, &err), &err);
	assert_result(RESULT_RETRY, pg_ledger_ops.commit(l, b, &err), &err);
	assert_string_equal(err.sqlstate, "40001");
	trigger_drop();
	assert_no_effect();
	batch_slice(b, 0, 1);
	assert_result(RESULT_OK, decide_all(l, b, &err), &err);
}

/* A COMMIT that works on while nobody waits for it any more: still in doubt, then it is not. */
static void a_commit_still_at_work_keeps_the_doubt(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	enum resolution what = RESOLUTION_COMMITTED;
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 1));
	int64_t start_us = clock_monotonic_us();

	sql("CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS"
	    " $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$");
	sql("CREATE CONSTRAINT TRIGGER fault AFTER INSERT ON payment DEFERRABLE INITIALLY DEFERRED"
	    " FOR EACH ROW EXECUTE FUNCTION fault()");
	assert_result(RESULT_OK, decide_until_commit(l, b, &err), &err);
	assert_result(RESULT_IN_DOUBT, pg_ledger_ops.commit(l, b, &err), &err);
	assert_true(clock_monotonic_us() - start_us < TIMEOUT_MS * INT64_C(1200));
	assert_result(RESULT_BUSY, pg_ledger_ops.resolve(l, b, &what, &err), &err);
	assert_string_equal(err.sqlstate, "55P03");

	sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
	    " WHERE usename = '%s' AND query = 'COMMIT'",
		fixture_daemon());
	assert_result(RESULT_OK, pg_ledger_ops.resolve(l, b, &what, &err), &err);
	assert_int_equal(what, RESOLUTION_NOT_COMMITTED);
	trigger_drop();
	assert_no_effect();
}

/* The server says why it hangs up, and that says nothing about what it has done. */
static void a_backend_that_is_ended_in_commit_leaves_doubt(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 1));
	struct other o = {.call = commit, .l = l, .b = b};
	struct error err = {0};

	sql("CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS"
	    " $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$");
	sql("CREATE CONSTRAINT TRIGGER fault AFTER INSERT ON payment DEFERRABLE INITIALLY DEFERRED"
	    " FOR EACH ROW EXECUTE FUNCTION fault()");
	assert_result(RESULT_OK, decide_until_commit(l, b, &err), &err);
	other_start(&o);
	wait_sql("SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = '%s'"
		 " AND wait_event = 'PgSleep'",
		fixture_daemon());
	kill_sessions();
	assert_int_equal(other_end(&o), RESULT_IN_DOUBT);
	assert_string_equal(o.err.sqlstate, "57P01");
	trigger_drop();
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, case_setup, case_teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_slow_statement_is_ended_by_the_server),
		CASE(a_frozen_server_costs_one_deadline),
		CASE(commit_is_in_doubt_and_resolved),
		CASE(commit_answered_with_rollback_has_failed),
		CASE(an_error_in_answer_to_commit_is_certain),
		CASE(a_commit_still_at_work_keeps_the_doubt),
		CASE(a_backend_that_is_ended_in_commit_leaves_doubt),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
