/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/db.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/waker.h"
#include "ctl/migrations.h"
#include "io/pg_error.h"

struct db {
	PGconn *conn;        /* NULL once it is closed */
	int64_t deadline_us; /* of the transaction, or of connecting */
};

/* ---- connecting ------------------------------------------------------------------------------ */

enum ctl_exit db_open(const struct config *config, struct db **ret)
{
	CLEANUP(db_close_ptr) struct db *d = calloc(1, sizeof(*d));
	struct pg_dial dial = {
		.conninfo = config->database.conninfo,
		.passfile = config->database.passfile,
		.application_name = "ticketpayctl",
		.connect_timeout_ms = config->database.connect_timeout_ms,
	};
	struct error err;

	if (!d)
		return ctl_say(CTL_REFUSED, "no memory");
	if (pg_dial_check(&dial, &err) != RESULT_OK)
		return ctl_say(CTL_CONFIG, "%s", err.text);
	if (pg_dial(&dial, INT64_MAX, &d->conn, &err) != RESULT_OK) /* it has its own time limit */
		return ctl_say(err.sqlstate[0] ? CTL_CONFIG : CTL_UNREACHED,
			"PostgreSQL, by database.conninfo: %s", err.text);
	if (PQsetnonblocking(d->conn, 1) != 0)
		return ctl_say(CTL_UNREACHED, "the connection to PostgreSQL was lost");
	*ret = TAKE(d);
	return CTL_DONE;
}

void db_close(struct db *d)
{
	if (!d)
		return;
	PQfinish(d->conn);
	free(d);
}

/* ---- statements ------------------------------------------------------------------------------ */

static void hang_up(struct db *d)
{
	PQfinish(d->conn);
	d->conn = NULL;
}

static enum result lost(struct db *d, struct error *err)
{
	enum result r = pg_error_of_loss(d->conn, "be reached any more", err);

	hang_up(d);
	return r;
}

static enum result too_late(struct db *d, struct error *err)
{
	hang_up(d);
	return fail(err, RESULT_RETRY, 0,
		"PostgreSQL did not answer in time; look before you try again");
}

/* Unlike the daemon's, our statements carry no event: the server's words can be shown whole. */
static enum result refused(const PGresult *r, struct error *err)
{
	const char *sqlstate = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

	sqlstate = sqlstate ? sqlstate : "";
	(void)fail(err, RESULT_REJECT, 0, "PostgreSQL refused: %s (%s)%s",
		message ? message : "no reason given", sqlstate,
		strcmp(sqlstate, "42501") == 0
			? "; connect as the owner of the tables: --set database.conninfo=..."
			: "");
	if (err)
		snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", sqlstate);
	return RESULT_REJECT;
}

static enum result flush_out(struct db *d, struct error *err)
{
	for (;;) {
		int left = PQflush(d->conn);

		if (left == 0)
			return RESULT_OK;
		if (left < 0)
			return lost(d, err);
		/* The server may be stuck writing to us: read as well. */
		if (waker_wait(NULL, PQsocket(d->conn), POLLIN | POLLOUT, d->deadline_us) !=
			WAIT_READY)
			return too_late(d, err);
		if (!PQconsumeInput(d->conn))
			return lost(d, err);
	}
}

/* The next result of what was sent; *ret NULL after the last. */
static enum result next_result(struct db *d, PGresult **ret, struct error *err)
{
	while (PQisBusy(d->conn)) {
		if (waker_wait(NULL, PQsocket(d->conn), POLLIN, d->deadline_us) != WAIT_READY)
			return too_late(d, err);
		if (!PQconsumeInput(d->conn))
			return lost(d, err);
	}
	*ret = PQgetResult(d->conn);
	return RESULT_OK;
}

/* Read to the end; *ret (may be NULL) is the last result. The first refusal counts. */
static enum result collect(struct db *d, PGresult **ret, struct error *err)
{
	CLEANUP(PQclear_ptr) PGresult *last = NULL;
	enum result outcome = RESULT_OK;

	for (;;) {
		PGresult *r = NULL;
		enum result read = next_result(d, &r, err);

		if (read != RESULT_OK)
			return read;
		if (!r)
			break;
		PQclear(last);
		last = r;

		ExecStatusType status = PQresultStatus(r);

		if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK &&
			status != PGRES_EMPTY_QUERY && outcome == RESULT_OK)
			outcome = refused(r, err);
	}
	if (PQstatus(d->conn) == CONNECTION_BAD)
		return lost(d, err);
	if (outcome == RESULT_OK && ret)
		*ret = TAKE(last);
	return outcome;
}

static enum result send_and_collect(struct db *d, bool sent, PGresult **ret, struct error *err)
{
	enum result r = sent ? flush_out(d, err) : lost(d, err);

	return r == RESULT_OK ? collect(d, ret, err) : r;
}

enum result db_query(struct db *d, const char *sql, int count, const char *const *parameters,
	PGresult **ret, struct error *err)
{
	if (!d->conn)
		return fail(err, RESULT_RETRY, 0, "the connection to PostgreSQL is closed");
	return send_and_collect(d,
		PQsendQueryParams(d->conn, sql, count, NULL, parameters, NULL, NULL, 0), ret, err);
}

enum result db_script(struct db *d, const char *sql, struct error *err)
{
	if (!d->conn)
		return fail(err, RESULT_RETRY, 0, "the connection to PostgreSQL is closed");
	return send_and_collect(d, PQsendQuery(d->conn, sql), NULL, err);
}

/* ---- transactions ---------------------------------------------------------------------------- */

enum result db_begin(struct db *d, enum db_mode mode, int64_t budget_ms, struct error *err)
{
	static const char *const headers[] = {
		[DB_SNAPSHOT] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
				" SET LOCAL work_mem = '64MB'",
		[DB_WRITE] = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;"
			     " SELECT set_config('synchronous_commit', 'on', true)"
			     " WHERE current_setting('synchronous_commit') IN ('off', 'local')",
	};
	char sql[600];

	/* The server gives up before we do, so that its reason is heard. */
	snprintf(sql, sizeof(sql),
		"%s; SET LOCAL lock_timeout = %" PRId64 "; SET LOCAL statement_timeout = %" PRId64
		"; SET LOCAL idle_in_transaction_session_timeout = %" PRId64
		"; SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'",
		headers[mode], budget_ms / 2, budget_ms, budget_ms);
	d->deadline_us = clock_monotonic_us() + (budget_ms + 1000) * 1000;
	return db_script(d, sql, err);
}

enum result db_commit(struct db *d, struct error *err)
{
	CLEANUP(PQclear_ptr) PGresult *done = NULL;
	enum result r = db_query(d, "COMMIT", 0, NULL, &done, err);

	/* A transaction that has failed before answers ROLLBACK, with success. */
	if (r == RESULT_OK && strcmp(PQcmdStatus(done), "COMMIT") != 0)
		return fail(err, RESULT_REJECT, 0, "PostgreSQL rolled the transaction back");
	return r;
}

void db_rollback(struct db *d)
{
	if (d->conn && db_script(d, "ROLLBACK", NULL) != RESULT_OK && d->conn)
		hang_up(d); /* that ends it, too */
}

int64_t db_int(const PGresult *r, int row, int column, int64_t none)
{
	return PQgetisnull(r, row, column) ? none : strtoll(PQgetvalue(r, row, column), NULL, 10);
}

const char *db_text(const PGresult *r, int row, int column)
{
	return PQgetisnull(r, row, column) ? NULL : PQgetvalue(r, row, column);
}

/* ---- the schema ------------------------------------------------------------------------------ */

static int64_t newest_migration(void)
{
	int64_t version = 0;

	for (const struct migration *m = migrations; m->version; m++)
		version = m->version;
	return version;
}

enum result db_check_schema(struct db *d, struct error *err)
{
	CLEANUP(PQclear_ptr) PGresult *encoding = NULL;
	CLEANUP(PQclear_ptr) PGresult *version = NULL;
	enum result r = db_query(d,
		"SELECT current_setting('server_encoding'), to_regclass('schema_version')", 0, NULL,
		&encoding, err);

	if (r != RESULT_OK)
		return r;
	if (strcmp(PQgetvalue(encoding, 0, 0), "UTF8") != 0)
		return fail(err, RESULT_REJECT, 0,
			"the database's encoding is %s: it must be UTF8 (create a new database)",
			PQgetvalue(encoding, 0, 0));
	if (PQgetisnull(encoding, 0, 1))
		return fail(err, RESULT_REJECT, 0,
			"the database has no tables of ours in its "
			"search path: run ticketpayctl migrate --apply as their owner");

	r = db_query(d, "SELECT max(version) FROM schema_version", 0, NULL, &version, err);
	if (r != RESULT_OK)
		return r;

	int64_t is = db_int(version, 0, 0, 0), wanted = newest_migration();

	if (is < wanted)
		return fail(err, RESULT_REJECT, 0,
			"the schema is version %" PRId64 ", this program needs %" PRId64
			": run ticketpayctl migrate --apply",
			is, wanted);
	if (is > wanted)
		return fail(err, RESULT_REJECT, 0,
			"the schema is version %" PRId64 ", this program knows %" PRId64
			": use the newer program",
			is, wanted);
	return RESULT_OK;
}

enum ctl_exit db_start(
	const struct config *config, enum db_mode mode, int64_t budget_ms, struct db **ret)
{
	CLEANUP(db_close_ptr) struct db *d = NULL;
	struct error err;
	enum ctl_exit code = db_open(config, &d);

	if (code != CTL_DONE)
		return code;

	enum result r = db_begin(d, mode, budget_ms, &err);

	if (r == RESULT_OK)
		r = db_check_schema(d, &err);
	if (r != RESULT_OK)
		return ctl_failed(r, &err);
	*ret = TAKE(d);
	return CTL_DONE;
}
