/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "io/pg_ledger.h"
#include "io/pg_statements.h"

/* What a part of a COPY stream holds; 64 KB were measured to be best. */
enum { PG_COPY_BYTES = 65536 };

/* What the parts of the ledger share. */
struct pg_ledger {
	struct pg_ledger_config config;
	struct pg_conn *conn;
	struct pg_params params;      /* of the statement that is being made */
	bool in_transaction;          /* BEGIN was sent, its end is not known to be done */
	int64_t deadline_us;          /* of the transaction */
	int64_t statement_timeout_ms; /* as the server has it now */
	int wary;                     /* so many batches more are inserted, not copied */
	char copy[PG_COPY_BYTES];     /* rows on their way to COPY */
};

/* ---- transactions: pg_transaction.c -------------------------------------------------------- */

/*
 * Connect if needed and send BEGIN and its settings; the caller sends more and runs it. Drops what
 * was open. The deadline counts from here.
 *
 * lock_wait_ms: at most so long for a lock of another session; 0: as long as the budget allows
 */
enum result pg_transaction_begin(
	struct pg_ledger *l, int64_t lock_wait_ms, struct error *err) MUST_CHECK;

/* The results before the first statement of the caller: BEGIN and its settings. */
enum { PG_BEGIN_RESULTS = 2 };

/*
 * Before the statements of a later flush: lower the server's timeouts when they reach past our
 * deadline, so that it answers before we hang up.
 *
 * returns: how many results come before those of the caller
 */
int pg_transaction_timeouts(struct pg_ledger *l);

/* Queue a statement with l->params, or without any. */
void pg_transaction_send(struct pg_ledger *l, enum pg_statement_id id);
void pg_transaction_send_bare(struct pg_ledger *l, enum pg_statement_id id);

/* Run what was sent. A failure ends the transaction. */
enum result pg_transaction_run(
	struct pg_ledger *l, struct pg_results *ret, struct error *err) MUST_CHECK;

/* The same with COMMIT at its end, for work whose effect may be had twice. */
enum result pg_transaction_run_and_commit(
	struct pg_ledger *l, struct pg_results *ret, struct error *err) MUST_CHECK;

/* Drop what is open; never waits. */
void pg_transaction_abort(struct pg_ledger *l);

/* fail() and drop the transaction. */
#define pg_transaction_fail(l, err, r, ...) (pg_transaction_abort(l), fail(err, r, 0, __VA_ARGS__))

/* Rows that a statement has changed. */
int64_t pg_transaction_rows(const PGresult *res);

/* ---- payments: pg_payments.c, pg_payments_copy.c, pg_lookup.c -------------------------------- */

struct bytes pg_payments_status(enum payment_status s);

/*
 * How payments are written. COPY costs the server half of an insert, but an order id that exists
 * makes all of it fail; the insert then does the batch, and those that follow for a while. (Looking
 * the candidates up and copying the rest was tried: duplicates are often decided by others at the
 * same moment, and the COPY fails all the same.)
 */
enum pg_way { PG_WAY_NONE, PG_WAY_INSERT, PG_WAY_COPY };

enum pg_way pg_payments_way(const struct pg_ledger *l, const struct batch *b);

/* Send the first part of it. returns: how many results it will have */
int pg_payments_send(struct pg_ledger *l, struct batch *b, enum pg_way way);

/*
 * Its results, from results->at[first] on, and the rest of it: which candidates existed.
 *
 * ret_existing: how many
 * fails:        the transaction is ended; REJECT: the server refuses some row's data
 */
enum result pg_payments_take(struct pg_ledger *l, struct batch *b, enum pg_way way,
	const struct pg_results *results, int first, size_t *ret_existing,
	struct error *err) MUST_CHECK;

/* A statement that writes payments was refused: end the transaction; REJECT: for its data.
 * Class 22 names no table: only the statement's place tells whose data it was. */
enum result pg_payments_refused(struct pg_ledger *l, const struct error *why, struct error *err);

/*
 * COPY the candidates. The caller set PG_SAVEPOINT.
 *
 * fails: RETRY; err->sqlstate 23505: one existed after all
 */
enum result pg_payments_copy(
	struct pg_ledger *l, const struct batch *b, struct error *err) MUST_CHECK;

/* Send PG_READ_PAYMENTS for the candidates with `exists` set, and the answer: it fills their row.
 */
void pg_payments_ask(struct pg_ledger *l, const struct batch *b);

/*
 * ret_missing: how many have no row; their `exists` is false now
 * fails:       RETRY: no memory, or a status that is not ours
 */
enum result pg_payments_read(
	struct batch *b, const PGresult *res, size_t *ret_missing, struct error *err) MUST_CHECK;

/* ---- letters ------------------------------------------------------------------------------- */

/* Of what was refused when it was read: with the payments. Sends nothing when there is none. */
int64_t pg_letters_send_refused(struct pg_ledger *l, const struct batch *b);

/* Of VERDICT_CONFLICT: with the last flush. false: there is none, nothing was sent. */
bool pg_letters_send_conflicts(struct pg_ledger *l, const struct batch *b);

/* Send PG_READ_LETTERS for the offsets of the slice. */
void pg_letters_ask(struct pg_ledger *l, const struct batch *b);

/* Its answer, looked through in the order of the records: both ascend by offset. */
struct pg_letters {
	const PGresult *res;
	int row;
};

/* Is there a letter of this record? Then its row is l->row. */
bool pg_letters_find(struct pg_letters *l, const struct record *r);
int64_t pg_letters_parked_at_us(const struct pg_letters *l);

/* ---- operations ---------------------------------------------------------------------------- */

enum result pg_ledger_check(void *self, struct error *err);

enum result pg_progress_claim(
	void *self, int32_t partition, struct progress *ret, struct error *err);
enum result pg_progress_create(
	void *self, const struct position *starts, size_t count, struct error *err);
enum result pg_progress_clear_sought(
	void *self, int32_t partition, const char *owner, struct error *err);
enum result pg_progress_publish(void *self, int32_t partition, const char *owner,
	int64_t published_offset, struct error *err);
enum result pg_progress_release(void *self, int32_t partition, const char *owner,
	int64_t published_offset, struct error *err);
enum result pg_progress_stop(
	void *self, int32_t partition, const char *owner, const char *reason, struct error *err);
enum result pg_progress_resolve(
	void *self, const struct batch *b, enum resolution *ret, struct error *err);

enum result pg_lookup_replay(void *self, struct batch *b, struct error *err);
