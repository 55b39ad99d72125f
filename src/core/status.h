/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

#include "core/snapshot.h"

/* What the one line of `systemctl status` is made from. */
struct status_input {
	const struct worker_snapshot *workers;
	size_t worker_count;
	bool ready, stopping;
	int64_t now_us;          /* monotonic */
	int64_t now_ms;          /* since 1970, to compare with Kafka's timestamps */
	double per_second;       /* records decided, over the last seconds */
};

enum { STATUS_MAX_BYTES = 1024 };

/*
 * One line that a person can act on, the worst first:
 *     partition 1 stopped: ...; consuming 2/3 partitions, ...
 *     waiting for PostgreSQL since 12 s: connection refused
 *     consuming 3/3 partitions, lag 1204 (0.4 s), 18.2k/s, batch 1000 in 4.1 ms, 3 dead letters
 */
void status_format(const struct status_input *in, char ret[STATUS_MAX_BYTES]);

enum { STATUS_TOTALS_BYTES = 200 };

/* What workers have decided since their start, each record in exactly one of the numbers. */
void status_totals(
	const struct worker_snapshot *workers, size_t count, char ret[STATUS_TOTALS_BYTES]);
