/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Up to where a partition's outcomes are delivered: published_offset. Slices are published in order
 * and delivered in any order; only an unbroken run from the front counts.
 */
enum { DELIVERIES_MAX = 256 };

struct deliveries {
	struct {
		int64_t end;         /* the slice's next offset */
		int64_t outstanding; /* handed over, not told yet */
		bool closed;         /* all of the slice is handed over */
	} ring[DELIVERIES_MAX];
	uint32_t first;              /* sequence number of the oldest entry */
	uint32_t count;
	int64_t delivered_to;        /* everything below is delivered */
	bool failed;                 /* one was not delivered: publish again from delivered_to */
};

/* Forget everything; what is told of earlier slices is ignored from now on. */
void deliveries_restart(struct deliveries *d, int64_t delivered_to);
bool deliveries_full(const struct deliveries *d);
/* Begin a slice; returns its sequence number, for deliveries_told(). Not when full. */
uint32_t deliveries_begin(struct deliveries *d, int64_t end);
/* So many outcomes of the newest slice were handed over. */
void deliveries_add(struct deliveries *d, size_t count);
/* The newest slice is complete. */
void deliveries_close(struct deliveries *d);
/* The sink tells of one outcome. */
void deliveries_told(struct deliveries *d, uint32_t sequence, bool delivered);
/* Is anything handed over and not told yet? */
bool deliveries_outstanding(const struct deliveries *d);
