/* SPDX-License-Identifier: Apache-2.0 */
#include "core/deliveries.h"

#include <assert.h>

void deliveries_restart(struct deliveries *d, int64_t delivered_to)
{
	d->first += d->count; /* earlier sequence numbers are never given again */
	d->count = 0;
	d->delivered_to = delivered_to;
	d->failed = false;
}

bool deliveries_full(const struct deliveries *d)
{
	return d->count == DELIVERIES_MAX;
}

static size_t newest(const struct deliveries *d)
{
	assert(d->count > 0);
	return (d->first + d->count - 1) % DELIVERIES_MAX;
}

static void advance(struct deliveries *d)
{
	while (d->count > 0) {
		size_t i = d->first % DELIVERIES_MAX;

		if (d->failed || !d->ring[i].closed || d->ring[i].outstanding > 0)
			return;
		d->delivered_to = d->ring[i].end;
		d->first++;
		d->count--;
	}
}

uint32_t deliveries_begin(struct deliveries *d, int64_t end)
{
	assert(!deliveries_full(d));
	d->count++;

	size_t i = newest(d);

	d->ring[i].end = end;
	d->ring[i].outstanding = 0;
	d->ring[i].closed = false;
	return d->first + d->count - 1;
}

void deliveries_add(struct deliveries *d, size_t count)
{
	d->ring[newest(d)].outstanding += (int64_t)count;
}

void deliveries_close(struct deliveries *d)
{
	d->ring[newest(d)].closed = true;
	advance(d);
}

void deliveries_told(struct deliveries *d, uint32_t sequence, bool delivered)
{
	if (sequence - d->first >= d->count)
		return; /* of a slice that was given up */

	d->ring[sequence % DELIVERIES_MAX].outstanding--;
	if (!delivered)
		d->failed = true;
	advance(d);
}

bool deliveries_outstanding(const struct deliveries *d)
{
	for (uint32_t i = 0; i < d->count; i++) {
		if (d->ring[(d->first + i) % DELIVERIES_MAX].outstanding > 0)
			return true;
	}
	return false;
}
