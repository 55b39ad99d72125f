/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "core/outcome.h"
#include "core/task.h"

/* After COMMIT: outcomes to the sink, delivered offsets to Kafka and the database. */
enum {
	PUBLISH_AT_ONCE = 256,  /* outcomes that the sink is given in one call */
	FULL_US = 5000,         /* before a full sink is tried again */
	FULL_SAID_US = 1000000, /* before people are told */
	COMMIT_US = 100000,     /* between two offset commits of a busy partition */
	IDLE_US = 1000000,      /* nothing decided for so long: write published_offset by itself */
	SETTLE_US = 1000000,    /* how long a stop waits for deliveries */
	SETTLE_LOOK_US = 5000,
	TOUCH_US = 5000000, /* an idle owner looks whether it still is one (an operator's seek) */
};

/* A late answer for an earlier assignment of the partition must not count for this one. */
static uint64_t mark_of(const struct task *t, uint32_t sequence)
{
	return (uint64_t)t->epoch << 32 | sequence;
}

/*
 * Hand over as many outcomes as go together. RESULT_OK, or the sink's reason not to take the one at
 * publish_index now.
 */
static enum result publish_some(struct task *t, struct error *err)
{
	struct worker *w = t->worker;
	struct sink_message messages[PUBLISH_AT_ONCE];
	size_t at[PUBLISH_AT_ONCE], count = 0, used = 0, i = t->publish_index;
	struct sink_taken taken = {0};

	for (; i < t->work->length && count < PUBLISH_AT_ONCE &&
		sizeof(w->values) - used >= OUTCOME_MAX_BYTES;
		i++) {
		const struct record *r = batch_record(t->work, i);
		char *value = w->values + used;

		if (!outcome_due(r))
			continue;

		size_t length = outcome_encode(r, w->config.topic, t->partition, value);

		at[count] = i;
		messages[count++] = (struct sink_message){
			.key = r->event.order_id, .value = {.data = value, .length = length}};
		used += length;
	}
	if (count == 0) {
		t->publish_index = i;
		return RESULT_OK;
	}

	enum result result = w->ops.sink->publish(
		w->ops.sink_self, messages, count, mark_of(t, t->sequence), &taken, err);

	deliveries_add(&t->deliveries, taken.count);
	t->publish_index = result == RESULT_OK ? i : at[taken.next];
	return result;
}

static bool commit_wanted(const struct task *t)
{
	return t->positioned && t->deliveries.delivered_to > t->committed_asked;
}

static void commit_offset(struct task *t)
{
	struct worker *w = t->worker;
	struct error err = {0};
	int64_t offset = t->deliveries.delivered_to;

	t->commit_due_us = worker_now(w) + COMMIT_US;
	if (w->ops.source->commit(w->ops.source_self, t->partition, offset, &err) == RESULT_OK)
		t->committed_asked = offset;
	else
		task_log(t, LOG_LEVEL_WARNING, LOG_EVENT_COMMIT_FAILED, &err,
			"cannot commit offset %" PRId64 " now: %s", offset, err.text);
}

static void stop_tripped(struct task *t)
{
	const struct breaker *k = &t->breaker;

	task_stop(t, true,
		"%" PRId32
		" of the last %d records were refused, in conflict or of unknown ticket type "
		"(record timestamps %" PRId64 " to %" PRId64
		" ms): a wrong producer or database? If it is right: ticketpayctl resume --partition "
		"%" PRId32,
		k->bad_count, BREAKER_WINDOW, k->first_bad_ms, k->last_bad_ms, t->partition);
}

/* The sink is full, or too many slices are under way: deliveries make room. */
static void wait_for_sink(struct task *t, const char *why)
{
	int64_t now = worker_now(t->worker);

	if (t->full_since_us == 0)
		t->full_since_us = now;
	t->due_us = now + FULL_US;
	if (now - t->full_since_us < FULL_SAID_US || t->wait == WAIT_DELIVERY)
		return;
	t->wait = WAIT_DELIVERY;
	t->wait_since_us = t->full_since_us;
	snprintf(t->wait_text, sizeof(t->wait_text), "%s", why);
	task_log_slice(t, LOG_LEVEL_WARNING, LOG_EVENT_HELD, NULL,
		"committed, but Kafka does not take the outcomes: %s", why);
}

/*
 * The last batch before a stop is delivered and said to be, or all of it would be published again
 * after the cure. Not for long: a stop must not wait for a broker that is down.
 */
static void settle_and_stop(struct task *t)
{
	struct worker *w = t->worker;
	struct error err = {0};
	int64_t now = worker_now(w), offset = t->deliveries.delivered_to;

	if (deliveries_outstanding(&t->deliveries) && now - t->tripped_us < SETTLE_US) {
		t->due_us = now + SETTLE_LOOK_US;
		return;
	}
	if (!t->settled && offset > t->published_written) {
		t->settled = true;
		if (commit_wanted(t))
			commit_offset(t);
		/* Not written: published again. Not ours any more: the stop will say so. */
		(void)w->ops.ledger->publish_progress(
			w->ops.ledger_self, t->partition, t->owner, offset, &err);
		return;
	}
	stop_tripped(t);
}

void task_step_publish(struct task *t)
{
	struct batch *b = t->work;
	struct error err = {0};

	if (t->tripped_us != 0) {
		settle_and_stop(t);
		return;
	}
	if (!t->publishing) {
		if (deliveries_full(&t->deliveries)) {
			wait_for_sink(t, "too many batches are not acknowledged");
			return;
		}
		t->sequence = deliveries_begin(&t->deliveries, b->next);
		t->publishing = true;
	}
	while (t->publish_index < b->length) {
		enum result r = publish_some(t, &err);

		if (r == RESULT_BUSY || r == RESULT_RETRY) {
			wait_for_sink(t, err.text);
			return;
		}
		if (r != RESULT_OK) {
			/* The sink will never take this one: the row says what became of it. */
			t->deliveries.failed = true;
			break;
		}
	}
	deliveries_close(&t->deliveries);
	t->publishing = false;
	t->full_since_us = 0;
	if (t->wait == WAIT_DELIVERY && t->undelivered == 0)
		task_recovered(t);

	if (!b->replay && breaker_tripped(&t->breaker, t->worker->config.breaker)) {
		t->tripped_us = worker_now(t->worker);
		settle_and_stop(t);
		return;
	}
	if (t->deliveries.failed) {
		batch_clear(b);
		task_enter(t, TASK_FILL); /* which begins again at what is delivered */
		return;
	}
	task_next_slice(t, b->first + b->length);
}

/* ---- offsets ------------------------------------------------------------------------------- */

static int64_t write_due_us(const struct task *t)
{
	bool wanted = t->deliveries.delivered_to > t->published_written;

	return t->idle_since_us + (wanted ? IDLE_US : TOUCH_US);
}

void task_touch(struct task *t)
{
	t->idle_since_us = worker_now(t->worker) - TOUCH_US;
}

int64_t task_progress_due_us(const struct task *t)
{
	int64_t a = commit_wanted(t) ? t->commit_due_us : INT64_MAX;
	int64_t b = write_due_us(t);

	return a < b ? a : b;
}

static void write_published(struct task *t)
{
	struct worker *w = t->worker;
	struct error err = {0};
	int64_t offset = t->deliveries.delivered_to;

	t->idle_since_us = worker_now(w);

	enum result r = w->ops.ledger->publish_progress(
		w->ops.ledger_self, t->partition, t->owner, offset, &err);

	if (r == RESULT_FENCED) {
		w->totals.fenced++;
		task_log(t, LOG_LEVEL_NOTICE, LOG_EVENT_FENCED, NULL,
			"partition %" PRId32
			" was taken over or sought elsewhere: claiming it again",
			t->partition);
		task_enter(t, TASK_FENCED);
	} else if (r != RESULT_OK) {
		task_wait(t, TASK_FILL, task_database_cause(&err), &err);
	} else {
		if (offset > t->published_written)
			t->published_written = offset;
		task_recovered(t);
	}
}

bool task_commit_if_due(struct task *t)
{
	task_look_at_deliveries(t);

	bool due = commit_wanted(t) && t->commit_due_us <= worker_now(t->worker);

	if (due)
		commit_offset(t);
	return due;
}

void task_step_progress(struct task *t)
{
	if (!task_commit_if_due(t) && write_due_us(t) <= worker_now(t->worker))
		write_published(t);
}

/* Give the row up, once; whoever comes next is fenced off by the owner token, not by this. */
void task_give_back(struct task *t)
{
	struct worker *w = t->worker;
	struct error err = {0};

	if (w->ops.ledger->release(w->ops.ledger_self, t->partition, t->owner,
		    t->deliveries.delivered_to, &err) != RESULT_OK)
		task_log(t, LOG_LEVEL_INFO, LOG_EVENT_NONE, &err,
			"partition %" PRId32 " was not released: %s", t->partition, err.text);
	t->claimed = false;
}

void task_step_release(struct task *t)
{
	task_give_back(t);
	task_enter(t, TASK_GONE);
}
