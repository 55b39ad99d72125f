/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Counts how many of the last records were bad (refused, conflicting, of unknown ticket type), so
 * that a wrong producer or a wrong database does not use up the topic.
 */
enum { BREAKER_WINDOW = 1000 };

struct breaker {
	bool bad[BREAKER_WINDOW];
	int64_t seen;     /* records counted in all; the newest is at (seen - 1) % BREAKER_WINDOW */
	int32_t bad_count;
	int64_t first_bad_ms, last_bad_ms; /* timestamps of the bad ones since it was last clean */
};

void breaker_reset(struct breaker *b);
void breaker_count(struct breaker *b, bool bad, int64_t timestamp_ms);
/* limit: limits.breaker; 0: never */
bool breaker_tripped(const struct breaker *b, int64_t limit);
