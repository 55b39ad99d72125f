/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The daemon's own work on an event, stage by stage, without Kafka or a database: for nanoseconds,
 * and for instruction counts (two counts of events, whose difference has no start-up in it).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "core/decide.h"
#include "core/outcome.h"
#include "core/payment_event.h"
#include "workload.h"

static const char usage[] =
	"Usage: stages decode|batch|decide|encode|none [OPTION VALUE]...\n"
	"  decode  JSON to struct\n"
	"  batch   decode, keep, sort by order id (batch_append, batch_slice)\n"
	"  decide  predict, classify, allocate a batch whose rows were all new\n"
	"  encode  the outcomes of a decided batch\n"
	"  none    only what makes the events\n";

enum { EVENT_BYTES = 65536 };

struct stage {
	const struct workload *w;
	struct batch *batch;
	struct arena *arena;
	struct stock_hints hints;
	struct {
		char json[WORKLOAD_JSON_MAX];
		size_t length;
	} * values; /* of one batch; decoded again and again */
	size_t length;
	size_t checked; /* something of each result, so that no stage can be left out */
};

static void decode(struct stage *s)
{
	arena_reset(s->arena);
	for (size_t i = 0; i < s->length; i++) {
		struct payment_event e;
		const char *detail;
		bool no_memory = false;

		if (payment_event_decode((struct bytes){s->values[i].json, s->values[i].length},
			    EVENT_BYTES, s->arena, &e, &detail, &no_memory) != REFUSAL_NONE)
			die("an event was refused: %s", detail);
		s->checked += e.order_id.length;
	}
}

static void collect(struct stage *s)
{
	struct error err;

	batch_clear(s->batch);
	for (size_t i = 0; i < s->length; i++) {
		struct raw_record raw = {
			.offset = (int64_t)i,
			.timestamp_ms = 1,
			.value = {s->values[i].json, s->values[i].length},
		};

		if (batch_append(s->batch, &raw, EVENT_BYTES, &err) != RESULT_OK)
			die("%s", err.text);
	}
	batch_slice(s->batch, 0, s->length);
	s->checked += s->batch->candidate_count;
}

static void decide(struct stage *s)
{
	decide_predict(s->batch, &s->hints);
	decide_classify(s->batch);
	batch_stock(s->batch);
	for (size_t i = 0; i < s->batch->stock_count; i++) {
		s->batch->stock[i].known = true;
		s->batch->stock[i].remaining = 1000000000;
	}
	s->batch->decided_at_us = INT64_C(1800000000123456);
	decide_allocate(s->batch, &s->hints);
	s->checked += (size_t)decide_tally(s->batch).fresh;
}

static void encode(struct stage *s)
{
	char value[OUTCOME_MAX_BYTES];

	for (size_t i = 0; i < s->batch->length; i++)
		s->checked +=
			outcome_encode(batch_record(s->batch, i), s->w->options->topic, 0, value);
}

static void nothing(struct stage *s)
{
	s->checked++;
}

static const struct {
	const char *name;
	void (*run)(struct stage *s);
} stages[] = {{"decode", decode}, {"batch", collect}, {"decide", decide}, {"encode", encode},
	{"none", nothing}};

static void prepare(struct stage *s, const struct workload *w)
{
	const struct options *o = w->options;

	*s = (struct stage){.w = w, .length = (size_t)o->batch};
	s->values = calloc(s->length, sizeof(*s->values));
	s->batch = batch_new(s->length);
	s->arena = arena_new();
	if (!s->values || !s->batch || !s->arena)
		die("no memory");
	s->batch->topic = o->topic;
	for (size_t i = 0; i < s->length; i++) {
		char room[WORKLOAD_ROOM];
		struct payment_event e;

		workload_event(w, (int64_t)i, room, &e);
		s->values[i].length = workload_json(&e, s->values[i].json);
	}
	/* Later stages work on what earlier ones left. */
	collect(s);
	decide(s);
}

int main(int argc, char **argv)
{
	struct options o;
	struct workload w;
	struct stage s;
	void (*run)(struct stage *) = NULL;

	if (!options_parse(argc, argv, usage, &o) || !workload_init(&w, &o))
		return 64;
	for (size_t i = 0; o.mode && i < sizeof(stages) / sizeof(stages[0]); i++)
		if (!strcmp(o.mode, stages[i].name))
			run = stages[i].run;
	if (!run) {
		fputs(usage, stderr);
		return 64;
	}
	json_object_seed(1); /* its hashes are else drawn by lot, and the counts with them */
	prepare(&s, &w);

	int64_t begin_us = clock_monotonic_us(), rounds = (o.events + o.batch - 1) / o.batch;

	for (int64_t i = 0; i < rounds; i++)
		run(&s);

	double seconds = (double)(clock_monotonic_us() - begin_us + 1) / 1e6; /* never 0 */
	double events = (double)(rounds * o.batch);

	printf("{\"events\":%.0f,\"seconds\":%.4f,\"rate\":%.0f,\"ns\":%.1f,\"checked\":%zu}\n",
		events, seconds, events / seconds, seconds * 1e9 / events, s.checked);
	batch_free(s.batch);
	arena_free(s.arena);
	free(s.values);
	workload_done(&w);
	return 0;
}
