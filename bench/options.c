/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { NUMBER, SHARE, TEXT, FLAG };

static const struct option {
	const char *name, *help;
	enum kind kind;
	size_t at;
	double minimum, maximum;
} table[] = {
#define AT(field) offsetof(struct options, field)
	{"events", "how many", NUMBER, AT(events), 1, 1e9},
	{"first", "number of the first: other numbers are other orders", NUMBER, AT(first), 0,
		1e14},
	{"partitions", "of the topic, or shares of the rows", NUMBER, AT(partitions), 1, 1000},
	{"types", "ticket types, ids 1 to N", NUMBER, AT(types), 1, 1e6},
	{"seed", "the same seed makes the same events", NUMBER, AT(seed), 0, 1e15},
	{"skew", "Zipf's exponent over the ticket types; 0: all alike", SHARE, AT(skew), 0, 10},
	{"duplicates", "share of events that repeat an earlier one", SHARE, AT(duplicates), 0, 0.9},
	{"ids", "order ids: random, or time (ascending)", TEXT, AT(ids), 0, 0},
	{"key", "record key: none (partitions in turn), order or type", TEXT, AT(key), 0, 0},
	{"brokers", "host:port", TEXT, AT(brokers), 0, 0},
	{"topic", "of the events", TEXT, AT(topic), 0, 0},
	{"outcome-topic", "of the answers", TEXT, AT(outcome_topic), 0, 0},
	{"consumers", "threads that consume", NUMBER, AT(consumers), 1, 64},
	{"vus", "virtual users of the closed loop", NUMBER, AT(vus), 1, 100000},
	{"seconds", "how long new events are produced", NUMBER, AT(seconds), 1, 3600},
	{"pause-ms", "of a virtual user after its answer", NUMBER, AT(pause_ms), 0, 1e6},
	{"rate", "events a second of the open loop", NUMBER, AT(rate), 1, 1e6},
	{"timeout-ms", "an event without an answer has failed", NUMBER, AT(timeout_ms), 1, 1e6},
	{"linger-ms", "of the producer (0)", TEXT, AT(linger_ms), 0, 0},
	{"histogram", "file for the latency distribution", TEXT, AT(histogram), 0, 0},
	{"conninfo", "of PostgreSQL", TEXT, AT(conninfo), 0, 0},
	{"group", "consumer group of the progress rows", TEXT, AT(group), 0, 0},
	{"batch", "rows a transaction", NUMBER, AT(batch), 1, 1e6},
	{"connections", "to PostgreSQL, a thread each", NUMBER, AT(connections), 1, 64},
	{"quiet", "no progress on standard error", FLAG, AT(quiet), 0, 0},
#undef AT
};
enum { OPTION_COUNT = sizeof(table) / sizeof(table[0]) };

static const struct options defaults = {
	.events = 100000,
	.partitions = 3,
	.types = 1,
	.seed = 1,
	.ids = "random",
	.key = "none",
	.brokers = "127.0.0.1:9092",
	.topic = "payment-completed",
	.outcome_topic = "payment-outcome",
	.consumers = 3,
	.vus = 100,
	.seconds = 15,
	.pause_ms = 1000,
	.rate = 100,
	.timeout_ms = 30000,
	.linger_ms = "0",
	.conninfo = "dbname=tickets",
	.group = "ticketpayd",
	.batch = 5000,
	.connections = 3,
};

static bool complain(const char *usage, const char *what, const char *name)
{
	fprintf(stderr, "%s: %s\n%s", name, what, usage);
	for (size_t i = 0; i < OPTION_COUNT; i++)
		fprintf(stderr, "  --%-14s %s\n", table[i].name, table[i].help);
	return false;
}

static bool set(struct options *o, const struct option *option, const char *text)
{
	char *field = (char *)o + option->at, *end = NULL;
	double value = 0;

	switch (option->kind) {
	case TEXT:
		*(const char **)field = text;
		return true;
	case FLAG:
		*(bool *)field = true;
		return true;
	case NUMBER:
		value = (double)(*(int64_t *)field = strtoll(text, &end, 10));
		break;
	case SHARE:
		value = *(double *)field = strtod(text, &end);
		break;
	}
	return end != text && !*end && value >= option->minimum && value <= option->maximum;
}

bool options_parse(int argc, char **argv, const char *usage, struct options *ret)
{
	*ret = defaults;
	for (int i = 1; i < argc; i++) {
		const struct option *found = NULL;

		if (strncmp(argv[i], "--", 2) != 0) {
			if (ret->mode)
				return complain(usage, "one word too many", argv[i]);
			ret->mode = argv[i];
			continue;
		}
		for (size_t k = 0; k < OPTION_COUNT; k++)
			if (!strcmp(argv[i] + 2, table[k].name))
				found = &table[k];
		if (!found)
			return complain(usage, "no such option", argv[i]);
		if (found->kind != FLAG && ++i == argc)
			return complain(usage, "needs a value", argv[i - 1]);
		if (!set(ret, found, argv[i]))
			return complain(usage, "no value for it", argv[i]);
	}
	return true;
}

void die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}
