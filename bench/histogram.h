/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>
#include <stdio.h>

/*
 * Latencies in microseconds, in buckets that are 1/1024 of their value wide (below 2 ms: exact), as
 * HdrHistogram does: http://hdrhistogram.org. Nothing is sampled away, the maximum is exact.
 */
enum { HISTOGRAM_STEPS = 1024, HISTOGRAM_BUCKETS = HISTOGRAM_STEPS * 32 };

struct histogram {
	int64_t count, maximum_us;
	double sum_us;
	int64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_record(struct histogram *h, int64_t us);

/* The highest value of the bucket below which `share` (0 to 1) of all values lie; 0 when empty. */
int64_t histogram_at(const struct histogram *h, double share);

/* Lines "milliseconds share count", ascending, for a plot. */
void histogram_print(const struct histogram *h, FILE *out);
