/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/clock.h"
#include "io/pg_error.h"
#include "io/pg_ledger_private.h"

/*
 * Is this the right database, and may we work in it? Asked before READY: what is wrong here needs a
 * person, and a daemon that went on would only wait. A server that does not answer is waited for.
 */

/* gen_random_uuid() */
enum { SERVER_VERSION_MIN = 130000 };

static enum result ask(struct pg_ledger *l, const char *what, const char *sql, int count,
	const char *const *values, PGresult **ret, struct error *err)
{
	return pg_conn_query(l->conn, what, sql, count, values, l->deadline_us, ret, err);
}

static enum result check_server(struct pg_ledger *l, struct error *err)
{
	CLEANUP(PQclear_ptr) PGresult *res = NULL;
	enum result r = ask(l, "tell its encoding", "SELECT pg_catalog.getdatabaseencoding()", 0,
		NULL, &res, err);

	if (r != RESULT_OK)
		return r;
	if (strcmp(PQgetvalue(res, 0, 0), "UTF8") != 0)
		return fail(err, RESULT_FATAL, 0,
			"the database has encoding %s, ticketpayd needs UTF8: create another one with "
			"ENCODING 'UTF8' TEMPLATE template0",
			PQgetvalue(res, 0, 0));
	if (pg_conn_server_version(l->conn) < SERVER_VERSION_MIN)
		return fail(err, RESULT_FATAL, 0, "ticketpayd needs PostgreSQL %d or later",
			SERVER_VERSION_MIN / 10000);
	return RESULT_OK;
}

static enum result check_tables(struct pg_ledger *l, struct error *err)
{
	CLEANUP(PQclear_ptr) PGresult *res = NULL;
	enum result r = ask(l, "look for its tables",
		"SELECT name, current_user FROM (VALUES ('schema_version'), ('ticket_type'),"
		" ('payment'), ('consumer_progress'), ('dead_letter')) AS t(name)"
		" WHERE to_regclass(name) IS NULL",
		0, NULL, &res, err);

	if (r != RESULT_OK)
		return r;
	if (PQntuples(res) > 0)
		return fail(err, RESULT_FATAL, 0,
			"role %s sees no table %s: run ticketpayctl migrate --apply, or correct the "
			"role's search_path, or grant USAGE on the schema",
			PQgetvalue(res, 0, 1), PQgetvalue(res, 0, 0));
	return RESULT_OK;
}

/* What grants.sql gives. An empty column: the right is one on the whole table. */
static enum result check_rights(struct pg_ledger *l, struct error *err)
{
	CLEANUP(PQclear_ptr) PGresult *res = NULL;
	enum result r = ask(l, "tell the role's rights",
		"SELECT w.privilege, w.name, w.col, current_user FROM (VALUES"
		" ('schema_version', '', 'SELECT'),"
		" ('ticket_type', '', 'SELECT'), ('ticket_type', 'remaining', 'UPDATE'),"
		" ('payment', '', 'SELECT'), ('payment', '', 'INSERT'), ('payment', 'status', 'UPDATE'),"
		" ('consumer_progress', '', 'SELECT'), ('consumer_progress', '', 'INSERT'),"
		" ('consumer_progress', '', 'UPDATE'),"
		" ('dead_letter', '', 'SELECT'), ('dead_letter', '', 'INSERT'))"
		" AS w(name, col, privilege)"
		" WHERE NOT CASE w.col WHEN '' THEN has_table_privilege(w.name, w.privilege)"
		" ELSE has_column_privilege(w.name, w.col, w.privilege) END",
		0, NULL, &res, err);

	if (r != RESULT_OK)
		return r;
	if (PQntuples(res) == 0)
		return RESULT_OK;

	const char *column = PQgetvalue(res, 0, 2), *role = PQgetvalue(res, 0, 3);

	return fail(err, RESULT_FATAL, 0,
		"role %s has no right to %s%s%s%s on table %s: its owner runs psql -v daemon=%s -f "
		"grants.sql",
		role, PQgetvalue(res, 0, 0), *column ? " (" : "", column, *column ? ")" : "",
		PQgetvalue(res, 0, 1), role);
}

static enum result check_version(struct pg_ledger *l, struct error *err)
{
	CLEANUP(PQclear_ptr) PGresult *res = NULL;
	enum result r = ask(l, "read the schema's version",
		"SELECT coalesce(max(version), 0) FROM schema_version", 0, NULL, &res, err);

	if (r != RESULT_OK)
		return r;

	long version = strtol(PQgetvalue(res, 0, 0), NULL, 10);

	if (version < PG_SCHEMA_VERSION)
		return fail(err, RESULT_FATAL, 0,
			"the tables are of version %ld, this program needs %d: run ticketpayctl "
			"migrate --apply",
			version, PG_SCHEMA_VERSION);
	if (version > PG_SCHEMA_VERSION)
		return fail(err, RESULT_FATAL, 0,
			"the tables are of version %ld, this program knows %d: install the newer "
			"ticketpayd (ticketpayctl migrate --apply does not go back)",
			version, PG_SCHEMA_VERSION);
	return RESULT_OK;
}

/* Order ids are unique in a database, dead letters are not asked for their group. */
static enum result check_topic(struct pg_ledger *l, struct error *err)
{
	CLEANUP(PQclear_ptr) PGresult *res = NULL;
	const char *values[] = {l->config.topic};
	enum result r = ask(l, "read the topic it serves",
		"SELECT topic FROM consumer_progress WHERE topic <> $1 LIMIT 1", 1, values, &res,
		err);

	if (r != RESULT_OK)
		return r;
	if (PQntuples(res) > 0)
		return fail(err, RESULT_FATAL, 0,
			"this database serves topic %s, and one database serves one topic: correct "
			"kafka.topic (%s) or database.conninfo",
			PQgetvalue(res, 0, 0), l->config.topic);
	return RESULT_OK;
}

enum result pg_ledger_check(void *self, struct error *err)
{
	static enum result (*const checks[])(struct pg_ledger * l, struct error * err) = {
		check_server, check_tables, check_rights, check_version, check_topic};
	struct pg_ledger *l = self;
	struct error why = {0};
	enum result r = RESULT_OK;

	pg_transaction_abort(l);
	l->deadline_us = clock_monotonic_us() + l->config.transaction_timeout_ms * 1000;
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]) && r == RESULT_OK; i++)
		r = checks[i](l, &why);
	if (r == RESULT_RETRY && pg_error_is_environment(why.sqlstate))
		r = RESULT_FATAL;
	if (r != RESULT_OK && err)
		*err = why;
	return r;
}
