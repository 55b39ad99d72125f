/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/* The longest pause between two attempts. */
#define BACKOFF_MAX_US INT64_C(2000000)

/*
 * How long to wait before the next attempt: 50 ms doubled each time up to two seconds, of which a
 * random half is taken away, so that workers do not come back all at once.
 *
 * attempt: how many have failed in a row, from 1
 * random:  any 64 random bits
 */
int64_t backoff_us(int attempt, uint64_t random);
