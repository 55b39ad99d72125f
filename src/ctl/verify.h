/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "ctl/kafka.h"
#include "ctl/progress_rows.h"

DEFINE_CLEANUP(json_t *, json_decref)

/* What `verify` found so far. */
struct report {
	json_t *checks; /* {"name","ok","checked","broken","rows"} each */
	bool json;      /* print nothing on the way */
	size_t broken;  /* checks that do not hold */
};

enum { REPORT_ROWS_MAX = 20 };

/*
 * Add a check and, without --json, print its line and the rows that break it.
 *
 * claim: what holds, in plain words
 * rows:  objects, at most REPORT_ROWS_MAX; taken over; NULL: none
 */
void report_check(struct report *r, const char *name, const char *claim, int64_t checked,
	int64_t broken, json_t *rows);

/*
 * The checks that need Kafka.
 *
 * before: what Kafka said before the snapshot; its watermarks are asked for again
 * rows:   of the snapshot, whose transaction has ended
 * d:      to look again at rows that a working daemon may have been about to write
 */
enum result verify_kafka(struct report *report, const struct config *config, struct kafka *k,
	const struct kafka_partitions *before, const struct progress_rows *rows, struct db *d,
	struct error *err) MUST_CHECK;
