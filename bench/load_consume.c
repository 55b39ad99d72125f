/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "kafka.h"
#include "load.h"

/* As many consumers as the daemon has workers: the limit that reading Kafka itself sets. */
struct consumer {
	const struct options *o;
	int first;
	atomic_llong *left;
	int64_t begin_us, end_us, bytes; /* from the first fetch to the last record */
	pthread_t thread;
};

enum { CONSUMERS_MAX = 64, PORTION = 1000 };

static void *consume(void *argument)
{
	struct consumer *c = argument;
	/* The daemon's queue: librdkafka before 2.2 backs off for a second when it is full. */
	rd_kafka_t *rk = kafka_consumer(
		c->o, "queued.min.messages", "100000", "fetch.error.backoff.ms", "10", NULL);
	rd_kafka_message_t *portion[PORTION];

	kafka_assign(rk, c->o->topic, c->first, (int)c->o->consumers, RD_KAFKA_OFFSET_BEGINNING);

	c->begin_us = clock_monotonic_us();

	rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
	int64_t deadline_us = c->begin_us + c->o->timeout_ms * 1000;

	while (atomic_load(c->left) > 0 && clock_monotonic_us() < deadline_us) {
		ssize_t n = rd_kafka_consume_batch_queue(queue, 100, portion, PORTION);
		long long records = 0;

		for (ssize_t i = 0; i < n; i++) {
			records += !portion[i]->err;
			c->bytes += (int64_t)portion[i]->len;
			rd_kafka_message_destroy(portion[i]);
		}
		if (records > 0) {
			c->end_us = clock_monotonic_us();
			atomic_fetch_sub(c->left, records);
		}
	}
	rd_kafka_queue_destroy(queue);
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	return NULL;
}

int load_consume(const struct workload *w)
{
	const struct options *o = w->options;
	atomic_llong left = o->events;
	struct consumer c[CONSUMERS_MAX] = {0};
	int64_t begin_us = INT64_MAX, end_us = 0, bytes = 0;

	for (int i = 0; i < o->consumers; i++) {
		c[i] = (struct consumer){.o = o, .first = i, .left = &left};
		if (pthread_create(&c[i].thread, NULL, consume, &c[i]))
			die("no thread");
	}
	for (int i = 0; i < o->consumers; i++) {
		pthread_join(c[i].thread, NULL);
		if (c[i].begin_us < begin_us)
			begin_us = c[i].begin_us;
		if (c[i].end_us > end_us)
			end_us = c[i].end_us;
		bytes += c[i].bytes;
	}
	if (atomic_load(&left) > 0)
		die("%lld events did not come", (long long)atomic_load(&left));

	double seconds = (double)(end_us - begin_us) / 1e6;

	printf("{\"events\":%lld,\"seconds\":%.3f,\"rate\":%.0f,\"bytes_per_event\":%.0f}\n",
		(long long)o->events, seconds, (double)o->events / seconds,
		(double)bytes / (double)o->events);
	return 0;
}
