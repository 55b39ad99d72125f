/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/cleanup.h"
#include "io/kafka_conf.h"

/*
 * One librdkafka handle: made from a configuration, its log lines brought to ours, destroyed within
 * a bound. For the adapters of this directory only.
 */
struct rd_kafka_s;

struct kafka_client {
	struct rd_kafka_s *rk;
	void *owner; /* for callbacks; NULL once the owner has let go */
	struct kafka_log *log;
};

/*
 * conf:  taken, also on failure; log callback and opaque (the client) are set here
 * fails: FATAL with librdkafka's text (a CA file that is not there, ...)
 */
enum result kafka_client_new(struct rd_kafka_conf_s *conf, enum kafka_role role, struct logger log,
	void *owner, struct kafka_client **ret, struct error *err) MUST_CHECK;

/*
 * Keep librdkafka's words on a broken connection, without its counters at the end, "(after 3ms in
 * state CONNECT, 12 identical error(s) suppressed)", which would make every line a new one.
 */
void kafka_client_trouble(struct error *ret, int code, const char *text);

/*
 * Let go of the handle: returns when it is destroyed, or at the deadline. rd_kafka_destroy() has no
 * bound of its own (one message or queue kept by somebody makes it wait for ever), so it runs in a
 * thread that is left behind when the time is up; the memory is then leaked on purpose.
 *
 * The logger must outlive a thread left behind: a program that leaks a client ends with _exit().
 *
 * deadline_us: clock_monotonic_us()
 */
void kafka_client_close(struct kafka_client *c, int64_t deadline_us);

/* For cleanup: kafka_client_close() with 2 seconds. */
void kafka_client_free(struct kafka_client *c);
DEFINE_CLEANUP(struct kafka_client *, kafka_client_free)
