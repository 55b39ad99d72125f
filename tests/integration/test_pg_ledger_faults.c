/* SPDX-License-Identifier: Apache-2.0 */
#include "pg_fixture.h"

#include "io/pg_statements.h"

#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"

/* The ledger among other sessions, and with tables that are not as they should be. */

/* ---- locks --------------------------------------------------------------------------------- */

static void a_row_held_by_others_times_out_and_keeps_the_connection(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(session_close_ptr) PGconn *s = session_open();
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 1));
	int64_t start_us = clock_monotonic_us();

	sql("CREATE TEMP TABLE mine AS SELECT pid FROM pg_stat_activity WHERE usename = '%s'",
		fixture_daemon());
	session_sql(s, "BEGIN; UPDATE ticket_type SET name = name");
	assert_result(RESULT_RETRY, decide_until_commit(l, b, &err), &err);
	assert_string_equal(err.sqlstate, "55P03");
	assert_true(clock_monotonic_us() - start_us < TIMEOUT_MS * INT64_C(1000));
	assert_no_effect();
	session_sql(s, "ROLLBACK");
	batch_slice(b, 0, 1);
	assert_result(RESULT_OK, decide_all(l, b, &err), &err);
	assert_sql("1", "SELECT count(*) FROM pg_stat_activity JOIN mine USING (pid)");
	sql("DROP TABLE mine");

	/* The group's lock, and the row itself. */
	const struct position start = {5, 0};

	session_sql(s,
		"BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('" GROUP
		"' || E'\\n' || '" TOPIC "', 0)); UPDATE consumer_progress SET owner = owner");
	assert_result(RESULT_RETRY, pg_ledger_ops.create(l, &start, 1, &err), &err);
	assert_string_equal(err.sqlstate, "55P03");
	assert_result(RESULT_RETRY, pg_ledger_ops.claim(l, 0, &p, &err), &err);
	assert_string_equal(err.sqlstate, "55P03");
}

/* One budget: the longer one lock was waited for, the less is left for the next. */
static void a_second_wait_has_only_what_is_left(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	CLEANUP(session_close_ptr) PGconn *s = session_open();
	CLEANUP(session_close_ptr) PGconn *stock = session_open();
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 1));
	struct other o = {.call = decide_until_commit, .l = l, .b = b};
	int64_t start_us = clock_monotonic_us();

	session_sql(s, "BEGIN; UPDATE consumer_progress SET claimed_by = claimed_by");
	session_sql(stock, "BEGIN; UPDATE ticket_type SET name = name");
	other_start(&o);
	wait_sql("SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = '%s'"
		 " AND wait_event_type = 'Lock' AND clock_timestamp() - state_change > '0.8 s'",
		fixture_daemon());
	session_sql(s, "COMMIT");
	assert_int_equal(other_end(&o), RESULT_RETRY);
	assert_string_equal(o.err.sqlstate, "55P03"); /* the server's answer, not our deadline */
	assert_true(clock_monotonic_us() - start_us < TIMEOUT_MS * INT64_C(1000));
}

static void the_decision_follows_what_the_lock_was_waited_for(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(session_close_ptr) PGconn *s = session_open();
	CLEANUP(batch_done_ptr)
	struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 60), event("o-2", "k", 2, 1));
	struct other o = {.call = decide_all, .l = l, .b = b};

	/* An operator takes tickets away and deletes a type while we wait for the row. */
	session_sql(s, "BEGIN; UPDATE ticket_type SET total = 50, remaining = 50 WHERE id = 1;"
		       " DELETE FROM ticket_type WHERE id = 2");
	other_start(&o);
	wait_for_waiter();
	session_sql(s, "COMMIT");
	assert_result(RESULT_OK, other_end(&o), &o.err);
	assert_int_equal(batch_record(b, 0)->status, PAYMENT_SOLD_OUT);
	assert_int_equal(batch_record(b, 0)->remaining, 50);
	assert_int_equal(batch_record(b, 1)->status, PAYMENT_UNKNOWN_TICKET_TYPE);
	assert_sql("50", "SELECT remaining FROM ticket_type WHERE id = 1");
	(void)err;
}

static void an_order_of_another_partition_at_the_same_moment_is_a_duplicate(void **state)
{
	struct pg_ledger *l = *state;
	CLEANUP(pg_ledger_free_ptr) struct pg_ledger *l1 = ledger_open("", true);
	struct progress p0 = claim(l, 0), p1 = claim(l1, 1);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b0 = BATCH(&p0, 0, 0, event("o-1", "k", 1, 1));
	CLEANUP(batch_done_ptr) struct batch *b1 = BATCH(&p1, 1, 0, event("o-1", "k", 1, 1));
	struct other o = {.call = decide_all, .l = l1, .b = b1};

	assert_result(RESULT_OK, decide_until_commit(l, b0, &err), &err);
	other_start(&o);
	wait_for_waiter();
	assert_result(RESULT_OK, pg_ledger_ops.commit(l, b0, &err), &err);
	assert_result(RESULT_OK, other_end(&o), &o.err);
	assert_int_equal(batch_record(b1, 0)->verdict, VERDICT_DUPLICATE);
	assert_sql("99", "SELECT remaining FROM ticket_type WHERE id = 1");
}

/* Two workers, the same orders in opposite directions, both ticket types: no deadlock, all exact.
 */
struct crowd {
	pthread_t thread;
	int partition, failures;
	struct pg_ledger *l;
	struct progress p;
};

enum { CROWD_BATCHES = 30, CROWD_BATCH = 40 };

static void *crowd_run(void *self)
{
	struct crowd *c = self;

	for (int n = 0; n < CROWD_BATCHES; n++) {
		CLEANUP(batch_free_ptr) struct batch *b = batch_new(CROWD_BATCH);
		struct error err = {0};

		b->topic = TOPIC;
		b->partition = c->partition;
		memcpy(b->owner, c->p.owner, sizeof(b->owner));
		b->expected = (int64_t)n * CROWD_BATCH;
		for (int i = 0; i < CROWD_BATCH; i++) {
			int id = n * CROWD_BATCH + (c->partition ? CROWD_BATCH - i : i);
			char value[300];
			struct raw_record raw = {.offset = b->expected + i, .timestamp_ms = 1};

			raw.value.data = value;
			raw.value.length = (size_t)snprintf(value, sizeof(value),
				"{\"orderId\":\"o-%d\",\"paymentKey\":\"k\",\"amount\":1,"
				"\"ticketTypeId\":%d,\"memberId\":7}",
				id, 1 + id % 2);
			c->failures += batch_append(b, &raw, 65536, &err) != RESULT_OK;
		}
		batch_slice(b, 0, CROWD_BATCH);
		if (decide_all(c->l, b, &err) != RESULT_OK) {
			fprintf(stderr, "partition %d: %s\n", c->partition, err.text);
			c->failures++;
			return NULL;
		}
	}
	return NULL;
}

static void workers_with_the_same_orders_do_not_deadlock(void **state)
{
	CLEANUP(pg_ledger_free_ptr) struct pg_ledger *l1 = ledger_open("", false);
	struct crowd c[2] = {{.partition = 0, .l = *state}, {.partition = 1, .l = l1}};

	sql("UPDATE ticket_type SET total = 500, remaining = 500");
	for (int i = 0; i < 2; i++) {
		c[i].p = claim(c[i].l, i);
		assert_int_equal(pthread_create(&c[i].thread, NULL, crowd_run, &c[i]), 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(c[i].thread, NULL);
	assert_int_equal(c[0].failures + c[1].failures, 0);
	assert_sql("0", "SELECT count(*) FROM ticket_type t WHERE total - remaining <>"
			" (SELECT sum(quantity) FROM payment WHERE ticket_type_id = t.id"
			" AND status = 'CONFIRMED')");
	assert_sql("0", "SELECT sum(remaining) FROM ticket_type");
	assert_sql("2400", "SELECT sum(next_offset) FROM consumer_progress");
}

/* ---- refusals ------------------------------------------------------------------------------ */

static void data_that_the_server_refuses_is_a_reject_only_in_payments(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr)
	struct batch *b =
		BATCH(&p, 0, 0, event("o-1", "k", 1, 1), event("o-2", "k", 1, 7), "nonsense");

	sql("ALTER TABLE payment ADD CONSTRAINT no_seven CHECK (quantity <> 7)");
	assert_result(RESULT_REJECT, pg_ledger_ops.begin(l, b, &err), &err);
	assert_string_equal(err.sqlstate, "23514");
	assert_says(&err, "no_seven");
	assert_null(strstr(err.text, "o-2"));
	sql("ALTER TABLE payment DROP CONSTRAINT no_seven");

	/* Class 22 names no table. */
	trigger_create("BEFORE INSERT ON payment FOR EACH ROW",
		"IF NEW.quantity = 7 THEN RAISE numeric_value_out_of_range USING MESSAGE = NEW.order_id;"
		" END IF");
	assert_result(RESULT_REJECT, pg_ledger_ops.begin(l, b, &err), &err);
	assert_string_equal(err.sqlstate, "22003");
	assert_null(strstr(err.text, "o-2"));
	trigger_drop();

	sql("ALTER TABLE dead_letter ADD CONSTRAINT no_json CHECK (reason <> 'BAD_JSON')");
	assert_result(RESULT_RETRY, pg_ledger_ops.begin(l, b, &err), &err);
	assert_string_equal(err.sqlstate, "23514");
	sql("ALTER TABLE dead_letter DROP CONSTRAINT no_json");
	assert_no_effect();

	/* Of the stock, in the last flush. */
	sql("ALTER TABLE ticket_type ADD CONSTRAINT no_odd CHECK (remaining %% 4 = 0) NOT VALID");
	sql("UPDATE ticket_type SET total = 4, remaining = 4 WHERE id = 2");
	batch_slice(b, 0, 2);
	assert_result(RESULT_OK, decide_until_commit(l, b, &err), &err);
	pg_ledger_ops.abort(l);
	batch_slice(b, 0, 1);
	assert_result(RESULT_RETRY, decide_until_commit(l, b, &err), &err);
	assert_string_equal(err.sqlstate, "23514");
	sql("ALTER TABLE ticket_type DROP CONSTRAINT no_odd");
	assert_no_effect();
}

static void a_missing_right_or_table_is_named_and_waited_for(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 1));

	sql("REVOKE INSERT ON payment FROM %s", fixture_daemon());
	assert_result(RESULT_RETRY, pg_ledger_ops.begin(l, b, &err), &err);
	assert_string_equal(err.sqlstate, "42501");
	assert_says(&err, "payment");
	assert_says(&err, "grants.sql");
	sql("GRANT INSERT ON payment TO %s", fixture_daemon());

	sql("ALTER TABLE payment RENAME TO gone");
	assert_result(RESULT_RETRY, pg_ledger_ops.begin(l, b, &err), &err);
	assert_string_equal(err.sqlstate, "42P01");
	assert_says(&err, "\"payment\"");
	sql("ALTER TABLE gone RENAME TO payment");
	assert_result(RESULT_OK, decide_all(l, b, &err), &err);
}

static void a_plan_that_is_out_of_date_is_made_anew(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 1));

	assert_result(RESULT_OK, decide_all(l, b, &err), &err);
	for (int i = 0; i < 2;
		i++) { /* the second one reads what existed by a prepared statement */
		sql("UPDATE consumer_progress SET next_offset = 0, published_offset = 0");
		batch_slice(b, 0, 1);
		if (i == 1)
			sql("ALTER TABLE payment ALTER quantity TYPE bigint");
		assert_result(i == 0 ? RESULT_OK : RESULT_RETRY, decide_all(l, b, &err), &err);
	}
	assert_string_equal(err.sqlstate, "0A000");
	assert_result(RESULT_OK, decide_all(l, b, &err), &err);
	assert_int_equal(batch_row(b, &b->candidates[0])->event.quantity, 1);
	sql("ALTER TABLE payment ALTER quantity TYPE int");
}

static void a_row_that_vanishes_means_the_same_batch_again(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 1));

	/* Skipped by the insert, and not there when it is read. */
	trigger_create("BEFORE INSERT ON payment FOR EACH ROW", "RETURN NULL");
	assert_result(RESULT_RETRY, pg_ledger_ops.begin(l, b, &err), &err);
	trigger_drop();
	assert_no_effect();

	/* The same for what the last flush must have changed. */
	trigger_create("BEFORE UPDATE ON ticket_type FOR EACH ROW", "RETURN NULL");
	batch_slice(b, 0, 1);
	assert_result(RESULT_RETRY, decide_until_commit(l, b, &err), &err);
	assert_says(&err, "ticket types");
	trigger_drop();
	assert_no_effect();
}

static void names_that_do_not_last_point_to_the_setting(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 1));
	CLEANUP(pg_ledger_free_ptr) struct pg_ledger *unnamed = ledger_open("", false);

	char prepare[80];

	/* As if another client of the pooler had the name of the insert. */
	snprintf(prepare, sizeof(prepare), "EXECUTE 'PREPARE ticketpay%d AS SELECT 1'",
		PG_INSERT_PAYMENTS);
	trigger_create("BEFORE UPDATE ON consumer_progress FOR EACH STATEMENT", prepare);
	assert_result(RESULT_RETRY, pg_ledger_ops.begin(l, b, &err), &err);
	assert_string_equal(err.sqlstate, "42P05");
	assert_null(strstr(err.text, "database.prepare"));
	assert_result(RESULT_RETRY, pg_ledger_ops.begin(l, b, &err), &err);
	assert_string_equal(err.sqlstate, "42P05");
	assert_says(&err, "database.prepare = false");
	assert_result(RESULT_OK, pg_ledger_ops.begin(unnamed, b, &err), &err);
	pg_ledger_ops.abort(unnamed);
	trigger_drop();

	/* Names that are gone: once, then the connection is a new one. */
	trigger_create("BEFORE UPDATE ON consumer_progress FOR EACH STATEMENT",
		"EXECUTE 'DEALLOCATE ALL'");
	assert_result(RESULT_OK, pg_ledger_ops.begin(l, b, &err), &err);
	pg_ledger_ops.abort(l);
	trigger_drop();
	assert_result(RESULT_RETRY, pg_ledger_ops.begin(l, b, &err), &err);
	assert_string_equal(err.sqlstate, "26000");
	batch_slice(b, 0, 1);
	assert_result(RESULT_OK, decide_all(l, b, &err), &err);
}

static void our_transaction_overrides_the_roles_defaults(void **state)
{
	static const char *const defaults[] = {"synchronous_commit = off",
		"default_transaction_isolation = 'repeatable read'",
		"default_transaction_read_only = on", "lock_timeout = '1ms'",
		"idle_in_transaction_session_timeout = '0'"};
	struct progress p = claim(*state, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 1));

	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
		sql("ALTER ROLE %s SET %s", fixture_daemon(), defaults[i]);
	sql("CREATE TABLE seen (text text)");
	sql("GRANT INSERT ON seen TO %s", fixture_daemon());
	trigger_create("BEFORE INSERT ON payment FOR EACH ROW",
		"INSERT INTO seen VALUES (concat_ws(' ', current_setting('synchronous_commit'),"
		" current_setting('transaction_isolation'), current_setting('transaction_read_only'),"
		" current_setting('idle_in_transaction_session_timeout')))");

	CLEANUP(pg_ledger_free_ptr) struct pg_ledger *l = ledger_open("", true);
	enum result r = decide_all(l, b, &err);
	enum result check = pg_ledger_ops.check(l, &err);

	trigger_drop();
	sql("ALTER ROLE %s RESET ALL", fixture_daemon());
	assert_result(RESULT_OK, r, &err);
	assert_result(RESULT_OK, check, &err);
	assert_sql("on read committed off 1500ms", "SELECT text FROM seen");
	sql("TRUNCATE seen");

	/* Stronger than ours: kept. (remote_apply waits for no standby where none is named.) */
	sql("ALTER ROLE %s SET synchronous_commit = 'remote_apply'", fixture_daemon());
	trigger_create("BEFORE UPDATE ON consumer_progress FOR EACH STATEMENT",
		"INSERT INTO seen VALUES (current_setting('synchronous_commit'))");

	CLEANUP(pg_ledger_free_ptr) struct pg_ledger *stronger = ledger_open("", true);

	r = pg_ledger_ops.publish_progress(stronger, 0, p.owner, 0, &err);
	trigger_drop();
	sql("ALTER ROLE %s RESET ALL", fixture_daemon());
	assert_result(RESULT_OK, r, &err);
	assert_sql("remote_apply", "SELECT text FROM seen");
	sql("DROP TABLE seen");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, case_setup, case_teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_row_held_by_others_times_out_and_keeps_the_connection),
		CASE(a_second_wait_has_only_what_is_left),
		CASE(the_decision_follows_what_the_lock_was_waited_for),
		CASE(an_order_of_another_partition_at_the_same_moment_is_a_duplicate),
		CASE(workers_with_the_same_orders_do_not_deadlock),
		CASE(data_that_the_server_refuses_is_a_reject_only_in_payments),
		CASE(a_missing_right_or_table_is_named_and_waited_for),
		CASE(a_plan_that_is_out_of_date_is_made_anew),
		CASE(a_row_that_vanishes_means_the_same_batch_again),
		CASE(names_that_do_not_last_point_to_the_setting),
		CASE(our_transaction_overrides_the_roles_defaults),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
