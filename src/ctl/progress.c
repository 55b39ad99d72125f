/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/kafka.h"
#include "ctl/progress_rows.h"
#include "ctl/table.h"

/* A batch that holds a row ends within database.transaction_timeout_ms. */
enum { PROGRESS_BUDGET_MS = 20000 };

/* Partitions and the offsets they are to go on from. */
struct moves {
	struct position *at;
	size_t count;
};

static void moves_done(struct moves *m)
{
	free(m->at);
}

/* ---- show ------------------------------------------------------------------------------------ */

enum ctl_exit progress_show_run(const struct ctl *c)
{
	static const char *const headings[] = {
		">partition", ">next", ">published", "sought", "owner", "state", "reason"};
	CLEANUP(db_close_ptr) struct db *d = NULL;
	CLEANUP(progress_rows_free_ptr) struct progress_rows *rows = NULL;
	CLEANUP(table_free_ptr)
	struct table *t = table_new(headings, sizeof(headings) / sizeof(*headings));
	struct error err;
	enum ctl_exit code = db_start(c->config, DB_SNAPSHOT, PROGRESS_BUDGET_MS, &d);

	if (code != CTL_DONE)
		return code;

	enum result r = progress_rows_read(d, c->config, false, &rows, &err);

	if (r != RESULT_OK)
		return ctl_failed(r, &err);
	for (size_t i = 0; t && i < rows->count; i++) {
		const struct progress_row *p = &rows->at[i];

		table_number(t, p->partition);
		table_number(t, p->next);
		table_number(t, p->published);
		table_text(t, p->sought ? "yes" : "no");
		table_text(t, p->owner);
		table_text(t, p->state);
		table_text(t, p->reason);
	}
	return t && table_print(t) ? CTL_DONE : ctl_say(CTL_REFUSED, "no memory");
}

/* ---- what a move means ----------------------------------------------------------------------- */

static void print_effect(const struct position *move, const struct progress_row *row)
{
	printf("partition %" PRId32 ": ", move->partition);
	if (!row) {
		printf("a new row, next_offset %" PRId64 "; nothing below it will be decided\n",
			move->offset);
		return;
	}
	printf("next_offset %" PRId64 " -> %" PRId64 ", published_offset %" PRId64 " -> %" PRId64
	       "\n",
		row->next, move->offset, row->published, move->offset);
	if (move->offset > row->next)
		printf("    skips the records %" PRId64 " to %" PRId64 ": they are never decided\n",
			row->next, move->offset - 1);
	if (move->offset < row->next)
		printf("    replays the records %" PRId64 " to %" PRId64
		       ": what is booked stays as it "
		       "is, their outcomes are published again\n",
			move->offset, row->next - 1);

	int64_t lost_end = move->offset < row->next ? move->offset : row->next;

	if (row->published < lost_end)
		printf("    the outcomes of %" PRId64 " to %" PRId64 " may never be published\n",
			row->published, lost_end - 1);
}

static void print_effects(const struct moves *m, const struct progress_rows *rows)
{
	for (size_t i = 0; i < m->count; i++)
		print_effect(&m->at[i], progress_rows_find(rows, m->at[i].partition));
}

/* ---- moving ---------------------------------------------------------------------------------- */

/*
 * The new position: released, so that a worker that holds the partition is fenced and claims again;
 * `sought`, so that it does not go by Kafka's committed offset. last_record_at was of another
 * record than the new next_offset - 1.
 */
/*
 * sought_at tells `verify` which decisions are older than the seek. clock_timestamp(), read while
 * the row is locked: whatever was decided before has an earlier now(), and no batch that began
 * before can commit after.
 */
static const char move_sql[] =
	"INSERT INTO consumer_progress (consumer_group, topic, kafka_partition, next_offset,"
	"  published_offset, owner, claimed_by, unclean_claims, state, stopped_reason, sought,"
	"  sought_at, last_record_at, updated_at)"
	" VALUES ($1, $2, $3::int, $4::bigint, $4::bigint, NULL, 'ticketpayctl', 0, 'running', NULL,"
	"  true, clock_timestamp(), NULL, clock_timestamp())"
	" ON CONFLICT (consumer_group, topic, kafka_partition) DO UPDATE SET"
	"  next_offset = excluded.next_offset, published_offset = excluded.published_offset,"
	"  owner = NULL, unclean_claims = 0, state = 'running', stopped_reason = NULL,"
	"  sought = true, sought_at = clock_timestamp(), last_record_at = NULL,"
	"  updated_at = clock_timestamp()";

static enum result write_move(struct db *d, const struct config *config,
	const struct position *move, struct error *err)
{
	CLEANUP(PQclear_ptr) PGresult *moved = NULL;
	char partition[16], offset[24];
	const char *parameters[] = {config->kafka.group, config->kafka.topic, partition, offset};

	snprintf(partition, sizeof(partition), "%" PRId32, move->partition);
	snprintf(offset, sizeof(offset), "%" PRId64, move->offset);
	return db_query(d, move_sql, 4, parameters, &moved, err);
}

static enum result write_moves(
	struct db *d, const struct config *config, const struct moves *m, struct error *err)
{
	enum result r = RESULT_OK;

	for (size_t i = 0; i < m->count && r == RESULT_OK; i++)
		r = write_move(d, config, &m->at[i], err);
	return r == RESULT_OK ? db_commit(d, err) : r;
}

/* Show, ask, write, show what was really the case. */
static enum ctl_exit carry_out(const struct ctl *c, const struct moves *m)
{
	CLEANUP(db_close_ptr) struct db *d = NULL;
	CLEANUP(progress_rows_free_ptr) struct progress_rows *seen = NULL;
	CLEANUP(progress_rows_free_ptr) struct progress_rows *locked = NULL;
	struct error err;
	enum ctl_exit code = db_start(c->config, DB_SNAPSHOT, PROGRESS_BUDGET_MS, &d);

	if (code != CTL_DONE)
		return code;

	enum result r = progress_rows_read(d, c->config, false, &seen, &err);

	if (r != RESULT_OK)
		return ctl_failed(r, &err);
	db_rollback(d); /* nothing stays locked or open while a person thinks */
	if (!ctl_given(c, OPTION_YES)) {
		print_effects(m, seen);
		if (!ctl_confirmed(c, "do it?"))
			return ctl_say(CTL_REFUSED, "nothing was changed");
	}

	r = db_begin(d, DB_WRITE, PROGRESS_BUDGET_MS, &err);
	if (r == RESULT_OK)
		r = progress_rows_read(d, c->config, true, &locked, &err);
	if (r == RESULT_OK)
		r = write_moves(d, c->config, m, &err);
	if (r != RESULT_OK)
		return ctl_failed(r, &err);
	puts("done:");
	print_effects(m, locked);
	return CTL_DONE;
}

static enum ctl_exit ask_kafka(const struct ctl *c, struct kafka_partitions **ret)
{
	CLEANUP(kafka_close_ptr) struct kafka *k = NULL;
	struct error err;
	enum result r = kafka_open(c->config, &k, &err);

	if (r == RESULT_OK)
		r = kafka_read(k, ret, &err);
	return r == RESULT_OK ? CTL_DONE : ctl_failed(r, &err);
}

static enum ctl_exit check_in_log(const struct source_offsets *k, int64_t offset)
{
	if (k->low <= offset && offset <= k->high)
		return CTL_DONE;
	return ctl_say(CTL_REFUSED,
		"partition %" PRId32 ": offset %" PRId64 " is outside of its log, %" PRId64
		" to %" PRId64 " (progress seek takes one of these)",
		k->partition, offset, k->low, k->high);
}

/* ---- adopt ----------------------------------------------------------------------------------- */

/* partition: -1 for all that have a committed offset */
static enum ctl_exit collect_committed(
	const struct kafka_partitions *kafka, int32_t partition, struct moves *m)
{
	for (size_t i = 0; i < kafka->count; i++) {
		const struct source_offsets *k = &kafka->at[i];

		if (partition >= 0 && k->partition != partition)
			continue;
		if (k->committed < 0) {
			printf("partition %" PRId32
			       ": the group has no committed offset, left as it is\n",
				k->partition);
			continue;
		}

		enum ctl_exit code = check_in_log(k, k->committed);

		if (code != CTL_DONE)
			return code;
		m->at[m->count++] =
			(struct position){.partition = k->partition, .offset = k->committed};
	}
	return CTL_DONE;
}

enum ctl_exit progress_adopt_run(const struct ctl *c)
{
	CLEANUP(kafka_partitions_free_ptr) struct kafka_partitions *kafka = NULL;
	CLEANUP(moves_done) struct moves m = {0};
	int32_t partition;
	enum ctl_exit code = ctl_partition(c, &partition);

	if (code == CTL_DONE)
		code = ask_kafka(c, &kafka);
	if (code != CTL_DONE)
		return code;
	if (partition >= 0 && !kafka_find(kafka, partition))
		return ctl_say(CTL_REFUSED, "topic %s has no partition %" PRId32,
			c->config->kafka.topic, partition);

	m.at = calloc(kafka->count + 1, sizeof(*m.at));
	if (!m.at)
		return ctl_say(CTL_REFUSED, "no memory");
	code = collect_committed(kafka, partition, &m);
	if (code != CTL_DONE)
		return code;
	if (m.count == 0)
		return ctl_say(CTL_REFUSED, "group %s has no committed offset to adopt",
			c->config->kafka.group);
	return carry_out(c, &m);
}

/* ---- seek ------------------------------------------------------------------------------------ */

static enum ctl_exit seek_target(const struct ctl *c, const struct source_offsets *k, int64_t *ret)
{
	if (strcmp(c->to, "earliest") == 0) {
		*ret = k->low;
	} else if (strcmp(c->to, "latest") == 0) {
		*ret = k->high;
	} else if (strcmp(c->to, "committed") != 0) {
		(void)ctl_parse_int(c->to, 0, INT64_MAX, ret); /* checked before Kafka was asked */
	} else if (k->committed < 0) {
		return ctl_say(CTL_REFUSED,
			"partition %" PRId32 ": the group has no committed offset", k->partition);
	} else {
		*ret = k->committed;
	}
	return check_in_log(k, *ret);
}

static enum ctl_exit check_to(const struct ctl *c)
{
	int64_t offset;

	if (!c->partition || !c->to)
		return ctl_say(CTL_USAGE, "progress seek needs --partition P and --to "
					  "earliest|latest|committed|OFFSET");
	if (strcmp(c->to, "earliest") == 0 || strcmp(c->to, "latest") == 0 ||
		strcmp(c->to, "committed") == 0 || ctl_parse_int(c->to, 0, INT64_MAX, &offset))
		return CTL_DONE;
	return ctl_say(CTL_USAGE,
		"--to %s: earliest, latest, committed or a number from 0 on is needed", c->to);
}

enum ctl_exit progress_seek_run(const struct ctl *c)
{
	CLEANUP(kafka_partitions_free_ptr) struct kafka_partitions *kafka = NULL;
	struct position position = {0};
	int32_t partition;
	enum ctl_exit code = check_to(c);

	if (code == CTL_DONE)
		code = ctl_partition(c, &partition);
	if (code == CTL_DONE)
		code = ask_kafka(c, &kafka);
	if (code != CTL_DONE)
		return code;

	const struct source_offsets *k = kafka_find(kafka, partition);

	if (!k)
		return ctl_say(CTL_REFUSED, "topic %s has no partition %" PRId32,
			c->config->kafka.topic, partition);
	position.partition = partition;
	code = seek_target(c, k, &position.offset);
	if (code != CTL_DONE)
		return code;
	return carry_out(c, &(struct moves){.at = &position, .count = 1});
}
