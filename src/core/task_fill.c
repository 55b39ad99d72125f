/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "core/backoff.h"
#include "core/task.h"

/* Reading records into a batch, and cutting the batch into slices: docs/design.md, "Fill". */
enum {
	DISTURBANCES_MAX = 3, /* errors of the stream without a record in between */

	/* See rest_until_us(). */
	REST_RECORDS = 1000, /* so many are worth a transaction at any time */
	REST_FACTOR = 3,
	REST_MAX_US = 20000,
	WAITING_US = 500, /* read so soon after a batch, it waited meanwhile */
	IDLE_DIVISOR = 16,
	IDLE_LEAST_US =
		1000, /* less would be waited for as long: Kafka's polls count milliseconds */
};

bool task_has_room(const struct task *t)
{
	return t->fill->count < t->fill->capacity &&
	       t->fill->count < (size_t)t->worker->config.max_events &&
	       t->fill->bytes < (size_t)t->worker->config.max_bytes;
}

/* Ask again for what is expected, and look twice at what comes. */
static void want_seek(struct task *t)
{
	t->disturbed = true;
	t->gap_at = -1;
	t->seek_wanted = t->positioned;
}

void task_fetched_anew(struct task *t)
{
	t->disturbed = true;
	t->gap_at = -1;
	t->seek_wanted = t->paused = false;
}

void task_disturbed(struct task *t)
{
	t->disturbances++;
	want_seek(t);
}

/* May this offset come next? Sees to what must happen when it may not. */
static bool accept_offset(struct task *t, int64_t offset)
{
	if (offset < t->expected) {
		t->worker->totals.dropped++;
		return false;
	}
	if (offset > t->expected && t->disturbed && t->gap_at != offset) {
		/* After a seek, a resume or an error this may be a gap of the stream, not of the
		 * log: ask once more for what is missing. */
		t->gap_at = offset;
		t->seek_wanted = true;
		return false;
	}
	if (offset > t->expected)
		task_log_gap(t, LOG_LEVEL_NOTICE, t->expected, offset - 1,
			"hold no records (compaction or transaction markers)");
	t->disturbed = false;
	t->disturbances = 0;
	t->gap_at = -1;
	return true;
}

void task_record(struct task *t, const struct raw_record *raw)
{
	struct worker *w = t->worker;
	struct error err = {0};

	if (!t->positioned || t->seek_wanted || t->state == TASK_STOPPED)
		return; /* of a position that is not ours any more; it comes again after the seek */
	if (!accept_offset(t, raw->offset))
		return;
	if (!task_has_room(t) ||
		batch_append(t->fill, raw, (size_t)w->config.event_bytes, &err) != RESULT_OK) {
		want_seek(t); /* fetched again when there is room */
		return;
	}
	if (t->fill->count == 1)
		t->fill_since_us = worker_now(w);
	t->expected = raw->offset + 1;
}

static int64_t at_most(int64_t us, int64_t maximum)
{
	return us < maximum ? us : maximum;
}

/*
 * A linger that follows the load. Small batches, one right after the other, would use up the
 * machine: so after each the task rests as long as a few such batches take. Not when many records
 * wait, nor when those that wait came behind one that found us rested: that is a burst, not a load.
 * A record that comes after the rest is taken nearly at once: where transactions are slow, those
 * right behind it are worth a small part of one.
 */
static int64_t rested_us(const struct task *t)
{
	return t->decided_us + at_most(REST_FACTOR * t->batch_us, REST_MAX_US);
}

static int64_t rest_until_us(const struct task *t)
{
	bool waited = t->fill_since_us - t->decided_us <= WAITING_US;

	if (t->fill->count >= REST_RECORDS || (waited && t->from_rest))
		return 0;
	if (t->fill_since_us < rested_us(t))
		return rested_us(t);
	if (t->batch_us / IDLE_DIVISOR < IDLE_LEAST_US)
		return 0;
	return t->fill_since_us + at_most(t->batch_us / IDLE_DIVISOR, REST_MAX_US);
}

int64_t task_fill_due_us(const struct task *t)
{
	if (t->fill->count == 0)
		return INT64_MAX;
	if (!task_has_room(t))
		return 0;

	int64_t linger = t->fill_since_us + t->worker->config.linger_ms * 1000;
	int64_t rest = rest_until_us(t);

	return linger > rest ? linger : rest;
}

/* Look for our place anew, from what is delivered on; nothing is lost, some is published again. */
static void reposition(struct task *t)
{
	task_forget_records(t);
	t->positioned = false;
	t->disturbances = 0;
	task_enter(t, TASK_POSITION);
	t->due_us = worker_now(t->worker) + backoff_us(1, 0);
}

/* Ask for the expected offset again: fetching is set to it and nothing before it is believed. */
static void step_seek(struct task *t)
{
	struct worker *w = t->worker;
	struct error err = {0};

	if (t->disturbances >= DISTURBANCES_MAX) {
		reposition(t); /* perhaps what we ask for is deleted by now */
		return;
	}
	if (w->ops.source->seek(w->ops.source_self, t->partition, t->expected, &err) != RESULT_OK) {
		task_wait(t, t->state, WAIT_KAFKA, &err);
		return;
	}
	t->seek_wanted = false;
	t->disturbed = true;
	task_recovered(t);
}

/* Back-pressure: a full batch that cannot be taken stops its partition, and only its own. */
static void set_paused(struct task *t, bool paused)
{
	struct worker *w = t->worker;
	struct error err = {0};

	if (t->paused == paused)
		return;
	if (w->ops.source->pause(w->ops.source_self, t->partition, paused, &err) != RESULT_OK)
		return; /* the batch's bound holds anyway: what does not fit is fetched again */
	t->paused = paused;
	if (!paused)
		t->disturbed = true;
}

void task_before_poll(struct task *t)
{
	if (!t->positioned)
		return;
	if (t->state == TASK_FILL)
		set_paused(t, false); /* also when the resume after a hold did not succeed */
	else if (!task_has_room(t))
		set_paused(t, true); /* never in FILL: a pause throws away what is fetched */
}

/* An outcome was not delivered. Again and again, until Kafka takes it: the pauses grow. */
static void publish_again(struct task *t)
{
	struct worker *w = t->worker;

	w->totals.republished++;
	t->undelivered_at = t->deliveries.delivered_to;
	reposition(t);
	t->due_us = worker_now(w) +
		    backoff_us(++t->undelivered, w->ops.clock->random(w->ops.clock_self));
	if (t->undelivered > 1)
		return;
	t->wait = WAIT_DELIVERY;
	t->wait_since_us = worker_now(w);
	snprintf(t->wait_text, sizeof(t->wait_text), "an outcome was not delivered");
	task_log(t, LOG_LEVEL_WARNING, LOG_EVENT_REPUBLISH, NULL,
		"an outcome was not delivered: what is not known to be delivered is published again");
}

void task_look_at_deliveries(struct task *t)
{
	if (t->undelivered == 0 || t->deliveries.delivered_to <= t->undelivered_at)
		return;
	t->undelivered = 0;
	if (t->wait == WAIT_DELIVERY)
		task_recovered(t);
}

static void take_batch(struct task *t)
{
	struct batch *b = t->work;

	t->from_rest = t->fill_since_us >= rested_us(t);
	t->work = t->fill;
	t->fill = b;
	batch_clear(t->fill);
	set_paused(t, false);
	task_note_pause(t);
	task_next_slice(t, 0);
	t->worker->polled = true; /* a moment ago: these are what came */
}

/* batch.max_events was changed by a reload: an empty batch is made anew, a full one later. */
static void fit_batch(struct batch **b, int64_t max_events)
{
	struct batch *fitting;

	if ((*b)->count > 0 || (*b)->capacity == (size_t)max_events)
		return;
	fitting = batch_new((size_t)max_events);
	if (!fitting)
		return; /* the old one works as well */
	batch_free(*b);
	*b = fitting;
}

void task_next_slice(struct task *t, size_t first)
{
	struct worker *w = t->worker;
	struct batch *b = t->work;
	size_t length = 0;

	w->polled = false;
	task_commit_if_due(t);
	if (first >= b->count) {
		batch_clear(b);
		fit_batch(&t->work, w->config.max_events);
		fit_batch(&t->fill, w->config.max_events);
		task_enter(t, TASK_FILL);
		return;
	}
	b->replay = b->records[first].offset < t->next_offset;

	/* A replay writes nothing, so nothing of it can be to blame for failures or kills. */
	size_t max = b->replay ? b->count : t->slice_max;

	while (first + length < b->count && length < max &&
		b->replay == (b->records[first + length].offset < t->next_offset))
		length++;

	b->topic = w->config.topic;
	b->partition = t->partition;
	b->id = ++w->batch_id;
	b->expected = t->next_offset;
	memcpy(b->owner, t->owner, sizeof(b->owner));
	batch_slice(b, first, length);
	t->publish_index = 0;
	t->publishing = false;
	t->lock_deadline_us = 0;
	t->began_us = worker_now(w);
	if (b->replay)
		task_enter(t, TASK_LOOKUP);
	else if (w->ops.lock && w->config.scope == LOCK_SCOPE_TRANSACTION)
		task_enter(t, TASK_LOCK);
	else
		task_enter(t, TASK_BEGIN);
}

void task_step_fill(struct task *t)
{
	if (t->check_offset >= 0)
		task_step_check(t);
	else if (t->seek_wanted)
		step_seek(t);
	else if (t->deliveries.failed)
		publish_again(t);
	else if (task_fill_due_us(t) <= worker_now(t->worker))
		take_batch(t);
	else
		task_step_progress(t);
}
