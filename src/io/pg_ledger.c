/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "io/pg_error.h"
#include "io/pg_ledger_private.h"

/*
 * The transaction of a batch: docs/design.md, "Transact". Order of everything that is
 * waited for: progress row < payment keys, ascending < stock rows, ascending.
 */

/* ---- progress, what existed ----------------------------------------------------------------- */

static void send_progress(struct pg_ledger *l, const struct batch *b)
{
	struct pg_params *p = &l->params;

	pg_params_reset(p, 8);
	pg_params_text(p, 0, l->config.group);
	pg_params_text(p, 1, b->topic);
	pg_params_int4(p, 2, b->partition);
	pg_params_as_text(p, 3, b->owner);
	pg_params_int8(p, 4, b->expected);
	pg_params_int8(p, 5, b->next);
	pg_params_int8(p, 6, b->published);
	pg_params_time_ms(p, 7, b->last_record_at_ms);
	pg_transaction_send(l, PG_MOVE_PROGRESS);
}

/* Records that were parked before (an operator sought back): their letters keep their time. */
static void read_parked(struct batch *b, const PGresult *res)
{
	struct pg_letters letters = {.res = res};

	for (size_t i = 0; i < b->length; i++) {
		struct record *r = batch_record(b, i);

		if (r->refusal != REFUSAL_NONE && pg_letters_find(&letters, r))
			r->decided_at_us = pg_letters_parked_at_us(&letters);
	}
}

/*
 * In a later statement than the insert: its snapshot was older than the rows it waited for.
 * parked: letters existed as well
 */
static enum result read_existing(
	struct pg_ledger *l, struct batch *b, bool parked, struct error *err)
{
	CLEANUP(pg_results_clear) struct pg_results results = {.failed = -1};
	int skip = pg_transaction_timeouts(l);
	size_t missing = 0;
	enum result r;

	pg_payments_ask(l, b);
	if (parked)
		pg_letters_ask(l, b);
	r = pg_transaction_run(l, &results, err);
	if (r != RESULT_OK)
		return r;
	if (parked)
		read_parked(b, results.at[skip + 1]);
	r = pg_payments_read(b, results.at[skip], &missing, err);
	if (r != RESULT_OK)
		pg_transaction_abort(l);
	else if (missing > 0)
		return pg_transaction_fail(l, err, RESULT_RETRY,
			"%zu payment rows that existed are gone again", missing);
	return r;
}

/* ---- stock --------------------------------------------------------------------------------- */

static void send_stock_ids(struct pg_ledger *l, const struct batch *b, enum pg_statement_id id)
{
	pg_params_reset(&l->params, 1);
	pg_params_array(&l->params, 0, PG_TYPE_INT8);
	for (size_t i = 0; i < b->stock_count; i++)
		pg_params_add_int8(&l->params, 0, b->stock[i].id);
	pg_transaction_send(l, id);
}

/* What is taken if every prediction comes true, and no payment existed. */
static void guess(struct batch *b)
{
	struct stock *s = NULL;

	for (size_t i = 0; i < b->stock_count; i++)
		b->stock[i].guess = b->stock[i].given = 0;
	for (size_t i = 0; i < b->candidate_count; i++) {
		const struct candidate *c = &b->candidates[i];
		const struct record *r = &b->records[c->record];

		if (c->exists || r->predicted != PAYMENT_CONFIRMED)
			continue;
		if (!s || s->id != r->event.ticket_type_id)
			s = batch_find_stock(b, r->event.ticket_type_id);
		s->guess += r->event.quantity;
	}
}

/* What the guess is, or what is missing from it or too much. Returns how many types are sent. */
static int64_t send_numbers(struct pg_ledger *l, const struct batch *b, enum pg_statement_id id)
{
	int64_t rows = 0;

	pg_params_reset(&l->params, 2);
	pg_params_array(&l->params, 0, PG_TYPE_INT8);
	pg_params_array(&l->params, 1, PG_TYPE_INT8);
	for (size_t i = 0; i < b->stock_count; i++) {
		const struct stock *s = &b->stock[i];
		int64_t n = id == PG_GUESS_STOCK ? s->guess : s->taken - s->given;

		if (n == 0)
			continue;
		pg_params_add_int8(&l->params, 0, s->id);
		pg_params_add_int8(&l->params, 1, n);
		rows++;
	}
	if (rows > 0)
		pg_transaction_send(l, id);
	return rows;
}

/*
 * Lock the stock, read it, and take at once what will probably be taken: where the guess is right,
 * as it mostly is, nothing is left to be written, and the locks are held for a round trip less.
 *
 * returns: was there a guess?
 */
static bool send_stock(struct pg_ledger *l, struct batch *b)
{
	send_stock_ids(l, b, PG_LOCK_STOCK);
	send_stock_ids(l, b, PG_READ_STOCK);
	guess(b);
	return send_numbers(l, b, PG_GUESS_STOCK) > 0;
}

/*
 * All three lists ascend by id. A type counts as known when its row was locked and then read: one
 * that appeared in between is not ours to decide on yet.
 */
static void read_rows(struct batch *b, const PGresult *locked, const PGresult *read)
{
	int lock_row = 0, read_row = 0;

	for (size_t i = 0; i < b->stock_count; i++) {
		struct stock *s = &b->stock[i];

		while (lock_row < PQntuples(locked) && pg_result_int(locked, lock_row, 0) < s->id)
			lock_row++;
		while (read_row < PQntuples(read) && pg_result_int(read, read_row, 0) < s->id)
			read_row++;
		s->known = lock_row < PQntuples(locked) && read_row < PQntuples(read) &&
			   pg_result_int(locked, lock_row, 0) == s->id &&
			   pg_result_int(read, read_row, 0) == s->id;
		s->remaining = s->known ? pg_result_int(read, read_row, 1) : 0;
		s->taken = 0;
	}
}

/* The answers from at[0] on. Where less was left than the guess, nothing was taken. */
static void read_stock(struct batch *b, PGresult *const *at, bool guessed)
{
	read_rows(b, at[0], at[1]);
	for (int row = 0; guessed && row < PQntuples(at[2]); row++) {
		struct stock *s = batch_find_stock(b, pg_result_int(at[2], row, 0));

		if (s)
			s->given = s->guess;
	}
}

/* ---- begin ---------------------------------------------------------------------------------- */

static enum result pg_ledger_begin(void *self, struct batch *b, struct error *err)
{
	enum { MOVED = PG_BEGIN_RESULTS, LETTERS };
	struct pg_ledger *l = self;
	enum pg_way way = pg_payments_way(l, b);
	int64_t letters;
	int payments, stock;
	bool parked, guessed = false;
	CLEANUP(pg_results_clear) struct pg_results results = {.failed = -1};
	struct error why = {0};
	size_t existing = 0;
	enum result r = pg_transaction_begin(l, 0, err);

	if (r != RESULT_OK)
		return r;
	send_progress(l, b);
	/* Before the savepoint of COPY: giving that up must not undo the letters. */
	letters = pg_letters_send_refused(l, b);
	payments = LETTERS + (letters > 0);
	stock = payments + pg_payments_send(l, b, way);
	/* The others' payments are not written yet, and stock rows come last. */
	b->stock_read = b->stock_early && way == PG_WAY_INSERT;
	if (b->stock_read)
		guessed = send_stock(l, b);
	r = pg_transaction_run(l, &results, &why);
	if (r != RESULT_OK) {
		if (way == PG_WAY_INSERT && results.failed == payments)
			return pg_payments_refused(l, &why, err);
		if (err)
			*err = why;
		return r;
	}

	if (PQntuples(results.at[MOVED]) != 1)
		return pg_transaction_fail(l, err, RESULT_FENCED,
			"partition %" PRId32 " is not at offset %" PRId64
			", has another owner or is stopped",
			b->partition, b->expected);
	b->decided_at_us = pg_result_time_us(results.at[MOVED], 0, 0);
	r = pg_payments_take(l, b, way, &results, payments, &existing, err);
	if (r != RESULT_OK)
		return r;
	if (b->stock_read)
		read_stock(b, &results.at[stock], guessed);
	parked = letters > 0 && pg_transaction_rows(results.at[LETTERS]) < letters;
	return existing > 0 || parked ? read_existing(l, b, parked, err) : RESULT_OK;
}

/* An open transaction whose connection is gone, or that ended without us. */
static enum result not_open(struct pg_ledger *l, struct error *err)
{
	l->in_transaction = false;
	return fail(err, RESULT_RETRY, 0, "the transaction is gone: the connection was lost");
}

static enum result pg_ledger_lock_stock(void *self, struct batch *b, struct error *err)
{
	struct pg_ledger *l = self;
	CLEANUP(pg_results_clear) struct pg_results results = {.failed = -1};
	bool guessed;
	int skip;
	enum result r;

	if (!l->in_transaction)
		return not_open(l, err);
	if (b->stock_count == 0)
		return RESULT_OK;
	skip = pg_transaction_timeouts(l);
	guessed = send_stock(l, b);
	r = pg_transaction_run(l, &results, err);
	if (r != RESULT_OK)
		return r;
	read_stock(b, &results.at[skip], guessed);
	return RESULT_OK;
}

/* ---- write --------------------------------------------------------------------------------- */

/* What a statement of the last flush must have changed; statements without rows are not sent. */
struct expected_rows {
	const char *what;
	int64_t rows; /* -1: any number */
};

static int64_t send_statuses(struct pg_ledger *l, const struct batch *b)
{
	int64_t rows = 0;

	pg_params_reset(&l->params, 2);
	pg_params_array(&l->params, 0, PG_TYPE_TEXT);
	pg_params_array(&l->params, 1, PG_TYPE_TEXT);
	for (size_t i = 0; i < b->candidate_count; i++) {
		const struct candidate *c = &b->candidates[i];
		const struct record *r = &b->records[c->record];

		if (c->exists || r->status == r->predicted)
			continue;
		pg_params_add_bytes(&l->params, 0, r->event.order_id);
		pg_params_add_bytes(&l->params, 1, pg_payments_status(r->status));
		rows++;
	}
	if (rows > 0)
		pg_transaction_send(l, PG_SET_STATUS);
	return rows;
}

static enum result pg_ledger_write(void *self, struct batch *b, struct error *err)
{
	struct pg_ledger *l = self;
	CLEANUP(pg_results_clear) struct pg_results results = {.failed = -1};
	struct expected_rows expected[3];
	int count = 0, skip;
	int64_t rows;
	enum result r;

	if (!l->in_transaction)
		return not_open(l, err);
	skip = pg_transaction_timeouts(l);
	rows = send_numbers(l, b, PG_TAKE_STOCK);
	if (rows > 0)
		expected[count++] = (struct expected_rows){"ticket types", rows};
	rows = send_statuses(l, b);
	if (rows > 0)
		expected[count++] = (struct expected_rows){"payments", rows};
	if (pg_letters_send_conflicts(l, b))
		expected[count++] = (struct expected_rows){"dead letters", -1};
	if (skip + count == 0)
		return RESULT_OK;

	r = pg_transaction_run(l, &results, err);
	if (r != RESULT_OK)
		return r;
	for (int i = 0; i < count; i++) {
		int64_t changed = pg_transaction_rows(results.at[skip + i]);

		if (expected[i].rows >= 0 && changed != expected[i].rows)
			return pg_transaction_fail(l, err, RESULT_RETRY,
				"%" PRId64 " %s were changed instead of %" PRId64
				": does a trigger or rule stand between?",
				changed, expected[i].what, expected[i].rows);
	}
	return RESULT_OK;
}

/* ---- commit -------------------------------------------------------------------------------- */

static enum result pg_ledger_commit(void *self, struct batch *b, struct error *err)
{
	struct pg_ledger *l = self;
	CLEANUP(pg_results_clear) struct pg_results results = {.failed = -1};
	enum result r;

	(void)b;
	if (!l->in_transaction || pg_conn_hung_up(l->conn))
		return not_open(l, err); /* certain: COMMIT was never sent */

	pg_transaction_send_bare(l, PG_COMMIT);
	r = pg_conn_run(l->conn, l->deadline_us, &results, err);
	l->in_transaction = false;
	if (r != RESULT_OK) {
		/* An error that leaves the session whole ended the transaction. After anything else
		 * (no answer, FATAL while waiting for a standby) it may be committed. */
		return pg_conn_is_open(l->conn) ? r : RESULT_IN_DOUBT;
	}
	/* A failed transaction answers COMMIT with success, and with this. */
	if (strcmp(PQcmdStatus(results.at[0]), "COMMIT") != 0)
		return fail(err, RESULT_RETRY, 0, "PostgreSQL answered COMMIT with %s",
			PQcmdStatus(results.at[0]));
	return RESULT_OK;
}

static void pg_ledger_abort(void *self)
{
	pg_transaction_abort(self);
}

/* ---- life ---------------------------------------------------------------------------------- */

enum result pg_ledger_open(
	const struct pg_ledger_config *config, struct pg_ledger **ret, struct error *err)
{
	CLEANUP(pg_ledger_free_ptr) struct pg_ledger *l = calloc(1, sizeof(*l));
	const struct pg_dial dial = {
		.conninfo = config->conninfo,
		.passfile = config->passfile,
		.application_name = "ticketpayd",
		.connect_timeout_ms = config->connect_timeout_ms,
		.waker = config->waker,
	};

	if (!l)
		return fail(err, RESULT_FATAL, ENOMEM, "no memory for the ledger");
	l->config = *config;

	enum result r = pg_conn_new(&dial, config->prepare, &l->conn, err);

	if (r != RESULT_OK)
		return r;
	*ret = TAKE(l);
	return RESULT_OK;
}

void pg_ledger_free(struct pg_ledger *l)
{
	if (!l)
		return;
	pg_conn_free(l->conn);
	pg_params_done(&l->params);
	free(l);
}

const struct ledger_ops pg_ledger_ops = {
	.check = pg_ledger_check,
	.claim = pg_progress_claim,
	.create = pg_progress_create,
	.clear_sought = pg_progress_clear_sought,
	.begin = pg_ledger_begin,
	.lock_stock = pg_ledger_lock_stock,
	.write = pg_ledger_write,
	.commit = pg_ledger_commit,
	.abort = pg_ledger_abort,
	.resolve = pg_progress_resolve,
	.lookup = pg_lookup_replay,
	.publish_progress = pg_progress_publish,
	.release = pg_progress_release,
	.stop = pg_progress_stop,
};
