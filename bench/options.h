/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What the programs of bench/ are told; each uses what concerns it. */
struct options {
	const char *mode; /* the first word */

	/* The events: see workload.h. */
	int64_t events, first, partitions, types, seed;
	double skew, duplicates;
	const char *ids, *key;

	/* Kafka. */
	const char *brokers, *topic, *outcome_topic;
	int64_t consumers;

	/* Loads with answers. */
	int64_t vus, seconds, pause_ms, rate, timeout_ms;
	const char *linger_ms; /* of the producer */
	const char *histogram; /* file for the latency distribution; NULL: none */

	/* PostgreSQL. */
	const char *conninfo, *group;
	int64_t batch, connections;

	bool quiet; /* no progress on standard error */
};

/* false: said what is wrong. `usage`: the program's own lines; what follows is every option. */
bool options_parse(int argc, char **argv, const char *usage, struct options *ret);

/* End the program: there is nothing to measure any more. */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
