/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "io/pg_conn_private.h"
#include "io/pg_error.h"

/* One result of the COPY: *ret_rows, or a failure. */
static enum result take_result(struct pg_conn *c, const struct pg_statement *s, PGresult *res,
	int64_t *ret_rows, struct error *err)
{
	switch (PQresultStatus(res)) {
	case PGRES_COMMAND_OK:
		*ret_rows = strtoll(PQcmdTuples(res), NULL, 10);
		return RESULT_OK;
	case PGRES_FATAL_ERROR:
		return pg_conn_refused(c, res, s->what, err);
	default: /* libpq's enum */
		pg_conn_close(c);
		return fail(err, RESULT_RETRY, 0, "PostgreSQL cannot %s: unexpected answer %s",
			s->what, PQresStatus(PQresultStatus(res)));
	}
}

/* Take the rest of what the server says, `early` first, then go back to pipeline mode. */
static enum result finish(struct pg_conn *c, const struct pg_statement *s, PGresult *early,
	int64_t deadline_us, int64_t *ret_rows, struct error *err)
{
	enum result said = RESULT_OK;
	struct error first = {0};

	for (;;) {
		CLEANUP(PQclear_ptr) PGresult *res = TAKE(early);
		struct error later = {0}, *e = said == RESULT_OK ? &first : &later;
		enum result r = RESULT_OK;

		if (!res)
			r = pg_conn_next_result(c, deadline_us, s->what, &res, e);
		if (r == RESULT_OK && !res)
			break;
		if (r == RESULT_OK)
			r = take_result(c, s, res, ret_rows, e);
		if (said == RESULT_OK)
			said = r;
		if (!c->pg)
			break;
	}
	if (said != RESULT_OK && pg_error_spoils_session(first.sqlstate))
		pg_conn_close(c);
	if (said != RESULT_OK && err)
		*err = first;
	if (c->pg && !PQenterPipelineMode(c->pg))
		return pg_conn_lost(c, "enter pipeline mode", err);
	return said;
}

enum result pg_copy_begin(
	struct pg_conn *c, const struct pg_statement *s, int64_t deadline_us, struct error *err)
{
	CLEANUP(PQclear_ptr) PGresult *res = NULL;
	int64_t rows;
	enum result r;

	if (!c->pg)
		return fail(err, RESULT_RETRY, 0, "there is no connection to PostgreSQL");
	if (!PQexitPipelineMode(c->pg) || !PQsendQuery(c->pg, s->sql))
		return pg_conn_lost(c, s->what, err);
	r = pg_conn_next_result(c, deadline_us, s->what, &res, err);
	if (r != RESULT_OK || (res && PQresultStatus(res) == PGRES_COPY_IN))
		return r;

	r = finish(c, s, TAKE(res), deadline_us, &rows, err);
	return r != RESULT_OK ? r
			      : fail(err, RESULT_RETRY, 0,
					"PostgreSQL cannot %s: it asked for no rows", s->what);
}

void pg_copy_append(struct pg_conn *c, const char *data, size_t length)
{
	/* What the socket does not take waits in libpq's buffer, which grows: a batch is bounded.
	 */
	if (c->pg && !c->send_failed && PQputCopyData(c->pg, data, (int)length) != 1)
		c->send_failed = true;
}

enum result pg_copy_end(struct pg_conn *c, const struct pg_statement *s, int64_t deadline_us,
	int64_t *ret_rows, struct error *err)
{
	if (c->send_failed || PQputCopyEnd(c->pg, NULL) != 1)
		return pg_conn_lost(c, s->what, err);
	return finish(c, s, NULL, deadline_us, ret_rows, err);
}
