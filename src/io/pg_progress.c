/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "io/pg_ledger_private.h"

/*
 * Everything about a progress row but its part in a batch. Each call is a transaction of its own in
 * one round trip; when the answer to its COMMIT is lost, doing it again does no harm.
 */

/* A row that somebody holds longer is asked for again later: Kafka must be polled meanwhile. */
enum { LOCK_WAIT_MS = 1000 };

/* Parameters $1 to $3 name the row. */
static void name_row(struct pg_ledger *l, int count, int32_t partition)
{
	pg_params_reset(&l->params, count);
	pg_params_text(&l->params, 0, l->config.group);
	pg_params_text(&l->params, 1, l->config.topic);
	pg_params_int4(&l->params, 2, partition);
}

static enum result begin(struct pg_ledger *l, struct error *err)
{
	return pg_transaction_begin(l, LOCK_WAIT_MS, err);
}

/* ---- claim, create ------------------------------------------------------------------------- */

static void copy_text(struct bytes from, char *ret, size_t size)
{
	snprintf(ret, size, "%.*s", (int)from.length, from.data ? from.data : "");
}

static void read_progress(const PGresult *res, struct progress *p)
{
	p->exists = true;
	copy_text(pg_result_bytes(res, 0, 0), p->owner, sizeof(p->owner));
	p->next_offset = pg_result_int(res, 0, 1);
	p->published_offset = pg_result_int(res, 0, 2);
	p->stopped = pg_result_bool(res, 0, 3);
	copy_text(pg_result_bytes(res, 0, 4), p->stopped_reason, sizeof(p->stopped_reason));
	p->sought = pg_result_bool(res, 0, 5);
	p->last_record_at_ms = PQgetisnull(res, 0, 6) ? -1 : pg_result_time_us(res, 0, 6) / 1000;
	p->unclean_claims = (int32_t)pg_result_int(res, 0, 7);
	if (p->stopped)
		p->owner[0] = '\0'; /* nobody's claim */
}

enum result pg_progress_claim(
	void *self, int32_t partition, struct progress *ret, struct error *err)
{
	struct pg_ledger *l = self;
	CLEANUP(pg_results_clear) struct pg_results results = {.failed = -1};
	struct progress p = {.last_record_at_ms = -1};
	enum result r = begin(l, err);

	if (r != RESULT_OK)
		return r;
	name_row(l, 4, partition);
	pg_params_ascii(&l->params, 3, l->config.claimed_by);
	pg_transaction_send(l, PG_CLAIM);
	name_row(l, 3, partition);
	pg_transaction_send(l, PG_READ_PROGRESS);
	pg_params_reset(&l->params, 2);
	pg_params_text(&l->params, 0, l->config.group);
	pg_params_text(&l->params, 1, l->config.topic);
	pg_transaction_send(l, PG_GROUP_EXISTS);
	r = pg_transaction_run_and_commit(l, &results, err);
	if (r != RESULT_OK)
		return r;

	PGresult *const *at = &results.at[PG_BEGIN_RESULTS];

	if (PQntuples(at[1]) > 0)
		read_progress(at[1], &p);
	p.group_exists = pg_result_bool(at[2], 0, 0);
	if (p.exists && !p.stopped && pg_transaction_rows(at[0]) != 1)
		return fail(err, RESULT_RETRY, 0, "the partition was resumed this very moment");
	*ret = p;
	return RESULT_OK;
}

enum result pg_progress_create(
	void *self, const struct position *starts, size_t count, struct error *err)
{
	struct pg_ledger *l = self;
	CLEANUP(pg_results_clear) struct pg_results results = {.failed = -1};
	enum result r;

	if (count == 0)
		return RESULT_OK;
	r = begin(l, err);
	if (r != RESULT_OK)
		return r;
	pg_params_reset(&l->params, 2);
	pg_params_text(&l->params, 0, l->config.group);
	pg_params_text(&l->params, 1, l->config.topic);
	pg_transaction_send(l, PG_LOCK_GROUP);

	pg_params_reset(&l->params, 4);
	pg_params_text(&l->params, 0, l->config.group);
	pg_params_text(&l->params, 1, l->config.topic);
	pg_params_array(&l->params, 2, PG_TYPE_INT4);
	pg_params_array(&l->params, 3, PG_TYPE_INT8);
	for (size_t i = 0; i < count; i++) {
		pg_params_add_int4(&l->params, 2, starts[i].partition);
		pg_params_add_int8(&l->params, 3, starts[i].offset);
	}
	pg_transaction_send(l, PG_CREATE_PROGRESS);
	return pg_transaction_run_and_commit(l, &results, err);
}

/* ---- changes by the owner ------------------------------------------------------------------ */

/* Send l->params, $4 the owner, and commit. FENCED when the row is not ours. */
static enum result change_ours(
	struct pg_ledger *l, enum pg_statement_id id, int32_t partition, struct error *err)
{
	CLEANUP(pg_results_clear) struct pg_results results = {.failed = -1};
	enum result r;

	pg_transaction_send(l, id);
	r = pg_transaction_run_and_commit(l, &results, err);
	if (r != RESULT_OK)
		return r;
	if (pg_transaction_rows(results.at[PG_BEGIN_RESULTS]) != 1)
		return fail(err, RESULT_FENCED, 0, "partition %" PRId32 " has another owner",
			partition);
	return RESULT_OK;
}

enum result pg_progress_clear_sought(
	void *self, int32_t partition, const char *owner, struct error *err)
{
	struct pg_ledger *l = self;
	enum result r = begin(l, err);

	if (r != RESULT_OK)
		return r;
	name_row(l, 4, partition);
	pg_params_as_text(&l->params, 3, owner);
	return change_ours(l, PG_CLEAR_SOUGHT, partition, err);
}

static enum result write_published(struct pg_ledger *l, enum pg_statement_id id, int32_t partition,
	const char *owner, int64_t published_offset, struct error *err)
{
	enum result r = begin(l, err);

	if (r != RESULT_OK)
		return r;
	name_row(l, 5, partition);
	pg_params_as_text(&l->params, 3, owner);
	pg_params_int8(&l->params, 4, published_offset);
	return change_ours(l, id, partition, err);
}

enum result pg_progress_publish(void *self, int32_t partition, const char *owner,
	int64_t published_offset, struct error *err)
{
	return write_published(self, PG_PUBLISH_PROGRESS, partition, owner, published_offset, err);
}

enum result pg_progress_release(void *self, int32_t partition, const char *owner,
	int64_t published_offset, struct error *err)
{
	enum result r = write_published(self, PG_RELEASE, partition, owner, published_offset, err);

	/* Another's by now, or released before and the answer lost: the same to us. */
	return r == RESULT_FENCED ? RESULT_OK : r;
}

/* Released with it: after `resume` the next claim must not count as one after a crash. */
enum result pg_progress_stop(
	void *self, int32_t partition, const char *owner, const char *reason, struct error *err)
{
	struct pg_ledger *l = self;
	enum result r = begin(l, err);

	if (r != RESULT_OK)
		return r;
	name_row(l, 5, partition);
	pg_params_as_text(&l->params, 3, owner);
	pg_params_ascii(&l->params, 4, reason);
	return change_ours(l, PG_STOP, partition, err);
}

/* ---- in doubt ------------------------------------------------------------------------------ */

enum result pg_progress_resolve(
	void *self, const struct batch *b, enum resolution *ret, struct error *err)
{
	struct pg_ledger *l = self;
	CLEANUP(pg_results_clear) struct pg_results results = {.failed = -1};
	struct error why = {0};
	enum result r = begin(l, err);

	if (r != RESULT_OK)
		return r;
	/* FOR UPDATE: a COMMIT that is still at work holds the row, and must be waited for. */
	name_row(l, 4, b->partition);
	pg_params_as_text(&l->params, 3, b->owner);
	pg_transaction_send(l, PG_LOCK_PROGRESS);
	r = pg_transaction_run_and_commit(l, &results, &why);
	if (r != RESULT_OK) {
		if (err)
			*err = why;
		return strcmp(why.sqlstate, "55P03") == 0 ? RESULT_BUSY : r;
	}

	const PGresult *row = results.at[PG_BEGIN_RESULTS];

	if (PQntuples(row) != 1 || !pg_result_bool(row, 0, 0))
		return fail(err, RESULT_FENCED, 0, "partition %" PRId32 " has another owner",
			b->partition);

	int64_t next = pg_result_int(row, 0, 1);

	if (next != b->next && next != b->expected)
		return fail(err, RESULT_FENCED, 0,
			"partition %" PRId32 " was moved to offset %" PRId64 " meanwhile",
			b->partition, next);
	*ret = next == b->next ? RESOLUTION_COMMITTED : RESOLUTION_NOT_COMMITTED;
	return RESULT_OK;
}
