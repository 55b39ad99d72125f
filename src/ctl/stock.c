/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/db.h"

/* A hot row is waited for behind many batches; `create` may count the payments of a whole table. */
enum { STOCK_BUDGET_MS = 60000 };

static enum ctl_exit check_id(const struct ctl *c)
{
	int64_t id;

	if (!ctl_parse_int(c->arguments[0], 1, INT64_MAX, &id))
		return ctl_say(CTL_USAGE, "ID %s: a number from 1 on is needed", c->arguments[0]);
	return CTL_DONE;
}

/* Commit; on failure say why nothing is certain to have been changed. */
static enum ctl_exit commit(struct db *d)
{
	struct error err;
	enum result r = db_commit(d, &err);

	return r == RESULT_OK ? CTL_DONE : ctl_failed(r, &err);
}

/*
 * A type that was deleted after it had been sold comes back with those sales subtracted, so that
 * remaining = total - confirmed holds from the start.
 */
static const char create_sql[] =
	"INSERT INTO ticket_type (id, name, total, remaining)"
	" SELECT $1::bigint, $2::text, $3::bigint, $3::bigint - coalesce(sum(quantity), 0)"
	" FROM payment WHERE ticket_type_id = $1::bigint AND status = 'CONFIRMED'"
	" ON CONFLICT (id) DO NOTHING RETURNING remaining";

enum ctl_exit stock_create_run(const struct ctl *c)
{
	CLEANUP(db_close_ptr) struct db *d = NULL;
	CLEANUP(PQclear_ptr) PGresult *row = NULL;
	struct error err;
	int64_t total;

	if (!c->total)
		return ctl_say(CTL_USAGE, "stock create needs --total N");
	if (!ctl_parse_int(c->total, 0, INT64_MAX, &total))
		return ctl_say(CTL_USAGE, "--total %s: a number from 0 on is needed", c->total);

	enum ctl_exit code = check_id(c);

	if (code == CTL_DONE)
		code = db_start(c->config, DB_WRITE, STOCK_BUDGET_MS, &d);
	if (code != CTL_DONE)
		return code;

	const char *parameters[] = {c->arguments[0], c->name ? c->name : "", c->total};
	enum result r = db_query(d, create_sql, 3, parameters, &row, &err);

	if (r == RESULT_REJECT && strcmp(err.sqlstate, "23514") == 0)
		return ctl_say(CTL_REFUSED,
			"ticket type %s has more than %s confirmed tickets already",
			c->arguments[0], c->total);
	if (r != RESULT_OK)
		return ctl_failed(r, &err);
	if (PQntuples(row) == 0)
		return ctl_say(CTL_REFUSED, "ticket type %s exists already (stock add changes it)",
			c->arguments[0]);

	code = commit(d);
	if (code == CTL_DONE)
		printf("ticket type %s: total %" PRId64 ", remaining %s\n", c->arguments[0], total,
			PQgetvalue(row, 0, 0));
	return code;
}

/* In numeric, so that no sum can overflow before it is compared. */
static const char add_sql[] =
	"UPDATE ticket_type SET total = total + $2::bigint, remaining = remaining + $2::bigint"
	" WHERE id = $1::bigint AND remaining::numeric + $2::bigint >= 0"
	" AND total::numeric + $2::bigint <= 9223372036854775807"
	" RETURNING total, remaining";

/* No row was changed: which of the conditions was it? */
static enum ctl_exit say_not_added(const struct ctl *c, struct db *d)
{
	CLEANUP(PQclear_ptr) PGresult *row = NULL;
	struct error err;
	enum result r =
		db_query(d, "SELECT total, remaining FROM ticket_type WHERE id = $1::bigint", 1,
			c->arguments, &row, &err);

	if (r != RESULT_OK)
		return ctl_failed(r, &err);
	if (PQntuples(row) == 0)
		return ctl_say(CTL_REFUSED, "there is no ticket type %s (stock create makes it)",
			c->arguments[0]);
	if (c->arguments[1][0] != '-')
		return ctl_say(CTL_REFUSED, "ticket type %s: total %s and %s more are too many",
			c->arguments[0], PQgetvalue(row, 0, 0), c->arguments[1]);
	return ctl_say(CTL_REFUSED, "ticket type %s: remaining %s would fall below 0 by %s",
		c->arguments[0], PQgetvalue(row, 0, 1), c->arguments[1]);
}

enum ctl_exit stock_add_run(const struct ctl *c)
{
	CLEANUP(db_close_ptr) struct db *d = NULL;
	CLEANUP(PQclear_ptr) PGresult *row = NULL;
	struct error err;
	int64_t count;

	if (!ctl_parse_int(c->arguments[1], INT64_MIN, INT64_MAX, &count))
		return ctl_say(CTL_USAGE, "N %s: a number of 64 bits is needed", c->arguments[1]);

	enum ctl_exit code = check_id(c);

	if (code == CTL_DONE)
		code = db_start(c->config, DB_WRITE, STOCK_BUDGET_MS, &d);
	if (code != CTL_DONE)
		return code;

	enum result r = db_query(d, add_sql, 2, c->arguments, &row, &err);

	if (r != RESULT_OK)
		return ctl_failed(r, &err);
	if (PQntuples(row) == 0)
		return say_not_added(c, d);

	code = commit(d);
	if (code == CTL_DONE)
		printf("ticket type %s: total %s, remaining %s\n", c->arguments[0],
			PQgetvalue(row, 0, 0), PQgetvalue(row, 0, 1));
	return code;
}
