/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "kafka.h"
#include "load.h"

struct filler {
	const struct workload *w;
	rd_kafka_t *producer;
	rd_kafka_topic_t *topic;
};

static struct bytes record_key(
	const struct options *o, const struct payment_event *e, char room[24])
{
	if (!strcmp(o->key, "order"))
		return e->order_id;
	if (!strcmp(o->key, "type"))
		return (struct bytes){
			room, (size_t)snprintf(room, 24, "%lld", (long long)e->ticket_type_id)};
	return (struct bytes){NULL, 0};
}

static void put(struct filler *f, int64_t i)
{
	const struct options *o = f->w->options;
	char room[WORKLOAD_ROOM], json[WORKLOAD_JSON_MAX], number[24];
	struct payment_event e;

	workload_event(f->w, i, room, &e);

	size_t length = workload_json(&e, json);
	struct bytes key = record_key(o, &e, number);
	int32_t partition =
		key.data ? RD_KAFKA_PARTITION_UA : (int32_t)((i - o->first) % o->partitions);

	while (rd_kafka_produce(f->topic, partition, RD_KAFKA_MSG_F_COPY, json, length, key.data,
		       key.length, NULL) != 0) {
		if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			die("cannot produce: %s", rd_kafka_err2str(rd_kafka_last_error()));
		rd_kafka_poll(f->producer, 100);
	}
	if (i % 1000 == 0)
		rd_kafka_poll(f->producer, 0);
}

int load_fill(const struct workload *w)
{
	const struct options *o = w->options;
	struct filler f = {.w = w,
		.producer = kafka_producer(o, "linger.ms", "20", "batch.size", "1000000",
			"batch.num.messages", "10000", "queue.buffering.max.messages", "200000",
			NULL)};
	int64_t begin_us = clock_monotonic_us(), fresh = 0;

	f.topic = rd_kafka_topic_new(f.producer, o->topic, NULL);
	for (int64_t i = o->first; i < o->first + o->events; i++) {
		fresh += workload_is_fresh(w, i);
		put(&f, i);
	}
	kafka_flush(f.producer);

	double seconds = (double)(clock_monotonic_us() - begin_us) / 1e6;

	printf("{\"events\":%lld,\"orders\":%lld,\"seconds\":%.3f,\"rate\":%.0f}\n",
		(long long)o->events, (long long)fresh, seconds, (double)o->events / seconds);
	rd_kafka_topic_destroy(f.topic);
	rd_kafka_destroy(f.producer);
	return 0;
}
