/* SPDX-License-Identifier: Apache-2.0 */
#include "core/status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/worker.h"

struct line {
	char *text;
	size_t used;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *l, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);

	int n = vsnprintf(l->text + l->used, STATUS_MAX_BYTES - l->used, format, ap);

	va_end(ap);
	l->used += (size_t)n;
	if (l->used > STATUS_MAX_BYTES - 1)
		l->used = STATUS_MAX_BYTES - 1; /* cut */
}

static const char *waits_for(enum wait_cause cause)
{
	switch (cause) {
	case WAIT_NOTHING:
		break;
	case WAIT_LOCK:
		return "the lock of a ticket type";
	case WAIT_ROW_LOCK:
		return "rows that PostgreSQL keeps locked";
	case WAIT_REDIS:
		return "Redis";
	case WAIT_KAFKA:
		return "Kafka";
	case WAIT_DELIVERY:
		return "Kafka to take the outcomes";
	case WAIT_DATABASE:
		return "PostgreSQL";
	case WAIT_ENVIRONMENT:
		return "a person to put PostgreSQL right";
	}
	return "nothing";
}

/* 950, 18.2k, 1.3M */
static void add_count(struct line *l, double n)
{
	if (n < 1000)
		add(l, "%.0f", n);
	else if (n < 999950)
		add(l, "%.1fk", n / 1e3);
	else
		add(l, "%.1fM", n / 1e6);
}

static void add_stopped(struct line *l, const struct status_input *in)
{
	for (size_t i = 0; i < in->worker_count; i++) {
		const struct worker_snapshot *w = &in->workers[i];

		for (int32_t k = 0; k < w->task_count; k++) {
			if (w->tasks[k].stopped)
				add(l, "partition %" PRId32 " stopped: %s; ", w->tasks[k].partition,
					w->tasks[k].reason);
		}
	}
}

/* The gravest cause of all workers, and whether everyone waits. */
static const struct worker_snapshot *who_waits(const struct status_input *in)
{
	const struct worker_snapshot *worst = NULL;

	for (size_t i = 0; i < in->worker_count; i++) {
		const struct worker_snapshot *w = &in->workers[i];

		if (w->wait != WAIT_NOTHING && (!worst || w->wait > worst->wait))
			worst = w;
	}
	return worst;
}

static void add_waiting(struct line *l, const struct status_input *in)
{
	const struct worker_snapshot *w = who_waits(in);

	if (w)
		add(l, "waiting for %s since %.0f s: %s; ", waits_for(w->wait),
			(double)(in->now_us - w->wait_since_us) / 1e6, w->wait_text);
}

struct totals {
	int consuming, tasks, partitions;
	int64_t lag, oldest_ms, dead_letters;
	bool lag_known, lock_fallback;
	int64_t batch_records, batch_us;
};

static void sum_partition(struct totals *t, const struct partition_snapshot *p)
{
	t->tasks++;
	t->consuming += p->consuming;
	if (p->high < 0 || p->next_offset < 0)
		return;
	t->lag_known = true;
	if (p->high <= p->next_offset)
		return;
	t->lag += p->high - p->next_offset;
	if (p->last_record_at_ms >= 0 && (t->oldest_ms < 0 || p->last_record_at_ms < t->oldest_ms))
		t->oldest_ms = p->last_record_at_ms;
}

static struct totals sum(const struct status_input *in)
{
	struct totals t = {.oldest_ms = -1};

	for (size_t i = 0; i < in->worker_count; i++) {
		const struct worker_snapshot *w = &in->workers[i];

		for (int32_t k = 0; k < w->task_count; k++)
			sum_partition(&t, &w->tasks[k]);
		if (w->partition_count > t.partitions)
			t.partitions = w->partition_count;
		t.dead_letters += w->refused + w->conflicts;
		t.lock_fallback |= w->lock_fallback;
		if (w->batch_records > t.batch_records) {
			t.batch_records = w->batch_records;
			t.batch_us = w->batch_us;
		}
	}
	return t;
}

static void add_consuming(struct line *l, const struct status_input *in)
{
	struct totals t = sum(in);

	if (t.tasks == 0) {
		/* Out of Kafka's reach nobody knows who has them. */
		add(l, who_waits(in)
				? "no partition is assigned to us"
				: "standing by: other members of the group have all partitions");
		return;
	}
	add(l, "consuming %d/%d partitions", t.consuming, t.partitions);
	if (t.lag_known)
		add(l, ", lag %" PRId64, t.lag);
	if (t.lag > 0 && t.oldest_ms >= 0 && in->now_ms > t.oldest_ms)
		add(l, " (%.1f s)", (double)(in->now_ms - t.oldest_ms) / 1e3);
	add(l, ", ");
	add_count(l, in->per_second);
	add(l, "/s");
	if (t.batch_records > 0)
		add(l, ", batch %" PRId64 " in %.1f ms", t.batch_records, (double)t.batch_us / 1e3);
	if (t.dead_letters > 0)
		add(l, ", %" PRId64 " dead letter%s", t.dead_letters,
			t.dead_letters == 1 ? "" : "s");
	if (t.lock_fallback)
		add(l, ", without the Redis lock");
}

void status_format(const struct status_input *in, char ret[STATUS_MAX_BYTES])
{
	struct line l = {.text = ret};

	ret[0] = '\0';
	if (in->stopping) {
		add(&l, "stopping: finishing what is in a transaction, waiting for deliveries");
		return;
	}
	add_stopped(&l, in);
	add_waiting(&l, in);
	if (in->ready)
		add_consuming(&l, in);
	else if (l.used == 0)
		add(&l, "starting: joining the consumer group");
	else
		ret[l.used - 2] = '\0'; /* the last "; " */
}

void status_totals(
	const struct worker_snapshot *workers, size_t count, char ret[STATUS_TOTALS_BYTES])
{
	struct worker_snapshot t = {0};

	for (size_t i = 0; i < count; i++) {
		t.decided += workers[i].decided;
		t.fresh += workers[i].fresh;
		t.duplicates += workers[i].duplicates;
		t.conflicts += workers[i].conflicts;
		t.refused += workers[i].refused;
	}
	snprintf(ret, STATUS_TOTALS_BYTES,
		"%" PRId64 " records decided: %" PRId64 " payments, %" PRId64
		" duplicates, %" PRId64 " conflicts, %" PRId64 " refused",
		t.decided, t.fresh, t.duplicates, t.conflicts, t.refused);
}
