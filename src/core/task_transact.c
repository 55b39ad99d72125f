/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "core/task.h"

/*
 * A slice's way through the ledger: docs/design.md, "Transact". Each step makes one
 * call; whatever ends the transaction early goes through give_up(), so that nothing stays open or
 * locked.
 */
enum {
	HALVE_AFTER =
		3,      /* failures that the database itself answered, before the batch is halved */
	BUSY_US = 1000, /* before a call that answered BUSY is made again */
	EXAMPLE_US = 10000000 /* between two refused records that are shown */
};

static void release_lock(struct task *t)
{
	struct worker *w = t->worker;

	task_leave_queue(t);
	if (t->lease.held) {
		if (worker_now(w) > t->lease.until_us) {
			w->totals.leases_expired++;
			task_log_slice(t, LOG_LEVEL_WARNING, LOG_EVENT_LEASE_EXPIRED, NULL,
				"the lock's lease ran out before the transaction ended; PostgreSQL's "
				"row locks kept it exact (lock.lease_ms may be too short)");
		}
		w->ops.lock->release(w->ops.lock_self, t->work, &t->lease);
		t->lease.held = false;
	}
}

static void give_up(struct task *t)
{
	t->worker->ops.ledger->abort(t->worker->ops.ledger_self);
	release_lock(t);
}

static void halve(struct task *t)
{
	t->slice_max = t->work->length > 1 ? t->work->length / 2 : 1;
}

/* One of the slice's rows is refused by the server: find it by halving, then park it. */
static void reject(struct task *t, const struct error *err)
{
	struct batch *b = t->work;

	if (b->length > 1) {
		halve(t);
	} else if (b->records[b->first].refusal != REFUSAL_NONE) {
		/* A letter has no row to be refused; were it so, a person must look. */
		task_wait(t, TASK_HOLD, WAIT_ENVIRONMENT, err);
		return;
	} else {
		char detail[200];

		snprintf(detail, sizeof(detail), "PostgreSQL refused the row: SQLSTATE %.5s %.120s",
			err->sqlstate, err->text);
		batch_reject(b, b->first, detail);
	}
	task_next_slice(t, b->first);
}

static void fenced(struct task *t)
{
	t->worker->totals.fenced++;
	task_log_slice(t, LOG_LEVEL_WARNING, LOG_EVENT_FENCED, NULL,
		"partition %" PRId32
		" has another owner by now: its records are dropped here, nothing is written or published",
		t->partition);
	task_enter(t, TASK_FENCED);
}

/* A call of the transaction did not succeed. */
static void failed(struct task *t, enum result r, const struct error *err)
{
	if (r == RESULT_BUSY) {
		t->due_us = worker_now(t->worker) + BUSY_US;
		return;
	}
	give_up(t);
	switch (r) {
	case RESULT_REJECT:
		reject(t, err);
		break;
	case RESULT_FENCED:
		fenced(t);
		break;
	case RESULT_IN_DOUBT:
		t->worker->totals.in_doubt++;
		task_log_slice(t, LOG_LEVEL_WARNING, LOG_EVENT_IN_DOUBT, err,
			"the answer to COMMIT was lost, asking the progress row: %s", err->text);
		task_enter(t, TASK_IN_DOUBT);
		break;
	case RESULT_FATAL:
		t->worker->life = WORKER_BROKEN;
		task_log_slice(
			t, LOG_LEVEL_ERROR, LOG_EVENT_NONE, err, "internal error: %s", err->text);
		break;
	case RESULT_OK:
	case RESULT_RETRY:
	case RESULT_BUSY:
		/* A server that is gone says nothing about the batch; one that answers may mean it.
		 */
		if (err->sqlstate[0] && ++t->answered >= HALVE_AFTER)
			halve(t);
		task_wait(t, TASK_HOLD, task_database_cause(err), err);
		break;
	}
}

/* ---- lock ---------------------------------------------------------------------------------- */

static void after_lock(struct task *t)
{
	t->lock_deadline_us = 0;
	task_enter(t, t->state == TASK_LOCK ? TASK_BEGIN : TASK_STOCK);
}

/* The lock was not had: by the time limit (BUSY) or because Redis does not answer (RETRY). */
static void without_lock(struct task *t, enum result r, const struct error *err)
{
	struct worker *w = t->worker;

	if (w->config.fallback == LOCK_FALLBACK_WAIT) {
		give_up(t);
		task_wait(t, TASK_HOLD, r == RESULT_BUSY ? WAIT_LOCK : WAIT_REDIS, err);
		return;
	}
	task_leave_queue(t);
	w->totals.lock_fallbacks++;
	if (!w->totals.lock_fallback)
		task_log_slice(t, LOG_LEVEL_WARNING, LOG_EVENT_LOCK_FALLBACK, NULL,
			"going on under PostgreSQL's row locks alone: %s", err->text);
	w->totals.lock_fallback = true;
	after_lock(t);
}

void task_step_lock(struct task *t)
{
	struct worker *w = t->worker;
	struct error err = {0};

	if (t->lock_deadline_us == 0) {
		if (t->work->stock_count == 0)
			batch_stock(t->work);
		if (t->work->stock_count == 0) { /* nothing but letters: nothing to lock */
			after_lock(t);
			return;
		}
		t->lock_deadline_us = worker_now(w) + w->config.lock_wait_ms * 1000;
	}

	enum result r = w->ops.lock->acquire(
		w->ops.lock_self, t->work, t->lock_deadline_us, &t->lease, &err);

	if (r == RESULT_OK) {
		t->lease.held = true;
		w->totals.lock_fallback = false;
		after_lock(t);
	} else if (r == RESULT_BUSY && worker_now(w) < t->lock_deadline_us) {
		t->due_us = worker_now(w) + BUSY_US;
	} else {
		without_lock(t, r, &err);
	}
}

/* ---- transaction --------------------------------------------------------------------------- */

static bool wants_stock_lock(const struct worker *w)
{
	return w->ops.lock && w->config.scope == LOCK_SCOPE_STOCK;
}

static void allocate(struct task *t)
{
	decide_allocate(t->work, &t->worker->hints);
	task_enter(t, TASK_WRITE);
}

void task_step_begin(struct task *t)
{
	struct worker *w = t->worker;
	struct batch *b = t->work;
	struct error err = {0};

	b->published = t->deliveries.delivered_to;
	decide_predict(b, &w->hints);
	b->stock_early = !wants_stock_lock(w); /* else the lock comes in between */
	if (b->stock_early)
		batch_stock(b);

	enum result r = w->ops.ledger->begin(w->ops.ledger_self, b, &err);

	if (r != RESULT_OK) {
		failed(t, r, &err);
		return;
	}
	decide_classify(b);
	if (b->stock_read) {
		allocate(t);
		return;
	}
	batch_stock(b);
	if (b->stock_count == 0)
		task_enter(t, TASK_WRITE);
	else
		task_enter(t, wants_stock_lock(w) ? TASK_LOCK_STOCK : TASK_STOCK);
}

void task_step_stock(struct task *t)
{
	struct worker *w = t->worker;
	struct error err = {0};
	enum result r = w->ops.ledger->lock_stock(w->ops.ledger_self, t->work, &err);

	if (r != RESULT_OK) {
		failed(t, r, &err);
		return;
	}
	allocate(t);
}

void task_step_write(struct task *t)
{
	struct worker *w = t->worker;
	struct error err = {0};
	enum result r = w->ops.ledger->write(w->ops.ledger_self, t->work, &err);

	if (r != RESULT_OK)
		failed(t, r, &err);
	else
		task_enter(t, TASK_COMMIT);
}

/* ---- after COMMIT -------------------------------------------------------------------------- */

static void show_dead_letter(struct task *t, const struct tally *tally, const struct record *r)
{
	bool conflict = r->verdict == VERDICT_CONFLICT;
	char text[512] = "", order_id[ORDER_ID_MAX_BYTES + 1];
	struct log_entry e = task_log_entry(t, LOG_LEVEL_WARNING, LOG_EVENT_REFUSED, text);

	e.batch_id = t->work->id;
	e.first_offset = e.last_offset = r->offset;
	e.reason = refusal_name(conflict ? REFUSAL_ORDER_CONFLICT : r->refusal);
	if (r->event.fields & EVENT_ORDER_ID) {
		snprintf(order_id, sizeof(order_id), "%.*s", (int)r->event.order_id.length,
			r->event.order_id.data);
		e.order_id = order_id;
	}
	snprintf(text, sizeof(text),
		"%" PRId64 " of %zu records became dead letters, the first at offset %" PRId64
		": %s%s%s",
		tally->refused + tally->conflicts, t->work->length, r->offset, e.reason,
		r->detail[0] ? " " : "", r->detail);
	t->worker->ops.log.ops->write(t->worker->ops.log.self, &e);
}

/* One example now and then: a storm of bad records must not become one of log lines. */
static void show_refused(struct task *t, const struct tally *tally)
{
	int64_t now = worker_now(t->worker);

	if (tally->refused + tally->conflicts == 0 || now < t->example_due_us)
		return;
	t->example_due_us = now + EXAMPLE_US;
	for (size_t i = 0; i < t->work->length; i++) {
		const struct record *r = batch_record(t->work, i);

		if (r->verdict == VERDICT_CONFLICT || r->verdict == VERDICT_REFUSED) {
			show_dead_letter(t, tally, r);
			return;
		}
	}
}

static void count_for_breaker(struct task *t)
{
	for (size_t i = 0; i < t->work->length; i++) {
		const struct record *r = batch_record(t->work, i);
		bool unknown =
			r->verdict == VERDICT_FRESH && r->status == PAYMENT_UNKNOWN_TICKET_TYPE;

		breaker_count(&t->breaker,
			unknown || r->verdict == VERDICT_REFUSED || r->verdict == VERDICT_CONFLICT,
			r->timestamp_ms);
	}
}

static void committed(struct task *t)
{
	struct worker *w = t->worker;
	struct batch *b = t->work;
	struct tally tally = decide_tally(b);

	release_lock(t);
	t->next_offset = b->next;
	t->last_record_at_ms = b->last_record_at_ms;
	t->decided_us = worker_now(w);
	if (b->published > t->published_written)
		t->published_written = b->published;
	if (t->slice_max < (size_t)w->config.max_events)
		t->slice_max *= 2;
	if (t->slice_max > (size_t)w->config.max_events)
		t->slice_max = (size_t)w->config.max_events;

	w->totals.batches++;
	w->totals.decided += (int64_t)b->length;
	w->totals.fresh += tally.fresh;
	w->totals.duplicates += tally.duplicates;
	w->totals.conflicts += tally.conflicts;
	w->totals.refused += tally.refused;
	w->totals.batch_records = (int64_t)b->length;
	w->totals.batch_us = t->batch_us = t->decided_us - t->began_us;
	task_recovered(t);
	task_log_slice(t, LOG_LEVEL_DEBUG, LOG_EVENT_BATCH, NULL,
		"%zu records: %" PRId64 " fresh, %" PRId64 " duplicates, %" PRId64
		" conflicts, %" PRId64 " refused",
		b->length, tally.fresh, tally.duplicates, tally.conflicts, tally.refused);
	show_refused(t, &tally);
	count_for_breaker(t);
	task_enter(t, TASK_PUBLISH);
}

void task_step_commit(struct task *t)
{
	struct worker *w = t->worker;
	struct error err = {0};

	if (!w->ops.source->owns(w->ops.source_self, t->partition)) {
		give_up(t);
		fenced(t);
		return;
	}

	enum result r = w->ops.ledger->commit(w->ops.ledger_self, t->work, &err);

	if (r != RESULT_OK)
		failed(t, r, &err);
	else
		committed(t);
}

void task_step_in_doubt(struct task *t)
{
	struct worker *w = t->worker;
	enum resolution resolution = RESOLUTION_NOT_COMMITTED;
	struct error err = {0};
	enum result r = w->ops.ledger->resolve(w->ops.ledger_self, t->work, &resolution, &err);

	if (r == RESULT_FENCED) {
		fenced(t);
	} else if (r != RESULT_OK) {
		task_wait(t, TASK_IN_DOUBT, task_database_cause(&err), &err);
	} else if (resolution == RESOLUTION_COMMITTED) {
		task_log_slice(t, LOG_LEVEL_NOTICE, LOG_EVENT_RESOLVED, NULL,
			"the transaction in doubt was committed");
		committed(t);
	} else {
		task_log_slice(t, LOG_LEVEL_NOTICE, LOG_EVENT_RESOLVED, NULL,
			"the transaction in doubt was not committed: the same batch again");
		task_next_slice(t, t->work->first);
	}
}

/* ---- replay -------------------------------------------------------------------------------- */

void task_step_lookup(struct task *t)
{
	struct worker *w = t->worker;
	struct error err = {0};
	enum result r = w->ops.ledger->lookup(w->ops.ledger_self, t->work, &err);

	if (r == RESULT_OK) {
		task_recovered(t);
		task_enter(t, TASK_PUBLISH);
	} else if (r == RESULT_FENCED) {
		fenced(t);
	} else {
		task_wait(t, TASK_HOLD, task_database_cause(&err), &err);
	}
}
