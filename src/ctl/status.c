/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <jansson.h>

#include "base/clock.h"
#include "ctl/kafka.h"
#include "ctl/progress_rows.h"
#include "ctl/table.h"

DEFINE_CLEANUP(json_t *, json_decref)

enum { STATUS_BUDGET_MS = 10000 };

/* What is shown of one partition; -1 and NULL: not known. */
struct partition_status {
	int32_t partition;
	int64_t low, high, committed, next, published, lag;
	double lag_seconds;
	const char *owner, *state, *reason;
};

/* Everything `status` has found out. */
struct status {
	const struct config *config;
	struct progress_rows *rows;
	struct kafka_partitions *kafka; /* NULL: not reached */
	PGresult *letters, *stock;
	struct partition_status *partitions;
	size_t count;
};

static void status_done(struct status *s)
{
	progress_rows_free(s->rows);
	kafka_partitions_free(s->kafka);
	PQclear(s->letters);
	PQclear(s->stock);
	free(s->partitions);
}

/* ---- finding out ----------------------------------------------------------------------------- */

static enum ctl_exit read_tables(struct status *s)
{
	CLEANUP(db_close_ptr) struct db *d = NULL;
	struct error err;
	enum ctl_exit code = db_start(s->config, DB_SNAPSHOT, STATUS_BUDGET_MS, &d);

	if (code != CTL_DONE)
		return code;

	enum result r = progress_rows_read(d, s->config, false, &s->rows, &err);

	if (r == RESULT_OK)
		r = db_query(d, "SELECT count(*) FROM dead_letter WHERE state = 'parked'", 0, NULL,
			&s->letters, &err);
	if (r == RESULT_OK)
		r = db_query(d, "SELECT id, name, total, remaining FROM ticket_type ORDER BY id", 0,
			NULL, &s->stock, &err);
	return r == RESULT_OK ? CTL_DONE : ctl_failed(r, &err);
}

/* The row's own words, or why there is none. */
static void set_state(struct partition_status *p, const struct progress_row *row)
{
	if (row) {
		p->state = row->state;
		p->reason = row->reason;
	} else if (p->committed >= 0) {
		p->state = "stopped";
		p->reason = "no progress row, but the group has a committed offset: a new or wrong "
			    "database? if it is right: ticketpayctl progress adopt (skips what was "
			    "committed) or progress seek --to earliest (books all of it)";
	} else {
		p->reason = "not claimed yet";
	}
}

/*
 * What is still to be decided, and how long its oldest record has been waiting (the timestamp is
 * Kafka's). The marker behind a producer's last transaction is no record: nothing waits then.
 */
static void read_lag(struct partition_status *p, struct kafka *k)
{
	int64_t timestamp_ms;

	p->lag = p->high > p->next ? p->high - p->next : 0;
	p->lag_seconds = p->lag == 0 ? 0 : -1;
	if (p->lag == 0 || p->next < p->low ||
		kafka_timestamp_at(k, p->partition, p->next, &timestamp_ms, NULL) != RESULT_OK)
		return;
	if (timestamp_ms == TIMESTAMP_END) {
		p->lag = 0;
		p->lag_seconds = 0;
	} else if (timestamp_ms >= 0) {
		int64_t age_ms = clock_realtime_ms() - timestamp_ms;

		p->lag_seconds = age_ms > 0 ? (double)age_ms / 1000 : 0;
	}
}

static struct partition_status describe(const struct status *s, int32_t partition, struct kafka *k)
{
	const struct progress_row *row = progress_rows_find(s->rows, partition);
	const struct source_offsets *offsets = kafka_find(s->kafka, partition);
	struct partition_status p = {
		.partition = partition,
		.low = offsets ? offsets->low : -1,
		.high = offsets ? offsets->high : -1,
		.committed = offsets ? offsets->committed : -1,
		.next = row ? row->next : -1,
		.published = row ? row->published : -1,
		.lag = -1,
		.lag_seconds = -1,
		.owner = row ? row->owner : NULL,
	};

	set_state(&p, row);
	if (offsets && row)
		read_lag(&p, k);
	return p;
}

/* Partitions of the topic, then those that only have a row. */
static bool list_partitions(struct status *s, struct kafka *k)
{
	size_t topic = s->kafka ? s->kafka->count : 0;

	s->partitions = calloc(topic + s->rows->count + 1, sizeof(*s->partitions));
	if (!s->partitions)
		return false;
	for (size_t i = 0; i < topic; i++)
		s->partitions[s->count++] = describe(s, s->kafka->at[i].partition, k);
	for (size_t i = 0; i < s->rows->count; i++) {
		if (!kafka_find(s->kafka, s->rows->at[i].partition))
			s->partitions[s->count++] = describe(s, s->rows->at[i].partition, k);
	}
	return true;
}

/* ---- showing --------------------------------------------------------------------------------- */

static json_t *number_or_null(int64_t n)
{
	return n < 0 ? json_null() : json_integer(n);
}

static json_t *partition_json(const struct status *s, const struct partition_status *p)
{
	return json_pack("{s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s?, s:s?, s:s?}", "topic",
		s->config->kafka.topic, "partition", p->partition, "low", number_or_null(p->low),
		"high", number_or_null(p->high), "committed", number_or_null(p->committed),
		"next_offset", number_or_null(p->next), "published_offset",
		number_or_null(p->published), "lag", number_or_null(p->lag), "lag_seconds",
		p->lag_seconds < 0 ? json_null() : json_real(p->lag_seconds), "owner", p->owner,
		"state", p->state, "reason", p->reason);
}

static json_t *stock_json(const PGresult *r)
{
	json_t *stock = json_array();

	for (int i = 0; i < PQntuples(r); i++)
		(void)json_array_append_new(
			stock, json_pack("{s:I, s:s, s:I, s:I}", "id",
				       (json_int_t)db_int(r, i, 0, 0), "name", PQgetvalue(r, i, 1),
				       "total", (json_int_t)db_int(r, i, 2, 0), "remaining",
				       (json_int_t)db_int(r, i, 3, 0)));
	return stock;
}

static bool print_json(const struct status *s)
{
	json_t *partitions = json_array();

	for (size_t i = 0; i < s->count; i++)
		(void)json_array_append_new(partitions, partition_json(s, &s->partitions[i]));

	CLEANUP(json_decref_ptr)
	json_t *all = json_pack("{s:o, s:{s:I}, s:o}", "partitions", partitions, "dead_letters",
		"parked", (json_int_t)db_int(s->letters, 0, 0, 0), "stock", stock_json(s->stock));

	if (!all || json_dumpf(all, stdout, JSON_INDENT(1)) != 0)
		return false;
	putchar('\n');
	return true;
}

static bool print_partitions(const struct status *s)
{
	static const char *const headings[] = {"topic", ">partition", ">low", ">high", ">committed",
		">next", ">published", ">lag", ">lag s", "owner", "state", "reason"};
	CLEANUP(table_free_ptr)
	struct table *t = table_new(headings, sizeof(headings) / sizeof(*headings));

	for (size_t i = 0; t && i < s->count; i++) {
		const struct partition_status *p = &s->partitions[i];
		char seconds[32];

		snprintf(seconds, sizeof(seconds), "%.1f", p->lag_seconds);
		table_text(t, s->config->kafka.topic);
		table_number(t, p->partition);
		table_number(t, p->low);
		table_number(t, p->high);
		table_number(t, p->committed);
		table_number(t, p->next);
		table_number(t, p->published);
		table_number(t, p->lag);
		table_text(t, p->lag_seconds < 0 ? NULL : seconds);
		table_text(t, p->owner);
		table_text(t, p->state);
		table_text(t, p->reason);
	}
	return t && table_print(t);
}

static bool print_stock(const PGresult *r)
{
	static const char *const headings[] = {">ticket type", "name", ">total", ">remaining"};
	CLEANUP(table_free_ptr)
	struct table *t = table_new(headings, sizeof(headings) / sizeof(*headings));

	for (int i = 0; t && i < PQntuples(r); i++) {
		for (int column = 0; column < 4; column++)
			table_text(t, PQgetvalue(r, i, column));
	}
	return t && table_print(t);
}

static bool print_human(const struct status *s)
{
	if (!print_partitions(s))
		return false;

	const char *letters = PQgetvalue(s->letters, 0, 0);

	printf("\n%s parked dead letters%s\n\n", letters,
		strcmp(letters, "0") == 0 ? ""
					  : ": SELECT * FROM dead_letter WHERE state = 'parked'");
	return print_stock(s->stock);
}

enum ctl_exit status_run(const struct ctl *c)
{
	CLEANUP(status_done) struct status s = {.config = c->config};
	CLEANUP(kafka_close_ptr) struct kafka *k = NULL;
	struct error err;
	enum ctl_exit code = read_tables(&s);

	if (code != CTL_DONE)
		return code;

	enum result asked = kafka_open(c->config, &k, &err);

	if (asked == RESULT_OK)
		asked = kafka_read(k, &s.kafka, &err);
	if (!list_partitions(&s, k))
		return ctl_say(CTL_REFUSED, "no memory");
	if (!(ctl_given(c, OPTION_JSON) ? print_json(&s) : print_human(&s)))
		return ctl_say(CTL_REFUSED, "no memory");
	return asked == RESULT_OK ? CTL_DONE : ctl_failed(asked, &err);
}
