/* SPDX-License-Identifier: Apache-2.0 */
#include "histogram.h"

/* Values below 2 * STEPS have a bucket each; then STEPS buckets for each power of two. */
static int index_of(int64_t us)
{
	int shift = us < 2 * HISTOGRAM_STEPS ? 0
					     : 63 - __builtin_clzll((unsigned long long)us) -
						       __builtin_ctz(HISTOGRAM_STEPS);
	int64_t at = (int64_t)shift * HISTOGRAM_STEPS + (us >> shift);

	return at < HISTOGRAM_BUCKETS ? (int)at : HISTOGRAM_BUCKETS - 1;
}

static int64_t highest_of(int index)
{
	int shift = index < 2 * HISTOGRAM_STEPS ? 0 : index / HISTOGRAM_STEPS - 1;

	return ((int64_t)(index - shift * HISTOGRAM_STEPS + 1) << shift) - 1;
}

void histogram_record(struct histogram *h, int64_t us)
{
	us = us < 0 ? 0 : us;
	h->count++;
	h->sum_us += (double)us;
	h->maximum_us = us > h->maximum_us ? us : h->maximum_us;
	h->bucket[index_of(us)]++;
}

int64_t histogram_at(const struct histogram *h, double share)
{
	int64_t wanted = (int64_t)(share * (double)h->count + 0.999999), seen = 0;

	for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen >= wanted && seen > 0) {
			int64_t us = highest_of(i);

			return us < h->maximum_us ? us : h->maximum_us;
		}
	}
	return 0;
}

void histogram_print(const struct histogram *h, FILE *out)
{
	int64_t seen = 0;

	for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (!h->bucket[i])
			continue;
		seen += h->bucket[i];
		fprintf(out, "%.3f %.6f %lld\n", (double)highest_of(i) / 1000,
			(double)seen / (double)h->count, (long long)h->bucket[i]);
	}
}
