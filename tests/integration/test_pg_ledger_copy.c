/* SPDX-License-Identifier: Apache-2.0 */
#include "pg_fixture.h"

#include <stdio.h>

/* Payments of large batches go by COPY; what exists already sends them other ways. */

/* Uses the `err` of the case. */
#define OK(call) assert_result(RESULT_OK, call, &err)

enum { N = 1000 };

/* Orders o-FROM ... of ticket type 1, one each, in another order than that of their ids. */
static struct batch *large_batch(const struct progress *p, int64_t offset, int from)
{
	struct batch *b = batch_new(N + 1);
	struct error err = {0};

	assert_non_null(b);
	b->topic = TOPIC;
	b->expected = offset;
	b->published = p->published_offset;
	memcpy(b->owner, p->owner, sizeof(b->owner));
	for (int i = 0; i < N; i++) {
		char order[40];

		snprintf(order, sizeof(order), "o-%06d", from + (i * 7919) % N);

		const char *value = event(order, "key with \\\"quotes\\\"", 1, 1);
		struct raw_record raw = {.offset = offset + i,
			.timestamp_ms = 1700000000000,
			.value = {value, strlen(value)}};

		OK(batch_append(b, &raw, 65536, &err));
	}
	batch_slice(b, 0, N);
	return b;
}

static void plenty(void)
{
	sql("UPDATE ticket_type SET total = 1000000, remaining = 1000000 WHERE id = 1");
	/* From here on the statements that reach the table are counted. */
	sql("CREATE TABLE IF NOT EXISTS writes (n bigint GENERATED ALWAYS AS IDENTITY)");
	sql("GRANT INSERT ON writes TO PUBLIC");
	sql("TRUNCATE writes");
}

static void a_large_batch_is_copied_column_by_column(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = large_batch(&p, 0, 0);

	plenty();
	OK(decide_all(l, b, &err));
	assert_int_equal(decide_tally(b).fresh, N);
	assert_sql("1000", "SELECT count(*) FROM payment WHERE payment_key = 'key with \"quotes\"'"
			   " AND ticket_type_id = 1 AND member_id = 7 AND quantity = 1"
			   " AND amount = 9900 AND status = 'CONFIRMED' AND kafka_partition = 0"
			   " AND order_id = 'o-' || lpad(((kafka_offset * 7919) %% 1000)::text, 6,"
			   " '0')");
	/* The server's clock, the same that outcomes tell. */
	char expected[32];

	snprintf(expected, sizeof(expected), "%lld", (long long)b->decided_at_us);
	assert_sql(expected, "SELECT DISTINCT (extract(epoch FROM decided_at) * 1000000)::bigint"
			     " FROM payment");
	assert_sql("999000", "SELECT remaining FROM ticket_type WHERE id = 1");
}

/* A statement trigger tells COPY from insert: what it sees is the client's statement. */
static void one_order_that_exists_sends_the_batch_through_the_insert(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = large_batch(&p, 0, 0);
	CLEANUP(batch_done_ptr) struct batch *overlapping = large_batch(&p, N, N - 1);

	plenty();
	OK(decide_all(l, b, &err));
	OK(decide_all(l, overlapping, &err));
	assert_int_equal(decide_tally(overlapping).fresh, N - 1);
	assert_int_equal(decide_tally(overlapping).duplicates, 1);

	/* Now duplicates are about: COPY is not tried until 64 batches had none. */
	trigger_create("BEFORE INSERT ON payment FOR EACH STATEMENT",
		"IF current_query() LIKE 'COPY%' THEN"
		" INSERT INTO tickets.writes DEFAULT VALUES; END IF");
	for (int i = 2; i <= 66; i++) {
		CLEANUP(batch_done_ptr) struct batch *more = large_batch(&p, i * N, i * N);

		assert_sql("0", "SELECT count(*) FROM writes");
		OK(decide_all(l, more, &err));
		assert_int_equal(decide_tally(more).fresh, N);
	}
	trigger_drop();
	assert_sql("1", "SELECT count(*) FROM writes");
	assert_sql("66999", "SELECT count(*) FROM payment");
	assert_sql("933001", "SELECT remaining FROM ticket_type WHERE id = 1");
}

static void refused_records_keep_their_letters_when_the_copy_is_given_up(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = large_batch(&p, 0, 0);
	CLEANUP(batch_done_ptr) struct batch *overlapping = large_batch(&p, N, N - 1);
	struct raw_record bad = {.offset = 2 * N,
		.timestamp_ms = 1700000000000,
		.value = {"no JSON", strlen("no JSON")}};

	plenty();
	OK(decide_all(l, b, &err));
	OK(batch_append(overlapping, &bad, 65536, &err));
	batch_slice(overlapping, 0, N + 1);
	OK(decide_all(l, overlapping, &err));
	assert_int_equal(decide_tally(overlapping).duplicates, 1);
	assert_int_equal(decide_tally(overlapping).refused, 1);
	assert_sql("1", "SELECT count(*) FROM dead_letter WHERE kafka_offset = 2000");
}

static void an_order_that_another_inserts_meanwhile_is_a_duplicate(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = large_batch(&p, 0, 0);
	CLEANUP(session_close_ptr) PGconn *s = session_open();
	struct other o = {.call = decide_all, .l = l, .b = b};

	plenty();
	session_sql(s, "BEGIN");
	session_sql(s,
		"INSERT INTO payment VALUES ('o-000500', 'other', 1, 7, 1, 9900, 'CONFIRMED',"
		" 1, 77, now())");
	other_start(&o);
	wait_for_waiter();
	session_sql(s, "COMMIT");
	assert_result(RESULT_OK, other_end(&o), &o.err);
	assert_int_equal(decide_tally(b).fresh, N - 1);
	assert_int_equal(decide_tally(b).conflicts, 1);
	assert_sql("1000 1",
		"SELECT count(*) || ' ' || count(*) FILTER (WHERE payment_key = 'other')"
		" FROM payment");
	(void)err;
}

static void data_that_the_server_refuses_in_a_copy_is_a_reject(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = large_batch(&p, 0, 0);

	sql("ALTER TABLE payment ADD CONSTRAINT odd CHECK (order_id <> 'o-000400')");
	assert_result(RESULT_REJECT, pg_ledger_ops.begin(l, b, &err), &err);
	assert_string_equal(err.sqlstate, "23514");
	sql("ALTER TABLE payment DROP CONSTRAINT odd");
	assert_no_effect();
	OK(decide_all(l, b, &err)); /* on the same connection */
}

static void a_missing_right_in_a_copy_is_named(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = large_batch(&p, 0, 0);

	sql("REVOKE INSERT ON payment FROM %s", fixture_daemon());
	assert_result(RESULT_RETRY, pg_ledger_ops.begin(l, b, &err), &err);
	assert_string_equal(err.sqlstate, "42501");
	assert_says(&err, "payment");
	sql("GRANT INSERT ON payment TO %s", fixture_daemon());
	OK(decide_all(l, b, &err));
}

static void rows_that_a_trigger_swallows_are_noticed(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = large_batch(&p, 0, 0);

	trigger_create("BEFORE INSERT ON payment FOR EACH ROW",
		"IF NEW.order_id = 'o-000007' THEN RETURN NULL; END IF");
	assert_result(RESULT_RETRY, pg_ledger_ops.begin(l, b, &err), &err);
	assert_says(&err, "trigger");
	trigger_drop();
	assert_no_effect();
}

static void a_copy_that_lasts_too_long_ends_with_the_transaction(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = large_batch(&p, 0, 0);

	trigger_create("BEFORE INSERT ON payment FOR EACH STATEMENT", "PERFORM pg_sleep(60)");
	assert_result(RESULT_RETRY, pg_ledger_ops.begin(l, b, &err), &err);
	assert_string_equal(err.sqlstate, "57014");
	trigger_drop();
	assert_no_effect();
	OK(decide_all(l, b, &err));
}

static void a_connection_that_breaks_in_a_copy_is_no_fault_of_the_batch(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = large_batch(&p, 0, 0);
	struct other o = {.call = decide_all, .l = l, .b = b};

	trigger_create("BEFORE INSERT ON payment FOR EACH STATEMENT", "PERFORM pg_sleep(60)");
	other_start(&o);
	wait_sql("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
	kill_sessions();
	assert_result(RESULT_RETRY, other_end(&o), &o.err);
	trigger_drop();
	assert_no_effect();
	OK(decide_all(l, b, &err));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, case_setup, case_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_large_batch_is_copied_column_by_column),
		CASE(one_order_that_exists_sends_the_batch_through_the_insert),
		CASE(refused_records_keep_their_letters_when_the_copy_is_given_up),
		CASE(an_order_that_another_inserts_meanwhile_is_a_duplicate),
		CASE(data_that_the_server_refuses_in_a_copy_is_a_reject),
		CASE(a_missing_right_in_a_copy_is_named),
		CASE(rows_that_a_trigger_swallows_are_noticed),
		CASE(a_copy_that_lasts_too_long_ends_with_the_transaction),
		CASE(a_connection_that_breaks_in_a_copy_is_no_fault_of_the_batch),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
