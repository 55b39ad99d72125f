/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/waker.h"
#include "core/ops.h"

/*
 * The ledger in PostgreSQL: one connection, one transaction at a time. Opened once by each worker;
 * connects when it is first used and again by itself after every loss.
 *
 * Beyond the contract of struct ledger_ops:
 * - err->sqlstate after RETRY: what the server answered. Empty: no answer (not reachable, starting,
 *   full, connection lost): the batch is not to blame. 57014: a timeout, the server's or, for the
 *   whole transaction, ours.
 * - A missing table, right, password or database (28, 3D, 42) is FATAL from check() alone,
 * elsewhere RETRY: the text names it and the cure.
 * - resolve() answers BUSY while a COMMIT that nobody waits for still holds the row.
 * - begin() and lookup() may copy into the batch's arena at each try: payment keys of conflicts.
 */
struct pg_ledger;

/* The strings are borrowed and outlive the ledger. */
struct pg_ledger_config {
	const char *conninfo;
	const char *passfile; /* "": none; without "/": a systemd credential */
	bool prepare;
	int64_t transaction_timeout_ms; /* from begin() until commit() has its answer */
	int64_t connect_timeout_ms;
	const char *topic, *group;
	const char *claimed_by; /* for people: "host:pid/worker-0" */
	struct waker *waker;    /* ends a connect, never a transaction; may be NULL */
};

/* ret: not yet connected. fails: FATAL: no memory, or a conninfo that libpq cannot read */
enum result pg_ledger_open(const struct pg_ledger_config *config, struct pg_ledger **ret,
	struct error *err) MUST_CHECK;
void pg_ledger_free(struct pg_ledger *l);
DEFINE_CLEANUP(struct pg_ledger *, pg_ledger_free)

/* self: struct pg_ledger. thread: one at a time */
extern const struct ledger_ops pg_ledger_ops;

/* The version of the tables that this program works with: the last of sql/NNN_*.sql. */
enum { PG_SCHEMA_VERSION = 1 };
