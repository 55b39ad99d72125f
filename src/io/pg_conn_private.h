/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "io/pg_conn.h"

/* What pg_conn.c and pg_copy.c share. */

enum {
	REPLIES_MAX = 2 * PG_RESULTS_MAX, /* a statement may need two: prepare, execute */
	NAME_SIZE = 24,
};

/* An answer that is under way, in the order of sending. */
struct reply {
	const struct pg_statement *statement;
	bool prepares; /* the answer to its preparation, not to the statement */
};

struct pg_conn {
	struct pg_dial dial;
	bool prepare;

	PGconn *pg;        /* NULL: closed */
	uint64_t prepared; /* bit by statement id: known to this session */
	struct reply replies[REPLIES_MAX];
	int reply_count;
	bool send_failed;
	bool rolling_back;    /* the answer to pg_conn_rollback() is under way */
	int prepare_failures; /* one after the other: a pooler is between us */
};

/* Close it; err says what libpq said. */
enum result pg_conn_lost(struct pg_conn *c, const char *what, struct error *err);

/* Wait for the next result. *ret NULL: the end of one statement's results. */
enum result pg_conn_next_result(struct pg_conn *c, int64_t deadline_us, const char *what,
	PGresult **ret, struct error *err) MUST_CHECK;

/* RETRY, with what the server said in err; closes the connection if that was its end. */
enum result pg_conn_refused(
	struct pg_conn *c, const PGresult *res, const char *what, struct error *err);
