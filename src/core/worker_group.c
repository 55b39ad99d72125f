/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "core/backoff.h"
#include "core/task.h"

/* What comes from Kafka: rebalances, records, answers to commits. */
enum {
	POLL_MAX_US = 100000,     /* how long a step may wait for Kafka */
	POLL_SOON_US = 5000,      /* the same while deliveries are outstanding */
	HURRY_MS = 1,             /* for outcomes to be sent before that wait */
	UNREACHABLE_US = 6000000, /* "no broker" said again within this time still holds */
};

static struct task *find_task(const struct worker *w, int32_t partition)
{
	for (size_t i = 0; i < w->task_count; i++) {
		if (w->tasks[i]->partition == partition)
			return w->tasks[i];
	}
	return NULL;
}

/* ---- rebalance --------------------------------------------------------------------------- */

enum result worker_assign(struct worker *w, struct error *err)
{
	CLEANUP(free_ptr) struct position *p = calloc(w->task_count + 1, sizeof(*p));
	size_t n = 0;

	if (!p)
		return fail(err, RESULT_RETRY, 0, "no memory for an assignment");
	for (size_t i = 0; i < w->task_count; i++) {
		struct task *t = w->tasks[i];

		if (!t->positioned)
			continue;
		p[n++] = (struct position){.partition = t->partition, .offset = t->expected};
	}

	enum result r = w->ops.source->assign(w->ops.source_self, p, n, err);

	/* Everyone's fetching begins anew, and nobody stays paused. */
	for (size_t i = 0; r == RESULT_OK && i < w->task_count; i++)
		task_fetched_anew(w->tasks[i]);
	return r;
}

static bool add_task(struct worker *w, int32_t partition)
{
	struct task **tasks = realloc(w->tasks, (w->task_count + 1) * sizeof(struct task *));

	if (!tasks)
		return false;
	w->tasks = tasks;

	struct task *t = task_new(w, partition);

	if (!t)
		return false;
	w->tasks[w->task_count++] = t;
	return true;
}

static void assigned(struct worker *w, const struct source_event *e)
{
	char list[200] = "";
	size_t n = 0;

	for (size_t i = 0; i < e->partition_count; i++) {
		struct task *t = find_task(w, e->partitions[i]);
		int k = snprintf(list + n, sizeof(list) - n, " %" PRId32, e->partitions[i]);

		n += (size_t)k < sizeof(list) - n ? (size_t)k : 0;
		if (e->partitions[i] >= w->partition_count)
			w->partition_count = e->partitions[i] + 1;
		if (t && (t->state == TASK_RELEASE || t->state == TASK_GONE))
			task_enter(t, TASK_CLAIM); /* it was ours a moment ago, and still is */
		else if (!t && !add_task(w, e->partitions[i])) {
			w->life = WORKER_BROKEN;
			worker_log(w, LOG_LEVEL_ERROR, LOG_EVENT_NONE, "no memory for a partition");
			return;
		}
	}
	if (!w->joined && w->start == START_JOIN)
		worker_start_next(w);
	w->joined = true;
	worker_log(w, LOG_LEVEL_NOTICE, LOG_EVENT_ASSIGNED, "the group assigned partitions:%s",
		n ? list : " none");
}

static void revoked(struct worker *w, const struct source_event *e)
{
	worker_log(w, LOG_LEVEL_NOTICE, LOG_EVENT_REVOKED, "the group revoked all partitions%s",
		e->lost ? " (lost: we were silent too long)" : "");
	for (size_t i = 0; i < w->task_count; i++)
		task_leave(w->tasks[i]);
}

void worker_sweep(struct worker *w)
{
	size_t kept = 0;

	for (size_t i = 0; i < w->task_count; i++) {
		if (w->tasks[i]->state == TASK_GONE)
			task_free(w->tasks[i]);
		else
			w->tasks[kept++] = w->tasks[i];
	}
	w->task_count = kept;
}

/* ---- poll -------------------------------------------------------------------------------- */

static void commit_answered(struct worker *w, const struct source_event *e, const struct error *err)
{
	struct task *t = find_task(w, e->partition);

	if (!e->failed || !t)
		return;
	t->committed_asked = t->committed_known; /* asked for again, but not at once */
	t->commit_due_us = worker_now(w) + BACKOFF_MAX_US;
	task_log(t, LOG_LEVEL_WARNING, LOG_EVENT_COMMIT_FAILED, err,
		"Kafka refused an offset commit, the data is exact all the same: %s", err->text);
}

static void handle(struct worker *w, const struct source_event *e, const struct error *err)
{
	struct task *t;

	switch (e->kind) {
	case SOURCE_NOTHING:
		break;
	case SOURCE_RECORD:
		t = find_task(w, e->record.partition);
		if (t)
			task_record(t, &e->record);
		break;
	case SOURCE_ASSIGNED:
		assigned(w, e);
		break;
	case SOURCE_REVOKED:
		revoked(w, e);
		break;
	case SOURCE_COMMIT:
		commit_answered(w, e, err);
		break;
	case SOURCE_DISTURBED:
		t = find_task(w, e->partition);
		if (t)
			task_disturbed(t);
		break;
	case SOURCE_UNREACHABLE:
		w->unreachable_us = worker_now(w);
		worker_say(w, WAIT_KAFKA, err->text);
		return;
	case SOURCE_OTHER_TOOK_NAME:
		w->life = WORKER_REPLACED;
		worker_log(w, LOG_LEVEL_ERROR, LOG_EVENT_REPLACED,
			"another daemon joined the group with our instance name: give each its own "
			"kafka.instance");
		return;
	}
	/* Anything that Kafka sends says that it is there. */
	if (e->kind != SOURCE_NOTHING && e->kind != SOURCE_COMMIT && w->unreachable_us != 0) {
		w->unreachable_us = 0;
		worker_say(w, WAIT_NOTHING, "");
	}
}

bool worker_has_room(const struct worker *w)
{
	for (size_t i = 0; i < w->task_count; i++) {
		const struct task *t = w->tasks[i];

		if (t->positioned && !t->paused && !task_has_room(t))
			return false;
	}
	return true;
}

static int64_t next_due_us(const struct worker *w)
{
	int64_t due = INT64_MAX;

	for (size_t i = 0; i < w->task_count; i++) {
		int64_t d = task_due_us(w->tasks[i]);

		if (d < due)
			due = d;
	}
	return due;
}

/* Wait for the first event, then take all that is there, at most what the batches hold. */
static bool take_events(struct worker *w, int64_t wait_us)
{
	struct source_event e = {.kind = SOURCE_RECORD};
	bool any = false;

	for (int64_t n = 0; e.kind == SOURCE_RECORD && n < 2 * w->config.max_events; n++) {
		struct error err = {0};
		enum result r = w->ops.source->poll(
			w->ops.source_self, n == 0 ? (wait_us + 999) / 1000 : 0, &e, &err);

		if (r == RESULT_FATAL) {
			w->life = WORKER_BROKEN;
			worker_log(w, LOG_LEVEL_ERROR, LOG_EVENT_NONE,
				"the Kafka consumer failed: %s", err.text);
			return true;
		}
		if (r != RESULT_OK)
			e.kind = SOURCE_UNREACHABLE;
		any = any || e.kind != SOURCE_NOTHING;
		handle(w, &e, &err);
		if (!worker_has_room(w))
			break;
	}
	return any;
}

void worker_poll(struct worker *w)
{
	int64_t now = worker_now(w), due = next_due_us(w);
	bool outstanding = worker_outstanding(w);
	int64_t wait_us = outstanding ? POLL_SOON_US : POLL_MAX_US;

	if (w->start < START_JOIN && w->start_due_us < due)
		due = w->start_due_us;
	if (due - now < wait_us)
		wait_us = due > now ? due - now : 0;

	for (size_t i = 0; i < w->task_count; i++) {
		task_before_poll(w->tasks[i]);
		/* A rebalance may be met now: what is delivered should not be published again. */
		(void)task_commit_if_due(w->tasks[i]);
	}
	w->polled_us = now;
	if (!take_events(w, outstanding ? 0 : wait_us) && outstanding && wait_us > 0) {
		worker_serve_sink(w, HURRY_MS);
		(void)take_events(w, wait_us);
	}
	if (w->unreachable_us != 0 && worker_now(w) - w->unreachable_us > UNREACHABLE_US) {
		w->unreachable_us = 0;
		worker_say(w, WAIT_NOTHING, "");
	}
}
