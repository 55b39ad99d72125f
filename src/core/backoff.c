/* SPDX-License-Identifier: Apache-2.0 */
#include "core/backoff.h"

enum { FIRST_US = 50000 };

int64_t backoff_us(int attempt, uint64_t random)
{
	int64_t us = FIRST_US;

	while (attempt-- > 1 && us < BACKOFF_MAX_US)
		us *= 2;
	if (us > BACKOFF_MAX_US)
		us = BACKOFF_MAX_US;
	return us / 2 + (int64_t)(random % (uint64_t)(us / 2 + 1));
}
