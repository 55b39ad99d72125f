/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "io/pg_ledger_private.h"

/*
 * One budget for a whole transaction. The server is told less than is left, so that it answers
 * first and the connection survives; only a server that does not answer at all loses it.
 */
static int64_t left_ms(const struct pg_ledger *l)
{
	int64_t left = (l->deadline_us - clock_monotonic_us()) / 1000;

	return left > 0 ? left : 0;
}

/* 0 would mean no timeout. */
static int64_t part_of(int64_t ms, int64_t percent)
{
	int64_t part = ms * percent / 100;

	return part > 0 ? part : 1;
}

static void number(struct pg_ledger *l, int i, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	pg_params_text(&l->params, i, text);
}

enum { LOCK_PERCENT = 70, STATEMENT_PERCENT = 85 };

/* $1 and $2 of PG_SETTINGS and PG_TIMEOUTS. A lock's own timeout says more than the statement's. */
static void set_timeouts(struct pg_ledger *l, int64_t lock_wait_ms)
{
	int64_t left = left_ms(l), lock_ms = part_of(left, LOCK_PERCENT);

	if (lock_wait_ms > 0 && lock_wait_ms < lock_ms)
		lock_ms = lock_wait_ms;
	l->statement_timeout_ms = part_of(left, STATEMENT_PERCENT);
	number(l, 0, lock_ms);
	number(l, 1, l->statement_timeout_ms);
}

enum result pg_transaction_begin(struct pg_ledger *l, int64_t lock_wait_ms, struct error *err)
{
	enum result r;

	pg_transaction_abort(l);
	l->deadline_us = clock_monotonic_us() + l->config.transaction_timeout_ms * 1000;
	r = pg_conn_ready(l->conn, l->deadline_us, err);
	if (r != RESULT_OK)
		return r;

	l->in_transaction = true;
	pg_transaction_send_bare(l, PG_BEGIN);
	pg_params_reset(&l->params, 3);
	set_timeouts(l, lock_wait_ms);
	/* For the case that we are stopped, or cut off: others must not wait for us any longer. */
	number(l, 2, l->config.transaction_timeout_ms);
	pg_transaction_send(l, PG_SETTINGS);
	return RESULT_OK;
}

int pg_transaction_timeouts(struct pg_ledger *l)
{
	if (l->statement_timeout_ms < left_ms(l))
		return 0;
	pg_params_reset(&l->params, 2);
	set_timeouts(l, 0);
	pg_transaction_send(l, PG_TIMEOUTS);
	return 1;
}

void pg_transaction_send(struct pg_ledger *l, enum pg_statement_id id)
{
	pg_conn_send(l->conn, &pg_statements[id], &l->params);
}

void pg_transaction_send_bare(struct pg_ledger *l, enum pg_statement_id id)
{
	pg_conn_send(l->conn, &pg_statements[id], NULL);
}

enum result pg_transaction_run(struct pg_ledger *l, struct pg_results *ret, struct error *err)
{
	enum result r = pg_conn_run(l->conn, l->deadline_us, ret, err);

	if (r != RESULT_OK)
		pg_transaction_abort(l);
	return r;
}

enum result pg_transaction_run_and_commit(
	struct pg_ledger *l, struct pg_results *ret, struct error *err)
{
	enum result r;

	pg_transaction_send_bare(l, PG_COMMIT);
	r = pg_transaction_run(l, ret, err);
	if (r != RESULT_OK)
		return r;
	l->in_transaction = false;

	const PGresult *last = NULL;

	for (int i = 0; i < PG_RESULTS_MAX && ret->at[i]; i++)
		last = ret->at[i];
	if (!last || strcmp(PQcmdStatus((PGresult *)last), "COMMIT") != 0)
		return fail(err, RESULT_RETRY, 0, "PostgreSQL rolled back what it was to commit");
	return RESULT_OK;
}

void pg_transaction_abort(struct pg_ledger *l)
{
	if (l->in_transaction)
		pg_conn_rollback(l->conn);
	l->in_transaction = false;
}

int64_t pg_transaction_rows(const PGresult *res)
{
	return strtoll(PQcmdTuples((PGresult *)res), NULL, 10);
}
