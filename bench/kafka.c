/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka.h"

#include <stdarg.h>

#include "base/clock.h"

enum { ANSWER_MS = 10000 };

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char text[256];

	if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK)
		die("%s", text);
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	(void)rk;
	(void)opaque;
	if (m->err)
		die("an event was not delivered: %s", rd_kafka_err2str(m->err));
}

static rd_kafka_t *client(
	rd_kafka_type_t type, rd_kafka_conf_t *conf, const struct options *o, va_list ap)
{
	char text[256];
	const char *name;

	set(conf, "bootstrap.servers", o->brokers);
	set(conf, "socket.nagle.disable", "true");
	set(conf, "allow.auto.create.topics", "false");
	set(conf, "log_level", "3");
	while ((name = va_arg(ap, const char *)))
		set(conf, name, va_arg(ap, const char *));

	rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof(text));

	if (!rk)
		die("%s", text);
	return rk;
}

rd_kafka_t *kafka_producer(const struct options *o, ...)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	va_list ap;

	set(conf, "enable.idempotence", "true");
	set(conf, "partitioner", "murmur2_random");
	rd_kafka_conf_set_dr_msg_cb(conf, delivered);
	va_start(ap, o);

	rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, conf, o, ap);

	va_end(ap);
	return rk;
}

rd_kafka_t *kafka_consumer(const struct options *o, ...)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	va_list ap;

	set(conf, "group.id", "bench");
	set(conf, "enable.auto.commit", "false");
	set(conf, "enable.auto.offset.store", "false");
	va_start(ap, o);

	rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, conf, o, ap);

	va_end(ap);
	rd_kafka_poll_set_consumer(rk);
	return rk;
}

static int count_partitions(rd_kafka_t *rk, const char *topic)
{
	const struct rd_kafka_metadata *m = NULL;
	rd_kafka_topic_t *t = rd_kafka_topic_new(rk, topic, NULL);
	rd_kafka_resp_err_t e = rd_kafka_metadata(rk, 0, t, &m, ANSWER_MS);

	if (e || m->topic_cnt != 1 || m->topics[0].err)
		die("topic %s: %s", topic, rd_kafka_err2str(e ? e : m->topics[0].err));

	int n = m->topics[0].partition_cnt;

	rd_kafka_metadata_destroy(m);
	rd_kafka_topic_destroy(t);
	return n;
}

static void query(rd_kafka_t *rk, const char *topic, int partition, int64_t *low, int64_t *high)
{
	int64_t deadline_us = clock_monotonic_us() + ANSWER_MS * 1000;
	rd_kafka_resp_err_t e;

	/* A topic just made has no leader for a moment. */
	while ((e = rd_kafka_query_watermark_offsets(rk, topic, partition, low, high, ANSWER_MS))) {
		if (clock_monotonic_us() > deadline_us)
			die("topic %s: %s", topic, rd_kafka_err2str(e));
		rd_kafka_poll(rk, 20);
	}
}

int kafka_assign(rd_kafka_t *rk, const char *topic, int first, int step, int64_t begin)
{
	int n = count_partitions(rk, topic);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(n);

	for (int p = first; p < n; p += step) {
		int64_t low, high;

		query(rk, topic, p, &low, &high);
		rd_kafka_topic_partition_list_add(list, topic, p)->offset =
			begin == RD_KAFKA_OFFSET_END ? high : low;
	}

	rd_kafka_resp_err_t e = rd_kafka_assign(rk, list);

	if (e)
		die("topic %s: %s", topic, rd_kafka_err2str(e));
	rd_kafka_topic_partition_list_destroy(list);
	return n;
}

void kafka_flush(rd_kafka_t *rk)
{
	rd_kafka_resp_err_t e = rd_kafka_flush(rk, 60000);

	if (e)
		die("not everything was delivered: %s", rd_kafka_err2str(e));
}
