/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "kafka.h"
#include "load.h"

/*
 * Answers each event at once with an outcome of the usual size and no database behind it: what is
 * left of the latency is Kafka's and the load's own.
 */
static volatile sig_atomic_t stopping;

static void stop(int number)
{
	(void)number;
	stopping = 1;
}

static size_t answer(const rd_kafka_message_t *m, const char *topic, char *ret, size_t size)
{
	/* All of the event but its last brace. */
	int n = snprintf(ret, size,
		"%.*s,\"status\":\"CONFIRMED\",\"remaining\":999999999,\"duplicate\":false,"
		"\"decidedAt\":\"2026-01-01T00:00:00.000000Z\",\"topic\":\"%s\",\"partition\":%d,"
		"\"offset\":%lld}",
		(int)m->len - 1, (const char *)m->payload, topic, (int)m->partition,
		(long long)m->offset);

	return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

int load_echo(const struct workload *w)
{
	const struct options *o = w->options;
	struct sigaction action = {.sa_handler = stop};
	rd_kafka_t *consumer = kafka_consumer(o, "fetch.error.backoff.ms", "5", NULL);
	rd_kafka_t *producer = kafka_producer(o, "linger.ms", o->linger_ms, NULL);
	rd_kafka_topic_t *outcomes = rd_kafka_topic_new(producer, o->outcome_topic, NULL);
	int64_t answered = 0;

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	kafka_assign(consumer, o->topic, 0, 1, RD_KAFKA_OFFSET_END);
	printf("ready\n");
	fflush(stdout);
	while (!stopping) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(consumer, 100);
		char value[1024];

		rd_kafka_poll(producer, 0);
		if (!m)
			continue;

		struct bytes key = json_text((struct bytes){m->payload, m->len}, "orderId");
		size_t length = m->err || !key.data ? 0 : answer(m, o->topic, value, sizeof(value));

		if (length > 0 &&
			rd_kafka_produce(outcomes, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY,
				value, length, key.data, key.length, NULL) == 0)
			answered++;
		rd_kafka_message_destroy(m);
	}
	kafka_flush(producer);
	printf("{\"answered\":%lld}\n", (long long)answered);
	rd_kafka_topic_destroy(outcomes);
	rd_kafka_consumer_close(consumer);
	rd_kafka_destroy(consumer);
	rd_kafka_destroy(producer);
	return 0;
}
