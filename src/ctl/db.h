/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "ctl/ctl.h"
#include "io/pg_dial.h"

/*
 * PostgreSQL for the verbs: one connection, one transaction at a time, every call with a deadline.
 *
 * Calls fail with REJECT when the server said no (the connection is good, the transaction is not)
 * and with RETRY when it did not answer (the connection is closed): see ctl_failed().
 */
struct db;

/* How a transaction begins: the defaults of roles and databases must not reach it. */
enum db_mode {
	DB_SNAPSHOT, /* REPEATABLE READ, READ ONLY */
	DB_WRITE,    /* READ COMMITTED, READ WRITE; COMMIT waits for the disk */
};

/*
 * Connect as database.* says.
 *
 * returns: CTL_DONE; else it was said why: CTL_UNREACHED, or CTL_CONFIG for a conninfo, password or
 *          database that no waiting heals
 */
enum ctl_exit db_open(const struct config *config, struct db **ret) MUST_CHECK;
void db_close(struct db *d);
DEFINE_CLEANUP(struct db *, db_close)

/*
 * BEGIN. Everything until the transaction ends shares one deadline; a lock is waited for for half
 * of it, so that the server's refusal comes before the deadline.
 */
enum result db_begin(
	struct db *d, enum db_mode mode, int64_t budget_ms, struct error *err) MUST_CHECK;
enum result db_commit(struct db *d, struct error *err) MUST_CHECK;
/* End the transaction without effect; nothing is left to tell the caller. */
void db_rollback(struct db *d);

/*
 * One statement with text parameters, NULL for null; ret: all of its rows.
 *
 * err->sqlstate is set with REJECT.
 */
enum result db_query(struct db *d, const char *sql, int count, const char *const *parameters,
	PGresult **ret, struct error *err) MUST_CHECK;

/* Any number of statements, without parameters, their rows dropped. */
enum result db_script(struct db *d, const char *sql, struct error *err) MUST_CHECK;

/* Fields of a result: an integer, null being `none`; and text, NULL for null. */
int64_t db_int(const PGresult *r, int row, int column, int64_t none);
const char *db_text(const PGresult *r, int row, int column);

/*
 * Is the database UTF8 and its schema of this program's version? Within a transaction.
 *
 * fails: REJECT, naming the cure
 */
enum result db_check_schema(struct db *d, struct error *err) MUST_CHECK;

/* Open, begin, check the schema: how every verb but migrate starts. Said why it failed. */
enum ctl_exit db_start(const struct config *config, enum db_mode mode, int64_t budget_ms,
	struct db **ret) MUST_CHECK;
