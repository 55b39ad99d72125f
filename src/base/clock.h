/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/* CLOCK_MONOTONIC in microseconds: every duration, deadline and lease. Never the wall clock. */
int64_t clock_monotonic_us(void);

/* CLOCK_REALTIME in milliseconds since 1970: only to compare with Kafka's timestamps. */
int64_t clock_realtime_ms(void);
