/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/kafka.h"

#include <stdlib.h>

#include <librdkafka/rdkafka.h>

#include "base/clock.h"
#include "io/kafka_admin.h"
#include "io/kafka_query.h"

/* Each question is bounded by itself; with many partitions this ends them all. */
enum { KAFKA_TOTAL_MS = 15000 };

struct kafka {
	struct kafka_settings settings;
	struct kafka_admin *admin;
	int64_t deadline_us;
};

/* What librdkafka says besides: the errors of our calls tell enough. */
static void say_nothing(void *self, const struct log_entry *e)
{
	(void)self;
	(void)e;
}

static const struct log_ops quiet = {.write = say_nothing};

void kafka_partitions_free(struct kafka_partitions *p)
{
	if (!p)
		return;
	free(p->at);
	free(p);
}

enum result kafka_open(const struct config *config, struct kafka **ret, struct error *err)
{
	CLEANUP(kafka_close_ptr) struct kafka *k = calloc(1, sizeof(*k));

	if (!k)
		return fail(err, RESULT_FATAL, 0, "no memory for a Kafka client");
	k->settings = (struct kafka_settings){
		.brokers = config->kafka.brokers,
		.topic = config->kafka.topic,
		.group = config->kafka.group,
		.outcome_topic = config->kafka.outcome_topic,
		.instance = "",
		.properties = config->kafka.properties,
		.properties_file = config->kafka.properties_file,
		.log = {.ops = &quiet},
	};

	enum result r = kafka_admin_open(&k->settings, &k->admin, err);

	if (r == RESULT_OK)
		*ret = TAKE(k);
	return r;
}

void kafka_close(struct kafka *k)
{
	if (!k)
		return;
	kafka_admin_free(k->admin);
	free(k);
}

static enum result check_time(const struct kafka *k, struct error *err)
{
	if (clock_monotonic_us() < k->deadline_us)
		return RESULT_OK;
	return fail(err, RESULT_RETRY, 0, "Kafka answers too slowly");
}

enum result kafka_read(struct kafka *k, struct kafka_partitions **ret, struct error *err)
{
	CLEANUP(kafka_partitions_free_ptr) struct kafka_partitions *p = calloc(1, sizeof(*p));
	const char *topic = k->settings.topic;
	int32_t count;

	if (!p)
		return fail(err, RESULT_FATAL, 0, "no memory");
	k->deadline_us = clock_monotonic_us() + KAFKA_TOTAL_MS * 1000;

	enum result r = kafka_admin_partitions(k->admin, topic, &count, err);

	if (r != RESULT_OK)
		return r;
	p->at = calloc((size_t)count + 1, sizeof(*p->at));
	if (!p->at)
		return fail(err, RESULT_FATAL, 0, "no memory");
	for (int32_t i = 0; i < count && r == RESULT_OK; i++) {
		r = check_time(k, err);
		if (r == RESULT_OK)
			r = kafka_admin_offsets(k->admin, topic, i, &p->at[p->count++], err);
	}
	if (r == RESULT_OK)
		*ret = TAKE(p);
	return r;
}

enum result kafka_timestamp_at(
	struct kafka *k, int32_t partition, int64_t offset, int64_t *ret_ms, struct error *err)
{
	const struct position at = {.partition = partition, .offset = offset};
	rd_kafka_conf_t *conf = NULL;
	enum result r = check_time(k, err);

	if (r == RESULT_OK)
		r = kafka_conf_new(&k->settings, KAFKA_ROLE_READER, &conf, err);
	if (r != RESULT_OK)
		return r;
	r = kafka_query_timestamp(
		conf, k->settings.log, k->settings.topic, &at, KAFKA_QUERY_MS, ret_ms, err);
	rd_kafka_conf_destroy(conf);
	return r;
}

const struct source_offsets *kafka_find(const struct kafka_partitions *p, int32_t partition)
{
	if (!p || partition < 0 || (size_t)partition >= p->count)
		return NULL;
	return &p->at[partition];
}
