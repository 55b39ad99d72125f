/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/verify.h"

#include "base/clock.h"
#include "base/waker.h"

/* A working daemon writes published_offset when it has been idle for 1 s, or with its next batch.
 */
enum { SETTLE_MS = 6000, SETTLE_STEP_MS = 200, READ_BUDGET_MS = 5000 };

/* The offending rows of one check. */
struct found {
	json_t *rows;
	int64_t count;
};

static void found_add(struct found *f, json_t *row)
{
	if (!f->rows)
		f->rows = json_array();
	f->count++;
	if (json_array_size(f->rows) < REPORT_ROWS_MAX)
		(void)json_array_append_new(f->rows, row);
	else
		json_decref(row);
}

static void check_rows_exist(struct report *report, const struct kafka_partitions *kafka,
	const struct progress_rows *rows)
{
	struct found f = {0};

	for (size_t i = 0; i < kafka->count; i++) {
		const struct source_offsets *k = &kafka->at[i];

		if (!progress_rows_find(rows, k->partition))
			found_add(&f, json_pack("{s:i, s:I}", "kafka_partition", k->partition,
					      "committed", (json_int_t)k->committed));
	}
	report_check(report, "kafka_partition_has_progress",
		"every partition of the topic has a progress row of the group",
		(int64_t)kafka->count, f.count, f.rows);
}

static void check_within_log(struct report *report, const struct kafka_partitions *kafka,
	const struct progress_rows *rows)
{
	struct found f = {0};

	for (size_t i = 0; i < rows->count; i++) {
		const struct progress_row *p = &rows->at[i];
		const struct source_offsets *k = kafka_find(kafka, p->partition);

		if (k && k->low <= p->next && p->next <= k->high)
			continue;
		found_add(&f, json_pack("{s:i, s:I, s:I, s:I}", "kafka_partition", p->partition,
				      "next_offset", (json_int_t)p->next, "low",
				      (json_int_t)(k ? k->low : -1), "high",
				      (json_int_t)(k ? k->high : -1)));
	}
	report_check(report, "kafka_next_in_log",
		"every next_offset is within its partition's log (low <= next_offset <= high)",
		(int64_t)rows->count, f.count, f.rows);
}

/* A seek is told to Kafka by the worker that claims the partition; until then only the row counts.
 */
static bool committed_above(const struct source_offsets *k, const struct progress_rows *rows)
{
	const struct progress_row *p = progress_rows_find(rows, k->partition);

	return p && !p->sought && k->committed > p->published;
}

static bool any_committed_above(
	const struct kafka_partitions *kafka, const struct progress_rows *rows)
{
	for (size_t i = 0; i < kafka->count; i++) {
		if (committed_above(&kafka->at[i], rows))
			return true;
	}
	return false;
}

/*
 * Outcomes are delivered, then Kafka is told, then the row, with the next batch: for a moment Kafka
 * is ahead. Look at the rows again until they have caught up with what Kafka said before.
 */
static enum result settle(const struct config *config, struct db *d,
	const struct kafka_partitions *before, struct progress_rows **ret, struct error *err)
{
	int64_t deadline_us = clock_monotonic_us() + SETTLE_MS * 1000;

	for (;;) {
		CLEANUP(progress_rows_free_ptr) struct progress_rows *rows = NULL;
		enum result r = db_begin(d, DB_SNAPSHOT, READ_BUDGET_MS, err);

		if (r == RESULT_OK)
			r = progress_rows_read(d, config, false, &rows, err);
		if (r != RESULT_OK)
			return r;
		db_rollback(d);

		int64_t now_us = clock_monotonic_us();

		if (!any_committed_above(before, rows) || now_us >= deadline_us ||
			waker_wait(NULL, -1, 0, now_us + SETTLE_STEP_MS * 1000) != WAIT_TIMEOUT) {
			*ret = TAKE(rows);
			return RESULT_OK;
		}
	}
}

static void check_committed(struct report *report, const struct kafka_partitions *before,
	const struct progress_rows *rows)
{
	struct found f = {0};

	for (size_t i = 0; i < before->count; i++) {
		const struct source_offsets *k = &before->at[i];

		if (committed_above(k, rows))
			found_add(&f,
				json_pack("{s:i, s:I, s:I}", "kafka_partition", k->partition,
					"committed", (json_int_t)k->committed, "published_offset",
					(json_int_t)progress_rows_find(rows, k->partition)
						->published));
	}
	report_check(report, "kafka_committed_not_above_published",
		"Kafka's committed offset <= published_offset in every partition",
		(int64_t)before->count, f.count, f.rows);
}

enum result verify_kafka(struct report *report, const struct config *config, struct kafka *k,
	const struct kafka_partitions *before, const struct progress_rows *rows, struct db *d,
	struct error *err)
{
	CLEANUP(kafka_partitions_free_ptr) struct kafka_partitions *after = NULL;
	CLEANUP(progress_rows_free_ptr) struct progress_rows *settled = NULL;

	/* Again: by now the log reaches as far as the rows of the snapshot. */
	enum result r = kafka_read(k, &after, err);

	if (r != RESULT_OK)
		return r;
	check_rows_exist(report, after, rows);
	check_within_log(report, after, rows);

	r = settle(config, d, before, &settled, err);
	if (r == RESULT_OK)
		check_committed(report, before, settled);
	return r;
}
