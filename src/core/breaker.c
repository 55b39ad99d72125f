/* SPDX-License-Identifier: Apache-2.0 */
#include "core/breaker.h"

#include <string.h>

void breaker_reset(struct breaker *b)
{
	memset(b, 0, sizeof(*b));
	b->first_bad_ms = b->last_bad_ms = -1;
}

void breaker_count(struct breaker *b, bool bad, int64_t timestamp_ms)
{
	bool *slot = &b->bad[b->seen % BREAKER_WINDOW];

	if (bad) {
		if (b->bad_count == 0)
			b->first_bad_ms = timestamp_ms;
		b->last_bad_ms = timestamp_ms;
	}
	b->bad_count += bad - *slot;
	*slot = bad;
	b->seen++;
}

bool breaker_tripped(const struct breaker *b, int64_t limit)
{
	return limit > 0 && b->bad_count > limit;
}
