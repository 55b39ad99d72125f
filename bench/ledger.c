/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The ledger stage alone: the daemon's own adapter and decisions on batches that are there already,
 * a thread and a connection for each partition, without Kafka and Redis.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/decide.h"
#include "io/pg_ledger.h"
#include "shares.h"
#include "workload.h"

static const char usage[] = "Usage: ledger --conninfo TEXT --events N [OPTION VALUE]...\n"
			    "  book N events in transactions of --batch over --connections\n";

struct share {
	const struct workload *w;
	int32_t partition;
	struct pg_ledger *ledger;
	struct stock_hints hints;
	struct batch **batches;
	size_t count;
};

static void expect(enum result r, const struct error *err)
{
	if (r != RESULT_OK)
		die("%s: %s", result_name(r), err->text);
}

/* ---- before the clock starts ----------------------------------------------------------------- */

static struct batch *make_batch(const struct share *s, int64_t first, int64_t count)
{
	const struct options *o = s->w->options;
	struct batch *b = batch_new((size_t)count);
	struct error err;

	if (!b)
		die("no memory");
	b->topic = o->topic;
	b->partition = s->partition;
	b->expected = first;
	for (int64_t i = 0; i < count; i++) {
		char room[WORKLOAD_ROOM], json[WORKLOAD_JSON_MAX];
		struct payment_event e;

		workload_event(
			s->w, o->first + (first + i) * o->connections + s->partition, room, &e);

		struct raw_record raw = {
			.partition = s->partition,
			.offset = first + i,
			.timestamp_ms = -1,
			.value = {json, workload_json(&e, json)},
		};

		expect(batch_append(b, &raw, sizeof(json), &err), &err);
	}
	batch_slice(b, 0, (size_t)count);
	return b;
}

static void make_batches(struct share *s)
{
	const struct options *o = s->w->options;
	int64_t total = (o->events - s->partition + o->connections - 1) / o->connections;

	s->batches = calloc((size_t)(total / o->batch + 1), sizeof(struct batch *));
	if (!s->batches)
		die("no memory");
	for (int64_t at = 0; at < total; at += o->batch)
		s->batches[s->count++] =
			make_batch(s, at, total - at < o->batch ? total - at : o->batch);
}

static void open_ledger(struct share *s)
{
	const struct options *o = s->w->options;
	struct pg_ledger_config config = {
		.conninfo = o->conninfo,
		.passfile = "",
		.prepare = true,
		.transaction_timeout_ms = 60000,
		.connect_timeout_ms = 5000,
		.topic = o->topic,
		.group = o->group,
		.claimed_by = "bench",
	};
	struct position start = {.partition = s->partition, .offset = 0};
	struct progress progress;
	struct error err;

	expect(pg_ledger_open(&config, &s->ledger, &err), &err);
	expect(pg_ledger_ops.check(s->ledger, &err), &err);
	expect(pg_ledger_ops.create(s->ledger, &start, 1, &err), &err);
	expect(pg_ledger_ops.claim(s->ledger, s->partition, &progress, &err), &err);
	if (!progress.exists || progress.next_offset != 0)
		die("the table is not empty");
	for (size_t i = 0; i < s->count; i++)
		memcpy(s->batches[i]->owner, progress.owner, sizeof(progress.owner));
}

/* ---- measured -------------------------------------------------------------------------------- */

/* BUSY is "call again". */
static void call(
	struct share *s, enum result (*op)(void *, struct batch *, struct error *), struct batch *b)
{
	struct error err;
	enum result r;

	while ((r = op(s->ledger, b, &err)) == RESULT_BUSY)
		(void)!usleep(200);
	expect(r, &err);
}

static void book(struct share *s, struct batch *b)
{
	decide_predict(b, &s->hints);
	call(s, pg_ledger_ops.begin, b);
	decide_classify(b);
	batch_stock(b);
	call(s, pg_ledger_ops.lock_stock, b);
	decide_allocate(b, &s->hints);
	call(s, pg_ledger_ops.write, b);
	call(s, pg_ledger_ops.commit, b);
}

static void work(void *argument)
{
	struct share *s = argument;

	for (size_t i = 0; i < s->count; i++)
		book(s, s->batches[i]);
}

static void open_share(void *share, const struct workload *w, int number)
{
	struct share *s = share;

	s->w = w;
	s->partition = number;
	make_batches(s);
	open_ledger(s);
}

static void close_share(void *share)
{
	struct share *s = share;

	for (size_t i = 0; i < s->count; i++)
		batch_free(s->batches[i]);
	free(s->batches);
	pg_ledger_free(s->ledger);
}

int main(int argc, char **argv)
{
	static const struct share_kind ledger = {.size = sizeof(struct share),
		.open = open_share,
		.work = work,
		.close = close_share};

	return shares_main(argc, argv, usage, &ledger);
}
