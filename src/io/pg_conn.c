/* SPDX-License-Identifier: Apache-2.0 */
#include "io/pg_conn_private.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "io/pg_error.h"

void pg_results_clear(struct pg_results *r)
{
	for (int i = 0; i < PG_RESULTS_MAX; i++)
		PQclear(r->at[i]);
	*r = (struct pg_results){.failed = -1};
}

enum result pg_conn_new(
	const struct pg_dial *dial, bool prepare, struct pg_conn **ret, struct error *err)
{
	enum result r = pg_dial_check(dial, err);
	struct pg_conn *c = NULL;

	if (r != RESULT_OK)
		return r;
	c = calloc(1, sizeof(*c));
	if (!c)
		return fail(err, RESULT_FATAL, ENOMEM, "no memory for a PostgreSQL connection");
	c->dial = *dial;
	c->prepare = prepare;
	*ret = c;
	return RESULT_OK;
}

void pg_conn_free(struct pg_conn *c)
{
	if (!c)
		return;
	pg_conn_close(c);
	free(c);
}

void pg_conn_close(struct pg_conn *c)
{
	PQfinish(c->pg); /* non-blocking: what does not fit into the socket is dropped */
	c->pg = NULL;
	c->prepared = 0;
	c->reply_count = 0;
	c->send_failed = false;
	c->rolling_back = false;
}

bool pg_conn_is_open(const struct pg_conn *c)
{
	return c->pg != NULL;
}

bool pg_conn_hung_up(struct pg_conn *c)
{
	struct pollfd fd = {.fd = c->pg ? PQsocket(c->pg) : -1, .events = POLLRDHUP};

	if (fd.fd < 0)
		return true;
	return poll(&fd, 1, 0) > 0;
}

int pg_conn_server_version(const struct pg_conn *c)
{
	return PQserverVersion(c->pg);
}

/* ---- send ---------------------------------------------------------------------------------- */

static void expect(struct pg_conn *c, const struct pg_statement *s, bool prepares, int sent)
{
	assert(c->reply_count < REPLIES_MAX);
	if (sent)
		c->replies[c->reply_count++] = (struct reply){.statement = s, .prepares = prepares};
	else
		c->send_failed = true;
}

void pg_conn_send(struct pg_conn *c, const struct pg_statement *s, struct pg_params *params)
{
	const char *values[PG_PARAMS_MAX];
	int lengths[PG_PARAMS_MAX], formats[PG_PARAMS_MAX];
	int count = params ? params->count : 0;
	char name[NAME_SIZE];

	if (!c->pg || c->send_failed)
		return;
	if (params)
		pg_params_finish(params);
	if (params && params->no_memory) {
		c->send_failed = true;
		return;
	}
	for (int i = 0; i < count; i++) {
		const struct pg_param *p = &params->at[i];

		values[i] = p->null ? NULL : p->data;
		lengths[i] = (int)p->used;
		formats[i] = !p->as_text;
	}

	if (!c->prepare || s->id < 0) {
		expect(c, s, false,
			PQsendQueryParams(c->pg, s->sql, count, NULL, values, lengths, formats, 1));
		return;
	}
	snprintf(name, sizeof(name), "ticketpay%d", s->id);
	if (!(c->prepared & UINT64_C(1) << s->id))
		expect(c, s, true, PQsendPrepare(c->pg, name, s->sql, 0, NULL));
	if (!c->send_failed)
		expect(c, s, false,
			PQsendQueryPrepared(c->pg, name, count, values, lengths, formats, 1));
}

/* ---- receive ------------------------------------------------------------------------------- */

enum result pg_conn_lost(struct pg_conn *c, const char *what, struct error *err)
{
	enum result r = pg_error_of_loss(c->pg, what, err);

	pg_conn_close(c);
	return r;
}

static enum result too_late(struct pg_conn *c, const char *what, struct error *err)
{
	pg_conn_close(c);
	fail(err, RESULT_RETRY, 0,
		"PostgreSQL cannot %s: no answer within database.transaction_timeout_ms", what);
	if (err)
		memcpy(err->sqlstate, "57014", sizeof(err->sqlstate));
	return RESULT_RETRY;
}

enum result pg_conn_next_result(
	struct pg_conn *c, int64_t deadline_us, const char *what, PGresult **ret, struct error *err)
{
	while (PQisBusy(c->pg)) {
		/* A failed flush shows when we read, perhaps with the server's reason. */
		short events = PQflush(c->pg) == 1 ? POLLIN | POLLOUT : POLLIN;

		if (waker_wait(NULL, PQsocket(c->pg), events, deadline_us) != WAIT_READY)
			return too_late(c, what, err);
		if (!PQconsumeInput(c->pg))
			break;
	}
	*ret = PQgetResult(c->pg); /* of a broken connection: its last words */
	if (!*ret && PQstatus(c->pg) == CONNECTION_BAD)
		return pg_conn_lost(c, what, err);
	return RESULT_OK;
}

enum result pg_conn_refused(
	struct pg_conn *c, const PGresult *res, const char *what, struct error *err)
{
	struct error e = {0};
	bool over = pg_error_ends_session(res) || PQstatus(c->pg) == CONNECTION_BAD;

	pg_error_of_result(res, what, &e);
	if (pg_error_is_prepared(e.sqlstate) && ++c->prepare_failures >= 2) {
		char sqlstate[6];

		memcpy(sqlstate, e.sqlstate, sizeof(sqlstate));
		fail(&e, RESULT_RETRY, 0,
			"prepared statements do not last on this connection (%s): a pooler in "
			"transaction mode? set database.prepare = false",
			sqlstate);
		memcpy(e.sqlstate, sqlstate, sizeof(sqlstate));
	}
	if (over)
		pg_conn_close(c);
	if (err)
		*err = e;
	return RESULT_RETRY;
}

/* Take the answer of one statement. What comes after a refusal is only taken off the wire. */
static enum result take_reply(struct pg_conn *c, const struct reply *reply, int slot,
	int64_t deadline_us, struct pg_results *ret, struct error *err)
{
	const char *what = reply->statement->what;

	for (;;) {
		CLEANUP(PQclear_ptr) PGresult *res = NULL;
		enum result r = pg_conn_next_result(c, deadline_us, what, &res, err);

		if (r != RESULT_OK || !res)
			return r;
		switch (PQresultStatus(res)) {
		case PGRES_COMMAND_OK:
		case PGRES_TUPLES_OK:
			if (reply->prepares)
				c->prepared |= UINT64_C(1) << reply->statement->id;
			else if (!ret->at[slot])
				ret->at[slot] = TAKE(res);
			break;
		case PGRES_PIPELINE_ABORTED:
			break;
		case PGRES_FATAL_ERROR:
			if (ret->failed < 0) {
				ret->failed = slot;
				(void)pg_conn_refused(c, res, what, err); /* told by ret->failed */
				if (!c->pg)
					return RESULT_RETRY;
			}
			break;
		default: /* libpq's enum; COPY and single rows are never asked for */
			pg_conn_close(c);
			return fail(err, RESULT_RETRY, 0,
				"PostgreSQL cannot %s: unexpected answer %s", what,
				PQresStatus(PQresultStatus(res)));
		}
	}
}

static enum result take_sync(struct pg_conn *c, int64_t deadline_us, struct error *err)
{
	CLEANUP(PQclear_ptr) PGresult *res = NULL;
	enum result r = pg_conn_next_result(c, deadline_us, "end a flush", &res, err);

	if (r != RESULT_OK)
		return r;
	if (!res || PQresultStatus(res) != PGRES_PIPELINE_SYNC) {
		pg_conn_close(c);
		return fail(err, RESULT_RETRY, 0, "PostgreSQL's answers are out of step");
	}
	return RESULT_OK;
}

static enum result take_replies(
	struct pg_conn *c, int64_t deadline_us, struct pg_results *ret, struct error *first)
{
	struct error later;
	int slot = 0;

	for (int i = 0; i < c->reply_count; i++) {
		const struct reply *reply = &c->replies[i];

		/* A refusal was said already: keep its words when the connection breaks as well. */
		enum result r = take_reply(
			c, reply, slot, deadline_us, ret, ret->failed < 0 ? first : &later);

		if (r != RESULT_OK)
			return r;
		slot += !reply->prepares;
	}
	c->reply_count = 0;

	enum result r = take_sync(c, deadline_us, ret->failed < 0 ? first : &later);

	return ret->failed < 0 ? r : RESULT_RETRY;
}

enum result pg_conn_run(
	struct pg_conn *c, int64_t deadline_us, struct pg_results *ret, struct error *err)
{
	struct error first = {0};
	enum result r;

	*ret = (struct pg_results){.failed = -1};
	if (!c->pg)
		return fail(err, RESULT_RETRY, 0, "there is no connection to PostgreSQL");
	if (c->send_failed || !PQpipelineSync(c->pg))
		return pg_conn_lost(c, "take a statement", err);

	r = take_replies(c, deadline_us, ret, &first);
	if (r == RESULT_OK) {
		c->prepare_failures = 0;
		return RESULT_OK;
	}
	if (c->pg && pg_error_spoils_session(first.sqlstate))
		pg_conn_close(c);
	if (err)
		*err = first;
	return r;
}

/* ---- connect, roll back -------------------------------------------------------------------- */

/* Its Sync was sent with it. */
static bool take_rollback(struct pg_conn *c, int64_t deadline_us)
{
	static const struct pg_statement rollback = {.id = -1, .what = "roll back"};
	const struct reply reply = {.statement = &rollback};
	CLEANUP(pg_results_clear) struct pg_results results = {.failed = -1};

	if (take_reply(c, &reply, 0, deadline_us, &results, NULL) ||
		take_sync(c, deadline_us, NULL))
		return false;
	c->rolling_back = false;
	return PQtransactionStatus(c->pg) == PQTRANS_IDLE;
}

enum result pg_conn_ready(struct pg_conn *c, int64_t deadline_us, struct error *err)
{
	enum result r;

	if (c->rolling_back && !pg_conn_hung_up(c) && !take_rollback(c, deadline_us))
		pg_conn_close(c); /* nothing is lost with it: there is no transaction to lose */
	if (!pg_conn_hung_up(c))
		return RESULT_OK;

	pg_conn_close(c);
	r = pg_dial(&c->dial, deadline_us, &c->pg, err);
	if (r != RESULT_OK)
		return r;
	if (PQsetnonblocking(c->pg, 1) || !PQenterPipelineMode(c->pg))
		return pg_conn_lost(c, "enter pipeline mode", err);
	return RESULT_OK;
}

void pg_conn_rollback(struct pg_conn *c)
{
	if (!c->pg || c->rolling_back)
		return;
	/* With answers outstanding there is no telling what is where. */
	if (c->reply_count > 0 || c->send_failed ||
		!PQsendQueryParams(c->pg, "ROLLBACK", 0, NULL, NULL, NULL, NULL, 1) ||
		!PQpipelineSync(c->pg) || PQflush(c->pg) != 0) {
		pg_conn_close(c);
		return;
	}
	c->rolling_back = true;
}

enum result pg_conn_query(struct pg_conn *c, const char *what, const char *sql, int count,
	const char *const *values, int64_t deadline_us, PGresult **ret, struct error *err)
{
	const struct pg_statement s = {.id = -1, .what = what, .sql = sql};
	struct pg_results results;
	enum result r = pg_conn_ready(c, deadline_us, err);

	if (r != RESULT_OK)
		return r;
	expect(c, &s, false, PQsendQueryParams(c->pg, sql, count, NULL, values, NULL, NULL, 0));
	r = pg_conn_run(c, deadline_us, &results, err);
	if (r == RESULT_OK)
		*ret = TAKE(results.at[0]);
	pg_results_clear(&results);
	return r;
}
