/* SPDX-License-Identifier: Apache-2.0 */
#include "pg_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

/* The ledger's way to its server: what it checks before READY, and how it connects. */

/* ---- check --------------------------------------------------------------------------------- */

static void check_names_what_is_missing(void **state)
{
	static const struct {
		const char *breaks, *mends, *says;
	} cases[] = {
		{"REVOKE INSERT ON payment FROM %s", "GRANT INSERT ON payment TO %s",
			"INSERT on table payment"},
		{"REVOKE UPDATE (remaining) ON ticket_type FROM %s",
			"GRANT UPDATE (remaining) ON ticket_type TO %s",
			"UPDATE (remaining) on table ticket_type"},
		{"REVOKE SELECT ON dead_letter FROM %s", "GRANT SELECT ON dead_letter TO %s",
			"grants.sql"},
		{"ALTER TABLE dead_letter RENAME TO gone", "ALTER TABLE gone RENAME TO dead_letter",
			"no table dead_letter"},
		{"REVOKE USAGE ON SCHEMA tickets FROM %s", "GRANT USAGE ON SCHEMA tickets TO %s",
			"schema_version"},
		{"DELETE FROM schema_version", "INSERT INTO schema_version VALUES (1)",
			"ticketpayctl migrate --apply"},
		{"INSERT INTO schema_version VALUES (2)",
			"DELETE FROM schema_version WHERE version = 2", "of version 2"},
		{"UPDATE consumer_progress SET topic = 'another'",
			"UPDATE consumer_progress SET topic = '" TOPIC "'", "topic another"},
		{"ALTER ROLE %s NOLOGIN", "ALTER ROLE %s LOGIN", "28000"},
	};
	struct error err = {0};

	assert_result(RESULT_OK, pg_ledger_ops.check(*state, &err), &err);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP(pg_ledger_free_ptr) struct pg_ledger *l = ledger_open("", true);
		char text[200];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(text, sizeof(text), cases[i].breaks, fixture_daemon());
		sql("%s", text);
		assert_result(RESULT_FATAL, pg_ledger_ops.check(l, &err), &err);
		assert_says(&err, cases[i].says);
		snprintf(text, sizeof(text), cases[i].mends, fixture_daemon());
		sql("%s", text);
#pragma GCC diagnostic pop
		assert_result(RESULT_OK, pg_ledger_ops.check(l, &err), &err);
	}
}

static void check_refuses_another_encoding(void **state)
{
	CLEANUP(pg_ledger_free_ptr) struct pg_ledger *l = NULL;
	char more[100];
	struct error err = {0};

	(void)state;
	sql("CREATE DATABASE %s_ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0",
		fixture_database());
	snprintf(more, sizeof(more), "dbname=%s_ascii", fixture_database());
	l = ledger_open(more, true);

	enum result r = pg_ledger_ops.check(l, &err);

	sql("DROP DATABASE %s_ascii WITH (FORCE)", fixture_database());
	assert_int_equal(r, RESULT_FATAL);
	assert_says(&err, "UTF8");

	CLEANUP(pg_ledger_free_ptr) struct pg_ledger *gone = ledger_open(more, true);

	assert_result(RESULT_FATAL, pg_ledger_ops.check(gone, &err), &err);
	assert_string_equal(err.sqlstate, "3D000");
}

static void a_server_that_is_not_there_is_waited_for(void **state)
{
	CLEANUP(pg_ledger_free_ptr)
	struct pg_ledger *nobody = ledger_open("host=127.0.0.1 port=1", true);
	struct progress p;
	struct error err = {0};

	assert_result(RESULT_RETRY, pg_ledger_ops.check(nobody, &err), &err);
	assert_string_equal(err.sqlstate, "");
	assert_says(&err, "refused");

	sql("ALTER ROLE %s CONNECTION LIMIT 0", fixture_daemon());
	enum result r = pg_ledger_ops.check(*state, &err);
	sql("ALTER ROLE %s CONNECTION LIMIT -1", fixture_daemon());
	assert_int_equal(r, RESULT_RETRY);
	assert_string_equal(err.sqlstate, "");
	assert_says(&err, "53300");

	/* The same in work, where even a missing role only waits. */
	sql("ALTER ROLE %s NOLOGIN", fixture_daemon());
	r = pg_ledger_ops.claim(*state, 0, &p, &err);
	sql("ALTER ROLE %s LOGIN", fixture_daemon());
	assert_int_equal(r, RESULT_RETRY);
	assert_string_equal(err.sqlstate, "28000");
	(void)claim(*state, 0);
}

static void a_bad_conninfo_is_not_shown(void **state)
{
	const struct pg_ledger_config config = {.conninfo = "password=hush host", .passfile = ""};
	struct pg_ledger *l = NULL;
	struct error err = {0};

	(void)state;
	assert_int_equal(pg_ledger_open(&config, &l, &err), RESULT_FATAL);
	assert_null(strstr(err.text, "hush"));
}

/* Whether libpq takes it is seen where a password is asked for: here, what we say before. */
static void a_password_file_that_libpq_would_pass_over_is_named(void **state)
{
	char path[] = "/tmp/tp_passfile_XXXXXX";
	int fd = mkstemp(path);
	struct error err = {0};

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0644), 0);
	close(fd);
	{
		CLEANUP(pg_ledger_free_ptr)
		struct pg_ledger *l = ledger_open_with("", true, path, 1000, NULL);

		assert_result(RESULT_FATAL, pg_ledger_ops.check(l, &err), &err);
		assert_says(&err, "chmod 600");
		assert_int_equal(chmod(path, 0600), 0);
		assert_result(RESULT_OK, pg_ledger_ops.check(l, &err), &err);

		/* A systemd credential may be readable by the group: that is its access list. */
		CLEANUP(pg_ledger_free_ptr)
		struct pg_ledger *c = ledger_open_with("", true, path + 5, 1000, NULL);

		assert_int_equal(chmod(path, 0440), 0);
		setenv("CREDENTIALS_DIRECTORY", "/tmp", 1);
		assert_result(RESULT_OK, pg_ledger_ops.check(c, &err), &err);
		unsetenv("CREDENTIALS_DIRECTORY");
	}
	unlink(path);

	CLEANUP(pg_ledger_free_ptr)
	struct pg_ledger *gone = ledger_open_with("", true, path, 1000, NULL);

	assert_result(RESULT_FATAL, pg_ledger_ops.check(gone, &err), &err);
	assert_says(&err, path);
}

/* ---- connecting ---------------------------------------------------------------------------- */

/* A port that takes connections and never says a word. */
static int silent_port(int *ret_port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	*ret_port = ntohs(at.sin_port);
	return fd;
}

static void a_silent_host_is_left_for_the_next_one(void **state)
{
	int port, fd = silent_port(&port);
	char more[500];
	struct progress p;
	struct error err = {0};
	int64_t start_us = clock_monotonic_us();

	(void)state;
	snprintf(more, sizeof(more), "host=127.0.0.1,%s port=%d,%s", fixture_host(), port,
		fixture_port());

	CLEANUP(pg_ledger_free_ptr)
	struct pg_ledger *l = ledger_open_with(more, true, "", 300, NULL);

	assert_result(RESULT_RETRY, pg_ledger_ops.claim(l, 0, &p, &err), &err);
	assert_says(&err, "connect_timeout_ms");
	assert_true(clock_monotonic_us() - start_us < 1000000);
	assert_result(RESULT_OK, pg_ledger_ops.claim(l, 0, &p, &err), &err);
	close(fd);
}

static void a_wake_ends_connecting_and_no_transaction(void **state)
{
	int port, fd = silent_port(&port);
	char more[100];
	struct waker w;
	struct progress p;
	struct error err = {0};

	(void)state;
	assert_true(waker_init(&w));
	snprintf(more, sizeof(more), "host=127.0.0.1 port=%d", port);

	CLEANUP(pg_ledger_free_ptr) struct pg_ledger *l = ledger_open_with("", true, "", 1000, &w);
	CLEANUP(pg_ledger_free_ptr)
	struct pg_ledger *silent = ledger_open_with(more, true, "", 30000, &w);

	p = claim(l, 0);

	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 1));

	assert_result(RESULT_OK, decide_until_stock(l, b, &err), &err);
	waker_wake(&w);
	assert_result(RESULT_OK, pg_ledger_ops.lock_stock(l, b, &err), &err);
	assert_result(RESULT_RETRY, pg_ledger_ops.claim(silent, 0, &p, &err), &err);
	assert_string_equal(err.text, "stopping");
	close(fd);
	waker_done(&w);
}

static void a_lost_connection_is_made_again_by_the_next_call(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 1));

	/* Between transactions nothing is lost by it: no failure at all. */
	kill_sessions();
	assert_result(RESULT_OK, decide_until_stock(l, b, &err), &err);

	kill_sessions();
	assert_result(RESULT_RETRY, pg_ledger_ops.lock_stock(l, b, &err), &err);
	pg_ledger_ops.abort(l);
	batch_slice(b, 0, 1);
	assert_result(RESULT_OK, decide_until_commit(l, b, &err), &err);

	/* Known before COMMIT was sent: not in doubt. */
	kill_sessions();
	assert_result(RESULT_RETRY, pg_ledger_ops.commit(l, b, &err), &err);
	assert_no_effect();
	batch_slice(b, 0, 1);
	assert_result(RESULT_OK, decide_all(l, b, &err), &err);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, case_setup, case_teardown)
	const struct CMUnitTest tests[] = {
		CASE(check_names_what_is_missing),
		CASE(check_refuses_another_encoding),
		CASE(a_server_that_is_not_there_is_waited_for),
		CASE(a_bad_conninfo_is_not_shown),
		CASE(a_password_file_that_libpq_would_pass_over_is_named),
		CASE(a_silent_host_is_left_for_the_next_one),
		CASE(a_wake_ends_connecting_and_no_transaction),
		CASE(a_lost_connection_is_made_again_by_the_next_call),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
