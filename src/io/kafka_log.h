/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core/log.h"

/*
 * librdkafka's log lines on their way to a logger. A line that says the same again is dropped for
 * 10 s: an outage makes several a second, from several threads.
 *
 * thread: any
 */
struct kafka_log;

struct kafka_log *kafka_log_new(struct logger out); /* NULL: no memory */
void kafka_log_free(struct kafka_log *l);

/*
 * level:    syslog's, as librdkafka gives it
 * facility: "FAIL", "CONFWARN", ...: part of what makes a line the same
 * now_us:   clock_monotonic_us()
 */
void kafka_log_line(
	struct kafka_log *l, int level, const char *facility, const char *text, int64_t now_us);
