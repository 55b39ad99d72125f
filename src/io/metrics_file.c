/* SPDX-License-Identifier: Apache-2.0 */
#include "io/metrics_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

/* ---- what is told ---------------------------------------------------------------------------- */

struct counter {
	const char *name, *help;
	size_t field; /* of struct worker_snapshot: an int64_t */
};

#define COUNTER(name, field, help)                                                                 \
	{                                                                                          \
		"ticketpayd_" name "_total", help, offsetof(struct worker_snapshot, field)         \
	}

static const struct counter counters[] = {
	COUNTER("records_decided", decided, "Records decided, replays not counted."),
	COUNTER("payments_stored", fresh, "Records that became a payment row."),
	COUNTER("records_duplicate", duplicates, "Records whose order had been decided before."),
	COUNTER("records_conflicting", conflicts,
		"Records whose order id was used before with other content."),
	COUNTER("records_refused", refused, "Records refused into the dead letters."),
	COUNTER("records_dropped", dropped, "Records dropped: below the expected offset."),
	COUNTER("batches", batches, "Transactions committed."),
	COUNTER("lock_fallbacks", lock_fallbacks,
		"Batches decided without the Redis lock, under row locks alone."),
	COUNTER("leases_expired", leases_expired,
		"Redis locks that ran out before their batch was committed."),
	COUNTER("fenced", fenced, "Batches given up because another worker has the partition."),
	COUNTER("in_doubt", in_doubt, "Commits whose answer was lost."),
	COUNTER("outcomes_republished", republished, "Outcomes published again."),
};

/* The label of a cause; NULL: no sample. */
static const char *cause_label(enum wait_cause cause)
{
	switch (cause) {
	case WAIT_NOTHING:
		return NULL;
	case WAIT_LOCK:
		return "lock";
	case WAIT_ROW_LOCK:
		return "row_lock";
	case WAIT_REDIS:
		return "redis";
	case WAIT_KAFKA:
		return "kafka";
	case WAIT_DELIVERY:
		return "delivery";
	case WAIT_DATABASE:
		return "database";
	case WAIT_ENVIRONMENT:
		return "environment";
	}
	return NULL;
}

enum metric_unit { UNIT_ONE, UNIT_MILLISECONDS, UNIT_MICROSECONDS };

/* Prometheus wants seconds. */
static void value(FILE *out, int64_t v, enum metric_unit unit)
{
	switch (unit) {
	case UNIT_ONE:
		fprintf(out, "%" PRId64 "\n", v);
		break;
	case UNIT_MILLISECONDS:
		fprintf(out, "%" PRId64 ".%03" PRId64 "\n", v / 1000, v % 1000);
		break;
	case UNIT_MICROSECONDS:
		fprintf(out, "%" PRId64 ".%06" PRId64 "\n", v / 1000000, v % 1000000);
		break;
	}
}

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* ---- counters and workers -------------------------------------------------------------------- */

static void print_counters(FILE *out, const struct worker_snapshot *workers, size_t count)
{
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		int64_t sum = 0;

		for (size_t w = 0; w < count; w++) {
			int64_t one;

			memcpy(&one, (const char *)&workers[w] + counters[i].field, sizeof(one));
			sum += one;
		}
		head(out, counters[i].name, "counter", counters[i].help);
		fprintf(out, "%s ", counters[i].name);
		value(out, sum, UNIT_ONE);
	}
}

static int64_t worker_joined(const struct worker_snapshot *w)
{
	return w->joined;
}

static int64_t worker_lock_fallback(const struct worker_snapshot *w)
{
	return w->lock_fallback;
}

static int64_t worker_batch_records(const struct worker_snapshot *w)
{
	return w->batch_records;
}

static int64_t worker_batch_us(const struct worker_snapshot *w)
{
	return w->batch_us;
}

struct worker_gauge {
	const char *name, *help;
	int64_t (*get)(const struct worker_snapshot *w);
	enum metric_unit unit;
};

static const struct worker_gauge worker_gauges[] = {
	{"ticketpayd_worker_joined", "1 once the consumer group has answered the worker.",
		worker_joined, UNIT_ONE},
	{"ticketpayd_worker_lock_fallback",
		"1 while the worker goes on without Redis, under row locks alone.",
		worker_lock_fallback, UNIT_ONE},
	{"ticketpayd_worker_batch_records", "Records of the worker's last batch.",
		worker_batch_records, UNIT_ONE},
	{"ticketpayd_worker_batch_seconds", "Duration of the worker's last transaction.",
		worker_batch_us, UNIT_MICROSECONDS},
};

static void print_workers(FILE *out, const struct worker_snapshot *workers, size_t count)
{
	static const char waiting[] = "ticketpayd_worker_waiting";

	for (size_t i = 0; count && i < sizeof(worker_gauges) / sizeof(worker_gauges[0]); i++) {
		const struct worker_gauge *g = &worker_gauges[i];

		head(out, g->name, "gauge", g->help);
		for (size_t w = 0; w < count; w++) {
			fprintf(out, "%s{worker=\"%zu\"} ", g->name, w);
			value(out, g->get(&workers[w]), g->unit);
		}
	}
	if (!count)
		return;
	head(out, waiting, "gauge", "1 for what the worker waits for.");
	for (size_t w = 0; w < count; w++) {
		for (int c = WAIT_NOTHING + 1; c <= WAIT_ENVIRONMENT; c++)
			fprintf(out, "%s{worker=\"%zu\",cause=\"%s\"} %d\n", waiting, w,
				cause_label(c), (int)workers[w].wait == c);
	}
}

/* ---- partitions ------------------------------------------------------------------------------ */

static int64_t partition_consuming(const struct partition_snapshot *p)
{
	return p->consuming;
}

static int64_t partition_stopped(const struct partition_snapshot *p)
{
	return p->stopped;
}

static int64_t partition_next(const struct partition_snapshot *p)
{
	return p->next_offset;
}

static int64_t partition_published(const struct partition_snapshot *p)
{
	return p->published_offset;
}

static int64_t partition_high(const struct partition_snapshot *p)
{
	return p->high;
}

/* The high watermark is the older of the two numbers: it can be overtaken. */
static int64_t partition_lag(const struct partition_snapshot *p)
{
	if (p->high < 0 || p->next_offset < 0)
		return -1;
	return p->high > p->next_offset ? p->high - p->next_offset : 0;
}

static int64_t partition_last_record(const struct partition_snapshot *p)
{
	return p->last_record_at_ms;
}

struct partition_gauge {
	const char *name, *help;
	int64_t (*get)(const struct partition_snapshot *p); /* below 0: not known, no sample */
	enum metric_unit unit;
};

static const struct partition_gauge partition_gauges[] = {
	{"ticketpayd_partition_consuming", "1 while the partition is claimed and served.",
		partition_consuming, UNIT_ONE},
	{"ticketpayd_partition_stopped", "1 while the partition waits for a person to act.",
		partition_stopped, UNIT_ONE},
	{"ticketpayd_next_offset", "The first offset not decided yet.", partition_next, UNIT_ONE},
	{"ticketpayd_published_offset", "The first offset whose outcome is not published yet.",
		partition_published, UNIT_ONE},
	{"ticketpayd_high_watermark", "The offset that the next record will get.", partition_high,
		UNIT_ONE},
	{"ticketpayd_lag", "Records not decided yet.", partition_lag, UNIT_ONE},
	{"ticketpayd_last_record_timestamp_seconds",
		"When the last decided record was written, by its own time stamp.",
		partition_last_record, UNIT_MILLISECONDS},
};

/*
 * Each partition once: while it moves from one worker to another both may name it, and a series
 * told twice makes the collector refuse the whole file.
 */
static size_t collect(
	const struct worker_snapshot *workers, size_t count, const struct partition_snapshot **ret)
{
	size_t n = 0;

	for (size_t w = 0; w < count; w++) {
		for (int32_t t = 0; t < workers[w].task_count; t++) {
			const struct partition_snapshot *p = &workers[w].tasks[t];
			size_t i = 0;

			while (i < n && ret[i]->partition != p->partition)
				i++;
			if (i == n)
				ret[n++] = p;
			else if (p->consuming && !ret[i]->consuming)
				ret[i] = p;
		}
	}
	return n;
}

static void print_gauge(FILE *out, const struct partition_gauge *g,
	const struct partition_snapshot *const *partitions, size_t count)
{
	bool headed = false;

	for (size_t i = 0; i < count; i++) {
		int64_t v = g->get(partitions[i]);

		if (v < 0)
			continue;
		if (!headed)
			head(out, g->name, "gauge", g->help);
		headed = true;
		fprintf(out, "%s{partition=\"%" PRId32 "\"} ", g->name, partitions[i]->partition);
		value(out, v, g->unit);
	}
}

/* ---- the file -------------------------------------------------------------------------------- */

/* false: no memory */
static bool print_all(FILE *out, const struct worker_snapshot *workers, size_t count)
{
	CLEANUP(free_ptr)
	const struct partition_snapshot **partitions =
		calloc(count * SNAPSHOT_PARTITIONS_MAX + 1, sizeof(*partitions));

	if (!partitions)
		return false;

	size_t n = collect(workers, count, partitions);

	print_counters(out, workers, count);
	print_workers(out, workers, count);
	for (size_t i = 0; i < sizeof(partition_gauges) / sizeof(partition_gauges[0]); i++)
		print_gauge(out, &partition_gauges[i], partitions, n);
	return true;
}

/* Into a file of our own making, whatever lay there before. errno on failure. */
static bool write_new(const char *path, const char *data, size_t length)
{
	if (unlink(path) && errno != ENOENT)
		return false;

	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return false;

	size_t done = 0;
	int e = 0;

	while (!e && done < length) {
		ssize_t n = write(fd, data + done, length - done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			e = n == 0 ? EIO : errno;
	}
	if (close(fd) && !e)
		e = errno;
	errno = e;
	return e == 0;
}

enum result metrics_file_write(
	const char *path, const struct worker_snapshot *workers, size_t count, struct error *err)
{
	CLEANUP(free_ptr) char *text = NULL;
	char temporary[PATH_MAX];
	size_t length = 0;
	int n = snprintf(temporary, sizeof(temporary), "%s.tmp", path);

	if (n < 0 || (size_t)n >= sizeof(temporary))
		return fail(err, RESULT_RETRY, ENAMETOOLONG, "metrics.textfile: path too long");

	FILE *out = open_memstream(&text, &length);
	bool printed = out && print_all(out, workers, count);

	if (out && fclose(out))
		printed = false;
	if (!printed)
		return fail(err, RESULT_RETRY, ENOMEM, "no memory for the metrics file");
	if (!write_new(temporary, text, length) || rename(temporary, path)) {
		int e = errno;

		(void)unlink(temporary);
		return fail(err, RESULT_RETRY, e, "cannot write the metrics file %s: %s", path,
			strerror(e));
	}
	return RESULT_OK;
}
