/* SPDX-License-Identifier: Apache-2.0 */
#include "io/kafka_sink.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <librdkafka/rdkafka.h>

#include "base/clock.h"
#include "io/kafka_client.h"

DEFINE_CLEANUP(rd_kafka_conf_t *, rd_kafka_conf_destroy)

_Static_assert(sizeof(void *) >= sizeof(uint64_t), "a mark travels as a message's opaque pointer");

enum {
	CLOSE_MS = 3000,
	AT_ONCE = 256, /* outcomes in a call of the library */
};
#define REFUSED_EVERY_US INT64_C(10000000)

struct kafka_sink {
	struct kafka_client *client;
	struct rd_kafka_topic_s *topic;
	struct rd_kafka_conf_s *conf; /* for the next producer */
	char *topic_name;
	struct logger log;

	bool broken; /* a fatal error: its marks are being told undelivered */
	char broken_text[200];
	int64_t refused_us; /* when a refused outcome was last logged */

	/* Of the serve() that runs. */
	sink_delivered_fn *delivered;
	void *context;
};

static void warn(const struct kafka_sink *s, const char *text)
{
	struct log_entry e = log_entry(LOG_LEVEL_WARNING, LOG_EVENT_NONE, text);

	e.topic = s->topic_name;
	if (s->log.ops)
		s->log.ops->write(s->log.self, &e);
}

static void log_refused(struct kafka_sink *s, rd_kafka_resp_err_t e)
{
	int64_t now_us = clock_monotonic_us();
	char text[200];

	if (s->broken || (s->refused_us && now_us - s->refused_us < REFUSED_EVERY_US))
		return;
	s->refused_us = now_us;
	snprintf(text, sizeof(text),
		"Kafka did not take an outcome, it will be published again: %s",
		rd_kafka_err2str(e));
	warn(s, text);
}

/* Runs inside rd_kafka_poll() only. */
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct kafka_sink *s = ((struct kafka_client *)opaque)->owner;

	(void)rk;
	if (!s)
		return;
	if (m->err)
		log_refused(s, m->err);
	if (s->delivered)
		s->delivered(s->context, (uint64_t)(uintptr_t)m->_private, !m->err);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
	struct kafka_sink *s = ((struct kafka_client *)opaque)->owner;

	(void)reason; /* connection troubles are in the log, and the source says them in STATUS */
	if (s && code == RD_KAFKA_RESP_ERR__FATAL) {
		s->broken = true;
		(void)rd_kafka_fatal_error(rk, s->broken_text, sizeof(s->broken_text));
	}
}

/* ---- a producer's life ----------------------------------------------------------------------- */

static enum result open_producer(struct kafka_sink *s, struct error *err)
{
	enum result r = kafka_client_new(
		rd_kafka_conf_dup(s->conf), KAFKA_ROLE_PRODUCER, s->log, s, &s->client, err);

	if (r != RESULT_OK)
		return r;
	s->topic = rd_kafka_topic_new(s->client->rk, s->topic_name, NULL);
	if (!s->topic)
		return fail(err, RESULT_FATAL, (int)rd_kafka_last_error(), "topic \"%s\": %s",
			s->topic_name, rd_kafka_err2str(rd_kafka_last_error()));
	return RESULT_OK;
}

static void close_producer(struct kafka_sink *s, int64_t deadline_us)
{
	if (s->topic)
		rd_kafka_topic_destroy(TAKE(s->topic));
	if (s->client)
		kafka_client_close(TAKE(s->client), deadline_us);
}

/* Make what is queued or on its way fail now, so that it is told. */
static void purge(struct kafka_sink *s)
{
	(void)rd_kafka_purge(s->client->rk,
		RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
}

/* After a fatal error: tell what is left, then begin anew. Each call bounded by wait_ms. */
static enum result replace_producer(struct kafka_sink *s, int64_t wait_ms, struct error *err)
{
	if (s->client) {
		purge(s);
		rd_kafka_poll(s->client->rk, (int)wait_ms);
		if (rd_kafka_outq_len(s->client->rk) > 0)
			return RESULT_OK; /* not all is told yet */
		close_producer(s, clock_monotonic_us() + CLOSE_MS * INT64_C(1000));
	}

	struct error why = {0};

	if (open_producer(s, &why) != RESULT_OK) { /* tried again by the next call */
		close_producer(s, clock_monotonic_us());
		return fail(
			err, RESULT_RETRY, why.code, "cannot make a new producer: %s", why.text);
	}
	s->broken = false;
	return fail(err, RESULT_RETRY, 0, "the producer had to be made anew: %s", s->broken_text);
}

/* ---- the operations -------------------------------------------------------------------------- */

static enum result refused(const struct kafka_sink *s, rd_kafka_resp_err_t e, struct error *err)
{
	switch ((int)e) {
	case RD_KAFKA_RESP_ERR__QUEUE_FULL:
		return fail(err, RESULT_BUSY, e, "the producer's queue is full");
	case RD_KAFKA_RESP_ERR__FATAL:
		return fail(
			err, RESULT_BUSY, e, "the producer is being made anew"); /* by serve() */
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
		return fail(err, RESULT_RETRY, e, "topic \"%s\" does not exist", s->topic_name);
	default:
		return fail(
			err, RESULT_FATAL, e, "cannot publish an outcome: %s", rd_kafka_err2str(e));
	}
}

/* One call of the library for many: that saves a lock and two clocks each. */
static enum result sink_publish(void *self, const struct sink_message *m, size_t count,
	uint64_t mark, struct sink_taken *ret, struct error *err)
{
	struct kafka_sink *s = self;
	rd_kafka_message_t messages[AT_ONCE];
	rd_kafka_resp_err_t why = RD_KAFKA_RESP_ERR_NO_ERROR;

	*ret = (struct sink_taken){0};
	if (s->broken)
		return fail(err, RESULT_BUSY, 0, "the producer is being made anew");
	while (!why && ret->next < count) {
		size_t first = ret->next, n = count - first < AT_ONCE ? count - first : AT_ONCE;

		for (size_t i = 0; i < n; i++)
			messages[i] = (rd_kafka_message_t){
				.payload = (void *)(uintptr_t)m[first + i].value.data,
				.len = m[first + i].value.length,
				.key = (void *)(uintptr_t)m[first + i].key.data,
				.key_len = m[first + i].key.length,
				._private = (void *)(uintptr_t)mark,
			};
		ret->count += (size_t)rd_kafka_produce_batch(
			s->topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, messages, (int)n);
		while (ret->next < first + n && !messages[ret->next - first].err)
			ret->next++;
		if (ret->next < first + n)
			why = messages[ret->next - first].err;
	}
	return why ? refused(s, why, err) : RESULT_OK;
}

static enum result sink_serve(
	void *self, int64_t wait_ms, sink_delivered_fn *delivered, void *context, struct error *err)
{
	struct kafka_sink *s = self;
	enum result r = RESULT_OK;

	s->delivered = delivered;
	s->context = context;
	if (!s->broken && wait_ms > 0)
		(void)rd_kafka_flush(
			s->client->rk, (int)wait_ms); /* what it says comes by itself */
	else if (!s->broken)
		rd_kafka_poll(s->client->rk, 0);
	if (s->broken)
		r = replace_producer(s, wait_ms, err);
	s->delivered = NULL;
	s->context = NULL;
	return r;
}

static void sink_close(void *self)
{
	struct kafka_sink *s = self;

	if (!s->client)
		return;
	purge(s);
	close_producer(s, clock_monotonic_us() + CLOSE_MS * INT64_C(1000));
}

const struct sink_ops kafka_sink_ops = {
	.publish = sink_publish,
	.serve = sink_serve,
	.close = sink_close,
};

void kafka_sink_break(struct kafka_sink *s)
{
	(void)rd_kafka_test_fatal_error(
		s->client->rk, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "pretended");
}

enum result kafka_sink_open(
	const struct kafka_settings *settings, struct kafka_sink **ret, struct error *err)
{
	CLEANUP(kafka_sink_free_ptr) struct kafka_sink *s = calloc(1, sizeof(*s));

	if (s)
		s->topic_name = strdup(settings->outcome_topic);
	if (!s || !s->topic_name)
		return fail(err, RESULT_FATAL, ENOMEM, "no memory for the Kafka producer");
	s->log = settings->log;

	enum result r = kafka_conf_new(settings, KAFKA_ROLE_PRODUCER, &s->conf, err);

	if (r != RESULT_OK)
		return r;
	rd_kafka_conf_set_dr_msg_cb(s->conf, on_delivery);
	rd_kafka_conf_set_error_cb(s->conf, on_error);

	r = open_producer(s, err);
	if (r != RESULT_OK)
		return r;

	*ret = TAKE(s);
	return RESULT_OK;
}

void kafka_sink_free(struct kafka_sink *s)
{
	if (!s)
		return;
	sink_close(s);
	if (s->conf)
		rd_kafka_conf_destroy(s->conf);
	free(s->topic_name);
	free(s);
}
