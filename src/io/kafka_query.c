/* SPDX-License-Identifier: Apache-2.0 */
#include "io/kafka_query.h"

#include <inttypes.h>

#include <librdkafka/rdkafka.h>

#include "base/clock.h"

DEFINE_CLEANUP(rd_kafka_topic_partition_list_t *, rd_kafka_topic_partition_list_destroy)
DEFINE_CLEANUP(rd_kafka_message_t *, rd_kafka_message_destroy)
DEFINE_CLEANUP(rd_kafka_topic_t *, rd_kafka_topic_destroy)
DEFINE_CLEANUP(const struct rd_kafka_metadata *, rd_kafka_metadata_destroy)

enum result kafka_query_partitions(
	struct kafka_client *c, const char *topic, int timeout_ms, int32_t *ret, struct error *err)
{
	CLEANUP(rd_kafka_topic_destroy_ptr)
	rd_kafka_topic_t *handle = rd_kafka_topic_new(c->rk, topic, NULL);

	if (!handle)
		return fail(err, RESULT_FATAL, (int)rd_kafka_last_error(), "topic \"%s\": %s",
			topic, rd_kafka_err2str(rd_kafka_last_error()));

	CLEANUP(rd_kafka_metadata_destroy_ptr) const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_resp_err_t e = rd_kafka_metadata(c->rk, 0, handle, &metadata, timeout_ms);

	if (e)
		return fail(
			err, RESULT_RETRY, e, "no Kafka broker answers: %s", rd_kafka_err2str(e));
	if (metadata->topic_cnt != 1)
		return fail(err, RESULT_RETRY, 0, "Kafka does not say whether topic \"%s\" exists",
			topic);

	e = metadata->topics[0].err;
	if (e == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
		(!e && metadata->topics[0].partition_cnt == 0))
		return fail(err, RESULT_REJECT, e, "there is no topic \"%s\"", topic);
	if (e == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
		return fail(err, RESULT_FATAL, e,
			"Kafka does not let our user see topic \"%s\": an ACL is missing", topic);
	if (e)
		return fail(err, RESULT_RETRY, e, "topic \"%s\": %s", topic, rd_kafka_err2str(e));

	*ret = metadata->topics[0].partition_cnt;
	return RESULT_OK;
}

/*
 * One watermark. Not rd_kafka_query_watermark_offsets(): in 2.0.2 and 2.3 to 2.11 it may wait far
 * beyond its timeout (librdkafka #4460, #5201). A time of -2 asks for the first offset, -1 for the
 * end, as the protocol's ListOffsets has it; with isolation.level=read_committed the end is the
 * last stable offset, which is as far as anybody can read.
 */
static enum result query_end(struct kafka_client *c, const char *topic, int32_t partition,
	int64_t time, int timeout_ms, int64_t *ret, struct error *err)
{
	CLEANUP(rd_kafka_topic_partition_list_destroy_ptr)
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(list, topic, partition)->offset = time;

	rd_kafka_resp_err_t e = rd_kafka_offsets_for_times(c->rk, list, timeout_ms);

	if (!e)
		e = list->elems[0].err;
	if (e)
		return fail(err, RESULT_RETRY, e,
			"cannot read the offsets of partition %" PRId32 ": %s", partition,
			rd_kafka_err2str(e));
	if (list->elems[0].offset < 0)
		return fail(err, RESULT_RETRY, 0, "Kafka gave no offset for partition %" PRId32,
			partition);
	*ret = list->elems[0].offset;
	return RESULT_OK;
}

static enum result query_committed(struct kafka_client *c, const char *topic, int32_t partition,
	int timeout_ms, int64_t *ret, struct error *err)
{
	CLEANUP(rd_kafka_topic_partition_list_destroy_ptr)
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(list, topic, partition);

	rd_kafka_resp_err_t e = rd_kafka_committed(c->rk, list, timeout_ms);

	if (!e)
		e = list->elems[0].err;
	if (e)
		return fail(err, RESULT_RETRY, e,
			"cannot read the group's offset of partition %" PRId32 ": %s", partition,
			rd_kafka_err2str(e));

	int64_t offset = list->elems[0].offset;

	if (offset < 0 && offset != RD_KAFKA_OFFSET_INVALID)
		return fail(err, RESULT_RETRY, 0,
			"Kafka gave no usable group offset for partition %" PRId32, partition);
	*ret = offset == RD_KAFKA_OFFSET_INVALID ? -1 : offset;
	return RESULT_OK;
}

enum result kafka_query_offsets(struct kafka_client *c, const char *topic, int32_t partition,
	int timeout_ms, struct source_offsets *ret, struct error *err)
{
	struct source_offsets o = {.partition = partition};
	enum result r = query_committed(c, topic, partition, timeout_ms, &o.committed, err);

	/* The end last: whatever was committed before is then not above it. */
	if (r == RESULT_OK)
		r = query_end(
			c, topic, partition, RD_KAFKA_OFFSET_BEGINNING, timeout_ms, &o.low, err);
	if (r == RESULT_OK)
		r = query_end(c, topic, partition, RD_KAFKA_OFFSET_END, timeout_ms, &o.high, err);
	if (r == RESULT_OK)
		*ret = o;
	return r;
}

/* Poll until the record, or what tells that there is none; false when the time is up. */
static bool read_timestamp(rd_kafka_t *rk, int64_t offset, int64_t deadline_us, int64_t *ret_ms,
	rd_kafka_resp_err_t *ret_why)
{
	for (;;) {
		int64_t left_us = deadline_us - clock_monotonic_us();

		if (left_us <= 0)
			return false;

		CLEANUP(rd_kafka_message_destroy_ptr)
		rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, (int)(left_us / 1000) + 1);

		if (!m)
			continue;
		if (m->err && m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF &&
			m->err != RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
			*ret_why = m->err; /* perhaps it heals in time */
			continue;
		}

		rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
		int64_t timestamp_ms = m->err ? -1 : rd_kafka_message_timestamp(m, &type);

		if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			*ret_ms = TIMESTAMP_END;
		else if (m->err || m->offset != offset || type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE)
			*ret_ms = TIMESTAMP_NONE;
		else
			*ret_ms = timestamp_ms;
		return true;
	}
}

enum result kafka_query_timestamp(const struct rd_kafka_conf_s *conf, struct logger log,
	const char *topic, const struct position *at, int timeout_ms, int64_t *ret_ms,
	struct error *err)
{
	int64_t deadline_us = clock_monotonic_us() + timeout_ms * INT64_C(1000);
	CLEANUP(kafka_client_free_ptr) struct kafka_client *c = NULL;
	enum result r =
		kafka_client_new(rd_kafka_conf_dup(conf), KAFKA_ROLE_READER, log, NULL, &c, err);

	if (r != RESULT_OK)
		return r;

	CLEANUP(rd_kafka_topic_partition_list_destroy_ptr)
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(list, topic, at->partition)->offset = at->offset;

	rd_kafka_resp_err_t why = rd_kafka_assign(c->rk, list);

	if (why)
		return fail(err, RESULT_RETRY, why, "cannot read partition %" PRId32 ": %s",
			at->partition, rd_kafka_err2str(why));

	why = RD_KAFKA_RESP_ERR__TIMED_OUT;
	if (!read_timestamp(c->rk, at->offset, deadline_us, ret_ms, &why))
		return fail(err, RESULT_RETRY, why,
			"cannot read the record at offset %" PRId64 " of partition %" PRId32 ": %s",
			at->offset, at->partition, rd_kafka_err2str(why));
	return RESULT_OK;
}
