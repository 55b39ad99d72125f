/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>

#include "histogram.h"
#include "kafka.h"
#include "workload.h"

/* What both loops share: an event at a time out, answers in, latencies recorded. */
struct answers {
	const struct workload *w;
	rd_kafka_t *producer, *consumer;
	rd_kafka_topic_t *topic;
	struct histogram latency;
	int64_t base; /* number of the first event that counts */
	_Atomic int64_t produced;
	int64_t answered, confirmed;
	int64_t repeated;         /* outcomes that came again, or of other loads */
	int64_t begin_us, end_us; /* of the load, the wait for the last answers included */
	int64_t next_progress_us;
};

/* Connect, and have some events of each partition answered: those that come first wait for
 * connections and do not count. */
void answers_open(struct answers *a, const struct workload *w);

/* Produce event i now. thread: one at a time */
void answers_produce(struct answers *a, int64_t i);

/* Wait for an answer for at most wait_ms; the number of the event it is of, or -1.
 * confirmed: has the order got its ticket? */
int64_t answers_wait(struct answers *a, int wait_ms, bool *confirmed);

/* An event was answered at now_us, the first time; it was due, or sent, at since_us. */
void answers_count(struct answers *a, int64_t since_us, int64_t now_us, bool confirmed);

/* Print the result as a line of JSON, write the distribution, close. `failed` got no answer. */
void answers_close(struct answers *a, int64_t failed);

/* One line on standard error about once a second, unless --quiet. */
void answers_progress(struct answers *a, int64_t now_us);
