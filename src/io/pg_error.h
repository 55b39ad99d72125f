/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <libpq-fe.h>
#include <stdbool.h>

#include "base/error.h"

/*
 * PostgreSQL's words in ours. Every failure is RETRY here ("nothing has happened that counts"); who
 * knows more raises it: data that is refused by the payments' insert, COMMIT, the check at start.
 *
 * err->sqlstate: what the server answered. Empty: no answer: not reachable, starting, full of
 * connections, connection lost; the work itself is not to blame then.
 */

/* A person must act: password, database, right, table (28, 3D, 42 but 42P05). */
bool pg_error_is_environment(const char *sqlstate);
/* The data is refused (22, 23). */
bool pg_error_is_data(const char *sqlstate);
/* A named statement is there or not, against what we know (26000, 42P05). */
bool pg_error_is_prepared(const char *sqlstate);
/* The session is better not used again: read only, unknown state, statement plans out of date. */
bool pg_error_spoils_session(const char *sqlstate);
/* FATAL or PANIC: the server closes the connection after it. */
bool pg_error_ends_session(const PGresult *res);

/*
 * The server answered a statement with an error.
 *
 * what: the end of "PostgreSQL cannot ..."
 * returns: RETRY; err names the cause and, for the environment, the cure. Never the row's data.
 */
enum result pg_error_of_result(const PGresult *res, const char *what, struct error *err);

/* Connecting failed; needs PQERRORS_VERBOSE, the SQLSTATE is in the text alone. RETRY. */
enum result pg_error_of_connect(PGconn *conn, struct error *err);

/* The connection broke. RETRY. */
enum result pg_error_of_loss(PGconn *conn, const char *what, struct error *err);

/* Up to the first end of line. */
void pg_error_first_line(const char *text, char *ret, size_t size);
