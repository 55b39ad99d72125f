/* SPDX-License-Identifier: Apache-2.0 */
#include "core/task.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/backoff.h"

enum {
	FENCED_US = 1000000,  /* before a fenced task claims again */
	STOPPED_US = 1000000, /* between two looks at a stopped partition */
};

const char *task_state_name(enum task_state s)
{
	switch (s) {
	case TASK_CLAIM:
		return "claiming";
	case TASK_SURVEY:
		return "surveying";
	case TASK_POSITION:
		return "positioning";
	case TASK_FILL:
		return "filling";
	case TASK_LOOKUP:
		return "replaying";
	case TASK_LOCK:
	case TASK_LOCK_STOCK:
		return "locking";
	case TASK_BEGIN:
		return "inserting";
	case TASK_STOCK:
		return "reading stock";
	case TASK_WRITE:
		return "writing";
	case TASK_COMMIT:
		return "committing";
	case TASK_IN_DOUBT:
		return "in doubt";
	case TASK_PUBLISH:
		return "publishing";
	case TASK_HOLD:
		return "holding";
	case TASK_FENCED:
		return "fenced";
	case TASK_STOPPED:
		return "stopped";
	case TASK_RELEASE:
		return "releasing";
	case TASK_GONE:
		return "gone";
	}
	return "?";
}

struct task *task_new(struct worker *w, int32_t partition)
{
	struct task *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->worker = w;
	t->partition = partition;
	t->epoch = ++w->task_epoch;
	t->fill = batch_new((size_t)w->config.max_events);
	t->work = batch_new((size_t)w->config.max_events);
	if (!t->fill || !t->work) {
		task_free(t);
		return NULL;
	}
	t->next_offset = t->gap_at = t->expected = t->check_offset = -1;
	t->last_record_at_ms = t->published_written = -1;
	t->committed_asked = t->committed_known = -1;
	t->slice_max = (size_t)w->config.max_events;
	deliveries_restart(&t->deliveries, -1);
	breaker_reset(&t->breaker);
	task_enter(t, TASK_CLAIM);
	return t;
}

void task_free(struct task *t)
{
	if (!t)
		return;
	batch_free(t->fill);
	batch_free(t->work);
	free(t);
}

/* ---- log --------------------------------------------------------------------------------- */

struct log_entry task_log_entry(
	const struct task *t, enum log_level level, enum log_event event, const char *text)
{
	struct log_entry e = log_entry(level, event, text);

	e.topic = t->worker->config.topic;
	e.partition = t->partition;
	e.attempt = t->attempt;
	return e;
}

__attribute__((format(printf, 6, 0))) static void log_with(struct task *t, enum log_level level,
	enum log_event event, const struct error *err, bool slice, const char *format, va_list ap)
{
	char text[512] = "";
	struct log_entry e = task_log_entry(t, level, event, text);

	vsnprintf(text, sizeof(text), format, ap);
	if (err)
		e.sqlstate = err->sqlstate;
	if (slice && t->work->length > 0) {
		e.batch_id = t->work->id;
		e.first_offset = batch_record(t->work, 0)->offset;
		e.last_offset = t->work->next - 1;
		e.duration_us = worker_now(t->worker) - t->began_us;
		if (t->work->stock_count == 1)
			e.ticket_type = t->work->stock[0].id;
	}
	t->worker->ops.log.ops->write(t->worker->ops.log.self, &e);
}

void task_log(struct task *t, enum log_level level, enum log_event event, const struct error *err,
	const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_with(t, level, event, err, false, format, ap);
	va_end(ap);
}

void task_log_slice(struct task *t, enum log_level level, enum log_event event,
	const struct error *err, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_with(t, level, event, err, true, format, ap);
	va_end(ap);
}

void task_log_gap(
	struct task *t, enum log_level level, int64_t first, int64_t last, const char *text)
{
	char line[300] = "";
	struct log_entry e = task_log_entry(t, level, LOG_EVENT_GAP, line);

	snprintf(line, sizeof(line), "offsets %" PRId64 " to %" PRId64 " %s", first, last, text);
	e.first_offset = first;
	e.last_offset = last;
	t->worker->ops.log.ops->write(t->worker->ops.log.self, &e);
}

/* ---- states ------------------------------------------------------------------------------ */

bool task_in_transaction(const struct task *t)
{
	switch (t->state) {
	case TASK_LOCK_STOCK:
	case TASK_STOCK:
	case TASK_WRITE:
	case TASK_COMMIT:
		return true;
	case TASK_BEGIN: /* only with the lock of scope transaction in hand */
		return t->lease.held;
	case TASK_CLAIM:
	case TASK_SURVEY:
	case TASK_POSITION:
	case TASK_FILL:
	case TASK_LOOKUP:
	case TASK_LOCK:
	case TASK_IN_DOUBT:
	case TASK_PUBLISH:
	case TASK_HOLD:
	case TASK_FENCED:
	case TASK_STOPPED:
	case TASK_RELEASE:
	case TASK_GONE:
		return false;
	}
	return false;
}

void task_enter(struct task *t, enum task_state s)
{
	t->state = s;
	t->due_us = 0;
	t->worker->open = task_in_transaction(t) ? t
			  : t->worker->open == t ? NULL
						 : t->worker->open;

	switch (s) {
	case TASK_FILL:
		t->idle_since_us = worker_now(t->worker);
		break;
	case TASK_FENCED:
		t->claimed = t->positioned = false;
		t->due_us = worker_now(t->worker) + FENCED_US;
		task_forget_records(t);
		break;
	case TASK_STOPPED:
		t->due_us = worker_now(t->worker) + STOPPED_US;
		task_forget_records(t);
		break;
	case TASK_GONE:
		t->claimed = t->positioned = false;
		t->due_us = INT64_MAX;
		task_forget_records(t);
		break;
	case TASK_CLAIM:
	case TASK_SURVEY:
	case TASK_POSITION:
	case TASK_LOOKUP:
	case TASK_LOCK:
	case TASK_BEGIN:
	case TASK_LOCK_STOCK:
	case TASK_STOCK:
	case TASK_WRITE:
	case TASK_COMMIT:
	case TASK_IN_DOUBT:
	case TASK_PUBLISH:
	case TASK_HOLD:
	case TASK_RELEASE:
		break;
	}
}

void task_forget_records(struct task *t)
{
	batch_clear(t->fill);
	batch_clear(t->work);
	t->publishing = false;
	t->tripped_us = 0;
	t->settled = false;
	t->seek_wanted = false;
}

enum wait_cause task_database_cause(const struct error *err)
{
	const char *s = err->sqlstate;

	if (s[0] == '\0')
		return WAIT_DATABASE; /* no answer at all */
	if (!strncmp(s, "28", 2) || !strncmp(s, "3D", 2) || !strncmp(s, "42", 2))
		return WAIT_ENVIRONMENT;
	if (!strncmp(s, "40", 2) || !strncmp(s, "55", 2))
		return WAIT_ROW_LOCK;
	return WAIT_DATABASE;
}

void task_wait(struct task *t, enum task_state s, enum wait_cause cause, const struct error *err)
{
	int64_t now = worker_now(t->worker);

	t->attempt++;
	if (t->wait != cause) {
		t->wait = cause;
		t->wait_since_us = now;
		task_log_slice(t, LOG_LEVEL_WARNING, LOG_EVENT_HELD, err,
			"holding, nothing is lost, trying again until it heals: %s", err->text);
	}
	snprintf(t->wait_text, sizeof(t->wait_text), "%s", err->text);
	task_enter(t, s);
	t->due_us = now +
		    backoff_us(t->attempt, t->worker->ops.clock->random(t->worker->ops.clock_self));
}

void task_recovered(struct task *t)
{
	if (t->wait != WAIT_NOTHING)
		task_log(t, LOG_LEVEL_NOTICE, LOG_EVENT_RECOVERED, NULL,
			"going on after %.1f s: what was waited for is back",
			(double)(worker_now(t->worker) - t->wait_since_us) / 1e6);
	t->wait = WAIT_NOTHING;
	t->wait_text[0] = '\0';
	t->attempt = t->answered = 0;
}

void task_stop(struct task *t, bool write, const char *format, ...)
{
	struct worker *w = t->worker;
	struct error err = {0};
	char reason[sizeof(t->stop_reason)];
	va_list ap;

	va_start(ap, format);
	vsnprintf(reason, sizeof(reason), format, ap);
	va_end(ap);

	if (write) {
		enum result r = w->ops.ledger->stop(
			w->ops.ledger_self, t->partition, t->owner, reason, &err);

		if (r == RESULT_FENCED) {
			task_enter(t, TASK_FENCED);
			return;
		}
		/* Not written: the next claim meets the same condition and tries again. */
		if (r != RESULT_OK) {
			t->positioned = false;
			task_forget_records(t);
			task_wait(t, TASK_CLAIM, task_database_cause(&err), &err);
			return;
		}
	}
	if (strcmp(reason, t->stop_reason) != 0)
		task_log(t, LOG_LEVEL_ERROR, LOG_EVENT_STOPPED, NULL,
			"partition %" PRId32 " stopped: %s", t->partition, reason);
	snprintf(t->stop_reason, sizeof(t->stop_reason), "%s", reason);
	t->wait = WAIT_NOTHING;
	t->attempt = t->answered = 0;
	t->claimed = false;
	if (t->positioned) {
		t->positioned = false;
		if (worker_assign(w, &err) != RESULT_OK)
			t->positioned = false; /* its records keep coming and are ignored */
	}
	task_enter(t, TASK_STOPPED);
}

/* ---- steps ------------------------------------------------------------------------------- */

int64_t task_due_us(const struct task *t)
{
	if (t->state != TASK_FILL)
		return t->due_us;
	if (t->deliveries.failed)
		return 0;

	int64_t a = task_fill_due_us(t), b = task_progress_due_us(t);
	int64_t due = a < b ? a : b;

	if (t->seek_wanted || t->check_offset >= 0)
		due = 0;
	return due > t->due_us ? due : t->due_us;
}

void task_leave_queue(struct task *t)
{
	if (t->lock_deadline_us != 0)
		t->worker->ops.lock->forget(t->worker->ops.lock_self);
	t->lock_deadline_us = 0;
}

void task_leave(struct task *t)
{
	bool release = t->claimed;

	assert(!task_in_transaction(t));
	task_leave_queue(t);
	task_forget_records(t);
	t->positioned = false;
	t->wait = WAIT_NOTHING;
	task_enter(t, release ? TASK_RELEASE : TASK_GONE);
}

void task_step(struct task *t)
{
	switch (t->state) {
	case TASK_CLAIM:
	case TASK_FENCED:
	case TASK_STOPPED:
		task_step_claim(t);
		break;
	case TASK_SURVEY:
		task_step_survey(t);
		break;
	case TASK_POSITION:
		task_step_position(t);
		break;
	case TASK_FILL:
		task_step_fill(t);
		break;
	case TASK_LOOKUP:
		task_step_lookup(t);
		break;
	case TASK_LOCK:
	case TASK_LOCK_STOCK:
		task_step_lock(t);
		break;
	case TASK_BEGIN:
		task_step_begin(t);
		break;
	case TASK_STOCK:
		task_step_stock(t);
		break;
	case TASK_WRITE:
		task_step_write(t);
		break;
	case TASK_COMMIT:
		task_step_commit(t);
		break;
	case TASK_IN_DOUBT:
		task_step_in_doubt(t);
		break;
	case TASK_PUBLISH:
		task_step_publish(t);
		break;
	case TASK_HOLD:
		task_next_slice(t, t->work->first);
		break;
	case TASK_RELEASE:
		task_step_release(t);
		break;
	case TASK_GONE:
		break;
	}
}
