/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/backoff.h"
#include "core/task.h"

enum {
	POLL_LATEST_US = 500000, /* between two polls of a busy worker */
	SINK_WAIT_MS = 5,
	SINK_PATIENCE_US = 1000000, /* a sink full for longer is waited out while Kafka is polled */
};

int64_t worker_now(const struct worker *w)
{
	return w->ops.clock->now_us(w->ops.clock_self);
}

struct worker *worker_new(const struct worker_config *config, const struct worker_ops *ops)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->config = *config;
	w->ops = *ops;
	/* Whoever follows a batch in the log must not meet one of another worker or an earlier run:
	 * 2^20 ids from a place of our own. */
	w->batch_id = (int64_t)(ops->clock->random(ops->clock_self) >> 33 << 20);
	return w;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->task_count; i++)
		task_free(w->tasks[i]);
	free(w->tasks);
	free(w);
}

void worker_stop(struct worker *w)
{
	w->stop = true;
}

void worker_reconfigure(struct worker *w, const struct worker_config *config)
{
	w->next_config = *config;
	w->reconfigure = true;
}

void worker_log(
	struct worker *w, enum log_level level, enum log_event event, const char *format, ...)
{
	char text[512] = "";
	struct log_entry e = log_entry(level, event, text);
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	e.topic = w->config.topic;
	w->ops.log.ops->write(w->ops.log.self, &e);
}

void worker_say(struct worker *w, enum wait_cause cause, const char *text)
{
	if (w->wait != cause) {
		if (cause == WAIT_NOTHING)
			worker_log(w, LOG_LEVEL_NOTICE, LOG_EVENT_RECOVERED,
				"going on after %.1f s: what was waited for is back",
				(double)(worker_now(w) - w->wait_since_us) / 1e6);
		else
			worker_log(w, LOG_LEVEL_WARNING, LOG_EVENT_HELD,
				"waiting, trying again until it heals: %s", text);
		w->wait = cause;
		w->wait_since_us = worker_now(w);
	}
	snprintf(w->wait_text, sizeof(w->wait_text), "%s", text);
}

/* ---- start ------------------------------------------------------------------------------- */

static void start_failed(struct worker *w, enum result r, enum wait_cause cause, struct error *err)
{
	if (r == RESULT_FATAL) {
		w->life = WORKER_UNFIT;
		worker_log(w, LOG_LEVEL_ERROR, LOG_EVENT_NONE, "%s", err->text);
		return;
	}
	worker_say(w, cause, err->text);
	w->start_due_us = worker_now(w) +
			  backoff_us(++w->start_attempt, w->ops.clock->random(w->ops.clock_self));
}

void worker_start_next(struct worker *w)
{
	w->start++;
	w->start_attempt = 0;
	worker_say(w, WAIT_NOTHING, "");
}

/* One server after the other is asked whether we can work with it, then the group is joined. */
static void step_start(struct worker *w)
{
	struct error err = {0};
	enum result r = RESULT_OK;
	enum wait_cause cause = WAIT_NOTHING;

	switch (w->start) {
	case START_LEDGER:
		cause = WAIT_DATABASE;
		r = w->ops.ledger->check(w->ops.ledger_self, &err);
		break;
	case START_LOCK:
		cause = WAIT_REDIS;
		if (w->ops.lock)
			r = w->ops.lock->check(w->ops.lock_self, &err);
		if (r != RESULT_OK && w->config.fallback == LOCK_FALLBACK_DATABASE) {
			worker_log(w, LOG_LEVEL_WARNING, LOG_EVENT_LOCK_FALLBACK,
				"starting under PostgreSQL's row locks alone: %s", err.text);
			w->totals.lock_fallback = true;
			r = RESULT_OK;
		}
		break;
	case START_SOURCE:
		cause = WAIT_KAFKA;
		r = w->ops.source->check(w->ops.source_self, &w->partition_count, &err);
		break;
	case START_SUBSCRIBE:
		cause = WAIT_KAFKA;
		r = w->ops.source->subscribe(w->ops.source_self, &err);
		break;
	case START_JOIN:
	case START_DONE:
		return;
	}
	if (r == RESULT_OK)
		worker_start_next(w);
	else
		start_failed(w, r, cause, &err);
}

/* ---- deliveries -------------------------------------------------------------------------- */

static void told(void *context, uint64_t mark, bool delivered)
{
	const struct worker *w = context;

	for (size_t i = 0; i < w->task_count; i++) {
		if (w->tasks[i]->epoch == mark >> 32)
			deliveries_told(&w->tasks[i]->deliveries, (uint32_t)mark, delivered);
	}
}

void worker_serve_sink(struct worker *w, int64_t wait_ms)
{
	struct error err = {0};

	if (w->ops.sink->serve(w->ops.sink_self, wait_ms, told, w, &err) != RESULT_OK)
		worker_log(w, LOG_LEVEL_WARNING, LOG_EVENT_REPUBLISH,
			"the outcome producer was made anew: %s", err.text);
}

bool worker_outstanding(const struct worker *w)
{
	for (size_t i = 0; i < w->task_count; i++) {
		if (deliveries_outstanding(&w->tasks[i]->deliveries))
			return true;
	}
	return false;
}

/* ---- drain ------------------------------------------------------------------------------- */

static void drain_task(struct worker *w, struct task *t)
{
	struct error err = {0};
	int64_t offset = t->deliveries.delivered_to;

	task_leave_queue(t);
	/* The row first: were it last, a slow broker could keep it claimed. */
	if (t->claimed)
		task_give_back(t);
	if (t->positioned && offset > t->committed_known &&
		w->ops.source->commit_wait(w->ops.source_self, t->partition, offset, &err) !=
			RESULT_OK)
		task_log(t, LOG_LEVEL_WARNING, LOG_EVENT_COMMIT_FAILED, &err,
			"offset %" PRId64
			" was not committed, its outcomes will be published again: %s",
			offset, err.text);
	task_enter(t, TASK_GONE);
}

/* What is committed is published and its delivery awaited, then each row is given up. */
static void step_drain(struct worker *w)
{
	bool in_time = worker_now(w) < w->drain_until_us;

	for (size_t i = 0; in_time && i < w->task_count; i++) {
		if (w->tasks[i]->state == TASK_PUBLISH) {
			task_step(w->tasks[i]); /* no further slice is begun: nobody steps it */
			worker_serve_sink(w, 1);
			return;
		}
	}
	if (in_time && worker_outstanding(w)) {
		worker_serve_sink(w, 10);
		return;
	}
	if (w->task_count > 0) {
		drain_task(w, w->tasks[0]);
		worker_sweep(w);
		return;
	}
	w->ops.source->close(w->ops.source_self);
	w->ops.sink->close(w->ops.sink_self);
	w->life = WORKER_STOPPED;
}

static void begin_drain(struct worker *w)
{
	w->life = WORKER_DRAINING;
	w->drain_until_us = worker_now(w) + w->config.drain_ms * 1000;
}

/* ---- step -------------------------------------------------------------------------------- */

static struct task *due_task(struct worker *w)
{
	int64_t now = worker_now(w);

	for (size_t i = 0; i < w->task_count; i++) {
		size_t k = (w->turn + i) % w->task_count;

		if (task_due_us(w->tasks[k]) <= now) {
			w->turn = k + 1;
			return w->tasks[k];
		}
	}
	return NULL;
}

/* Committed outcomes that the sink cannot take for the moment: nothing is read meanwhile. */
static bool sink_is_full(const struct worker *w)
{
	for (size_t i = 0; i < w->task_count; i++) {
		const struct task *t = w->tasks[i];

		if (t->state == TASK_PUBLISH && t->due_us != 0 &&
			worker_now(w) - t->full_since_us < SINK_PATIENCE_US)
			return true;
	}
	return false;
}

/* Nobody else goes on meanwhile, and Kafka is not polled: a rebalance must not meet it. */
static void step_open(struct worker *w, struct task *t)
{
	int64_t wait_us = t->due_us - worker_now(w);

	if (wait_us > 0)
		worker_serve_sink(w, (wait_us + 999) / 1000);
	else
		task_step(t);
}

static void take_config(struct worker *w)
{
	for (size_t i = 0; i < w->task_count; i++) {
		struct task *t = w->tasks[i];

		/* A batch halved by failures grows by itself. */
		if (t->slice_max == (size_t)w->config.max_events)
			t->slice_max = (size_t)w->next_config.max_events;
	}
	w->config = w->next_config;
	w->reconfigure = false;
}

/*
 * A busy task with a full batch behind it: a poll now would have to pause it, which throws away
 * what is fetched. Soon it has room; but a rebalance must not wait for it longer than this.
 */
static bool may_wait(const struct worker *w)
{
	return !worker_has_room(w) && worker_now(w) - w->polled_us < POLL_LATEST_US;
}

static void step_run(struct worker *w)
{
	struct task *t = w->open;

	if (t) {
		step_open(w, t);
		return;
	}
	if (w->stop) {
		begin_drain(w);
		return;
	}
	if (w->reconfigure)
		take_config(w);
	if (w->start < START_JOIN && w->start_due_us <= worker_now(w)) {
		step_start(w);
		return;
	}
	/* Kafka is asked again after every slice, and whenever nobody has anything to do. */
	t = due_task(w);
	if (t && (w->polled || may_wait(w))) {
		task_step(t);
	} else if (sink_is_full(w)) {
		worker_serve_sink(w, SINK_WAIT_MS);
	} else {
		worker_poll(w);
		w->polled = true;
	}
	worker_sweep(w);
}

enum worker_life worker_step(struct worker *w)
{
	worker_serve_sink(w, 0);
	switch (w->life) {
	case WORKER_STARTING:
	case WORKER_RUNNING:
		step_run(w);
		if (w->life == WORKER_STARTING && w->joined)
			w->life = WORKER_RUNNING;
		break;
	case WORKER_DRAINING:
		step_drain(w);
		break;
	case WORKER_STOPPED:
	case WORKER_UNFIT:
	case WORKER_REPLACED:
	case WORKER_BROKEN:
		break;
	}
	w->totals.step_us = worker_now(w);
	return w->life;
}

/* ---- snapshot ---------------------------------------------------------------------------- */

static void snapshot_task(const struct task *t, struct partition_snapshot *s)
{
	const struct worker *w = t->worker;

	s->partition = t->partition;
	s->state = task_state_name(t->state);
	s->stopped = t->stop_reason[0] != '\0'; /* also while it is looked at again */
	s->consuming = t->positioned && t->wait == WAIT_NOTHING;
	snprintf(s->reason, sizeof(s->reason), "%s", s->stopped ? t->stop_reason : "");
	s->next_offset = t->next_offset;
	s->published_offset = t->claimed ? t->deliveries.delivered_to : -1;
	s->high = w->ops.source->high_watermark(w->ops.source_self, t->partition);
	s->last_record_at_ms = t->last_record_at_ms;
}

void worker_snapshot(const struct worker *w, struct worker_snapshot *ret)
{
	*ret = w->totals;
	ret->life = (int)w->life;
	ret->joined = w->joined;
	ret->wait = w->wait;
	ret->wait_since_us = w->wait_since_us;
	memcpy(ret->wait_text, w->wait_text, sizeof(ret->wait_text));
	ret->partition_count = w->partition_count;
	ret->task_count = 0;
	for (size_t i = 0; i < w->task_count && i < SNAPSHOT_PARTITIONS_MAX; i++) {
		const struct task *t = w->tasks[i];

		snapshot_task(t, &ret->tasks[ret->task_count++]);
		if (t->wait > ret->wait) {
			ret->wait = t->wait;
			ret->wait_since_us = t->wait_since_us;
			memcpy(ret->wait_text, t->wait_text, sizeof(ret->wait_text));
		}
	}
}
