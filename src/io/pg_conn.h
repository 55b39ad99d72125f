/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "io/pg_dial.h"
#include "io/pg_params.h"

/*
 * A connection to PostgreSQL in pipeline mode: statements are sent without waiting, then one
 * pg_conn_run() brings all results, one round trip for all of them. It connects when it is needed
 * and has been closed: by a failure that leaves its state unknown, or by a deadline that has
 * passed. Nothing here ever sends a cancel request: it could arrive late and hit the next
 * statement.
 *
 * thread: one at a time
 */
struct pg_conn;

/* A statement of ours. Results are binary, parameters as pg_params makes them. */
struct pg_statement {
	int id;           /* 0 to 63, unique on a connection; -1: never prepared */
	const char *what; /* ends "PostgreSQL cannot ..." */
	const char *sql;
};

enum { PG_RESULTS_MAX = 10 };

/* What pg_conn_run() brings: one result a statement, in the order they were sent. */
struct pg_results {
	PGresult *at[PG_RESULTS_MAX];
	int failed; /* index of the statement that the server refused; -1: none */
};

void pg_results_clear(struct pg_results *r);

/*
 * dial:    copied, its strings are not
 * prepare: name statements and keep them prepared; false for poolers that mix sessions
 * ret:     not yet connected
 * fails:   FATAL: no memory, or a conninfo that libpq cannot read
 */
enum result pg_conn_new(const struct pg_dial *dial, bool prepare, struct pg_conn **ret,
	struct error *err) MUST_CHECK;
void pg_conn_free(struct pg_conn *c);
DEFINE_CLEANUP(struct pg_conn *, pg_conn_free)

/*
 * Be connected and idle: connects unless it is, and gathers the answer of a rollback.
 *
 * fails: RETRY; err->sqlstate as in pg_error.h
 */
enum result pg_conn_ready(struct pg_conn *c, int64_t deadline_us, struct error *err) MUST_CHECK;

/* Connected, as far as one can know without asking. */
bool pg_conn_is_open(const struct pg_conn *c);
/* The server has hung up, or there is no connection. Costs one system call. */
bool pg_conn_hung_up(struct pg_conn *c);
void pg_conn_close(struct pg_conn *c);

/* Between pg_conn_ready() and pg_conn_run(); params may be NULL. Failures come from pg_conn_run().
 */
void pg_conn_send(struct pg_conn *c, const struct pg_statement *s, struct pg_params *params);

/*
 * Wait for the answers to all that was sent. After a refusal the rest of what was sent is not done;
 * an open transaction is then a failed one, and the connection good for its ROLLBACK unless closed.
 *
 * ret:   cleared by the caller with pg_results_clear(), also on failure
 * fails: RETRY. pg_conn_is_open() tells whether the server answered (ret->failed >= 0) and stayed.
 * When the deadline has passed, the connection is closed and err->sqlstate 57014 as if the server's
 *        own timeout had ended it: the work may be too much, other than with a lost connection.
 */
enum result pg_conn_run(struct pg_conn *c, int64_t deadline_us, struct pg_results *ret,
	struct error *err) MUST_CHECK;

/*
 * COPY ... FROM STDIN inside the open transaction: out of pipeline mode, which knows no COPY, and
 * back. Between pg_conn_run() and pg_conn_send(): begin, append what the statement's format wants,
 * end.
 *
 * data:     any part of the stream; sent or copied
 * ret_rows: how many the server took
 * fails:    as pg_conn_run(): after a refusal the transaction is a failed one. What append() could
 *           not do end() tells.
 */
enum result pg_copy_begin(struct pg_conn *c, const struct pg_statement *s, int64_t deadline_us,
	struct error *err) MUST_CHECK;
void pg_copy_append(struct pg_conn *c, const char *data, size_t length);
enum result pg_copy_end(struct pg_conn *c, const struct pg_statement *s, int64_t deadline_us,
	int64_t *ret_rows, struct error *err) MUST_CHECK;

/* Drop the open transaction without waiting: the next pg_conn_ready() takes the answer. */
void pg_conn_rollback(struct pg_conn *c);

/*
 * One statement outside of a transaction, with parameters and results as text; connects if needed.
 *
 * values: `count` strings, NULL for null
 * ret:    free with PQclear()
 */
enum result pg_conn_query(struct pg_conn *c, const char *what, const char *sql, int count,
	const char *const *values, int64_t deadline_us, PGresult **ret,
	struct error *err) MUST_CHECK;

/* The server's version as libpq numbers it (150004); 0 when not connected. */
int pg_conn_server_version(const struct pg_conn *c);
