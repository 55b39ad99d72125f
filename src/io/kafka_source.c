/* SPDX-License-Identifier: Apache-2.0 */
#include "io/kafka_source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <librdkafka/rdkafka.h>

#include "base/clock.h"
#include "io/kafka_member.h"
#include "io/kafka_query.h"

DEFINE_CLEANUP(rd_kafka_topic_partition_list_t *, rd_kafka_topic_partition_list_destroy)

enum {
	COMMIT_WAIT_MS = 3000,
	PROBE_MS = 200,
	CLOSE_MS = 5000,
};
#define PROBE_EVERY_US INT64_C(1000000)

static bool woken(const struct kafka_source *s)
{
	return s->waker && waker_wait(s->waker, -1, 0, 0) == WAIT_WOKEN;
}

/* ---- joining --------------------------------------------------------------------------------- */

static enum result source_check(void *self, int32_t *ret_partition_count, struct error *err)
{
	if (woken(self))
		return fail(err, RESULT_RETRY, 0, "stopping");
	return member_check(self, ret_partition_count, err);
}

static enum result source_subscribe(void *self, struct error *err)
{
	return member_subscribe(self, err);
}

/* ---- polling --------------------------------------------------------------------------------- */

/* A record or an error. Many at once when nobody waits: that saves a lock and a clock each. */
static rd_kafka_message_t *next_message(struct kafka_source *s, int64_t wait_ms)
{
	rd_kafka_message_t *m = kafka_stash_next(&s->stash);

	if (m)
		return m;
	if (wait_ms > 0) {
		s->waits = true;
		m = rd_kafka_consumer_poll(s->rk, (int)wait_ms);
		s->waits = false;
		return m;
	}
	kafka_stash_fill(&s->stash, s->queue);
	return kafka_stash_next(&s->stash);
}

void member_release(struct kafka_source *s)
{
	if (s->held)
		rd_kafka_message_destroy(s->held);
	s->held = NULL;
	free(s->current);
	s->current = NULL;
}

static enum result hand_out_event(
	struct kafka_source *s, struct source_event *ret, struct error *err)
{
	struct member_event *e = s->first;

	s->first = e->next;
	if (!s->first)
		s->last = &s->first;
	s->current = e;
	*ret = e->event;
	if (err && e->err.text[0])
		*err = e->err;
	return RESULT_OK;
}

static enum result hand_out_record(
	struct kafka_source *s, rd_kafka_message_t *m, struct source_event *ret, struct error *err)
{
	struct bytes headers;
	enum result r = kafka_headers_encode(&s->headers, m, &headers, err);

	if (r != RESULT_OK) {
		kafka_stash_back(&s->stash, m); /* not handed out, so it must come again */
		return r;
	}

	rd_kafka_timestamp_type_t type;
	int64_t timestamp_ms = rd_kafka_message_timestamp(m, &type);
	struct member_partition *p = member_find(s, m->partition);

	if (p)
		p->position = m->offset + 1;
	s->held = m;
	s->down = false;
	ret->kind = SOURCE_RECORD;
	ret->record = (struct raw_record){
		.partition = m->partition,
		.offset = m->offset,
		.timestamp_ms = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : timestamp_ms,
		.key = {.data = m->key, .length = m->key_len},
		.value = {.data = m->payload, .length = m->len},
		.headers = headers,
	};
	return RESULT_OK;
}

static enum result hand_out_fatal(
	struct kafka_source *s, struct source_event *ret, struct error *err)
{
	char text[200] = "";

	s->fatal = rd_kafka_fatal_error(s->rk, text, sizeof(text));
	if (s->fatal != RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID &&
		s->fatal != RD_KAFKA_RESP_ERR__FENCED)
		return fail(
			err, RESULT_FATAL, s->fatal, "fatal error of the Kafka consumer: %s", text);

	if (member_fenced_itself(s))
		return member_rejoin(s, ret, err);

	(void)fail(err, RESULT_FATAL, s->fatal, "%s", text);
	ret->kind = SOURCE_OTHER_TOOK_NAME;
	return RESULT_OK;
}

/* An error that came in place of a record. */
static void take_error(struct kafka_source *s, const rd_kafka_message_t *m)
{
	struct error err = {0};
	const char *text = rd_kafka_message_errstr(m);

	if (m->err == RD_KAFKA_RESP_ERR__FATAL || m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
		return; /* a fatal error is asked for by poll() */

	if (m->err == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED) {
		struct log_entry e = log_entry(LOG_LEVEL_WARNING, LOG_EVENT_NONE,
			"Kafka has not been polled for max.poll.interval.ms: the partitions are lost");

		if (s->log.ops)
			s->log.ops->write(s->log.self, &e);
		return; /* REVOKED comes by itself */
	}

	if (m->rkt && m->partition >= 0) {
		(void)fail(&err, RESULT_RETRY, m->err, "partition %" PRId32 ": %s", m->partition,
			text);
		if (member_find(s, m->partition))
			member_push(s,
				(struct source_event){
					.kind = SOURCE_DISTURBED, .partition = m->partition},
				&err);
		return;
	}
	(void)fail(&err, RESULT_RETRY, m->err, "Kafka: %s", text);
	member_unreachable(s, &err);
}

/*
 * The library says once that all brokers are down and never that one is back, so ask while it
 * lasts.
 */
static void probe(struct kafka_source *s)
{
	if (clock_monotonic_us() - s->down_said_us < PROBE_EVERY_US)
		return;

	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_resp_err_t e = rd_kafka_metadata(s->rk, 0, NULL, &metadata, PROBE_MS);

	if (!e) {
		rd_kafka_metadata_destroy(metadata);
		s->down = false;
		return;
	}

	struct error err = {0};

	(void)fail(&err, RESULT_RETRY, e, "no Kafka broker answers: %s",
		s->trouble.text[0] ? s->trouble.text : rd_kafka_err2str(e));
	member_unreachable(s, &err);
}

static enum result source_poll(
	void *self, int64_t wait_ms, struct source_event *ret, struct error *err)
{
	struct kafka_source *s = self;

	member_release(s);
	*ret = (struct source_event){.kind = SOURCE_NOTHING, .partition = -1};
	if (s->first)
		return hand_out_event(s, ret, err);

	rd_kafka_message_t *m = next_message(s, wait_ms);

	if (m && m->err) {
		take_error(s, m);
		rd_kafka_message_destroy(TAKE(m));
		if (rd_kafka_fatal_error(s->rk, NULL, 0))
			return hand_out_fatal(s, ret, err);
	}
	if (!m && s->down)
		probe(s);

	if (s->first) { /* a callback ran: what it left came before the record */
		if (m)
			kafka_stash_back(&s->stash, m);
		return hand_out_event(s, ret, err);
	}
	if (m)
		return hand_out_record(s, m, ret, err);
	if (s->fatal)
		return hand_out_fatal(s, ret, err);
	return RESULT_OK;
}

/* ---- positions ------------------------------------------------------------------------------- */

static enum result source_offsets(
	void *self, int32_t partition, struct source_offsets *ret, struct error *err)
{
	struct kafka_source *s = self;

	if (woken(s))
		return fail(err, RESULT_RETRY, 0, "stopping");
	return kafka_query_offsets(s->client, s->topic, partition, KAFKA_QUERY_MS, ret, err);
}

static enum result source_timestamp_at(
	void *self, int32_t partition, int64_t offset, int64_t *ret_ms, struct error *err)
{
	struct kafka_source *s = self;
	struct position at = {.partition = partition, .offset = offset};

	if (woken(s))
		return fail(err, RESULT_RETRY, 0, "stopping");
	return kafka_query_timestamp(s->reader, s->log, s->topic, &at, KAFKA_QUERY_MS, ret_ms, err);
}

static enum result source_assign(
	void *self, const struct position *positions, size_t count, struct error *err)
{
	return member_assign(self, positions, count, err);
}

static enum result source_seek(void *self, int32_t partition, int64_t offset, struct error *err)
{
	return member_seek(self, partition, offset, err);
}

static enum result source_pause(void *self, int32_t partition, bool pause, struct error *err)
{
	return member_pause(self, partition, pause, err);
}

/* ---- commits, state -------------------------------------------------------------------------- */

static enum result source_commit(void *self, int32_t partition, int64_t offset, struct error *err)
{
	struct kafka_source *s = self;

	if (!member_owns(s, partition))
		return member_fenced(err, partition);
	member_find(s, partition)->unconfirmed = offset;
	return member_commit(s, partition, offset, err);
}

static enum result source_commit_wait(
	void *self, int32_t partition, int64_t offset, struct error *err)
{
	struct kafka_source *s = self;

	if (!member_owns(s, partition))
		return member_fenced(err, partition);

	struct member_partition *p = member_find(s, partition);
	CLEANUP(rd_kafka_topic_partition_list_destroy_ptr)
	rd_kafka_topic_partition_list_t *list = member_one(s, partition, offset);

	p->unconfirmed = offset;

	enum result r = member_commit_wait(s, list, COMMIT_WAIT_MS, err);

	if (r == RESULT_OK)
		p->unconfirmed = -1;
	return r;
}

static bool source_owns(void *self, int32_t partition)
{
	return member_owns(self, partition);
}

static int64_t source_high_watermark(void *self, int32_t partition)
{
	struct kafka_source *s = self;
	int64_t low, high;

	if (rd_kafka_get_watermark_offsets(s->rk, s->topic, partition, &low, &high) || high < 0)
		return -1;
	return high;
}

static void source_close(void *self)
{
	struct kafka_source *s = self;

	if (s->client)
		member_close(s, clock_monotonic_us() + CLOSE_MS * INT64_C(1000));
}

const struct source_ops kafka_source_ops = {
	.check = source_check,
	.subscribe = source_subscribe,
	.poll = source_poll,
	.offsets = source_offsets,
	.timestamp_at = source_timestamp_at,
	.assign = source_assign,
	.seek = source_seek,
	.pause = source_pause,
	.commit = source_commit,
	.commit_wait = source_commit_wait,
	.owns = source_owns,
	.high_watermark = source_high_watermark,
	.close = source_close,
};

/* ---- life ------------------------------------------------------------------------------------ */

enum result kafka_source_open(
	const struct kafka_settings *settings, struct kafka_source **ret, struct error *err)
{
	CLEANUP(kafka_source_free_ptr) struct kafka_source *s = calloc(1, sizeof(*s));

	if (s) {
		member_events_init(s);
		s->topic = strdup(settings->topic);
		s->outcome_topic = strdup(settings->outcome_topic);
		s->brokers = strdup(settings->brokers);
	}
	if (!s || !s->topic || !s->outcome_topic || !s->brokers)
		return fail(err, RESULT_FATAL, ENOMEM, "no memory for the Kafka consumer");
	s->waker = settings->waker;
	s->log = settings->log;

	enum result r = kafka_conf_new(settings, KAFKA_ROLE_READER, &s->reader, err);

	if (r == RESULT_OK)
		r = kafka_conf_new(settings, KAFKA_ROLE_MEMBER, &s->member, err);
	if (r != RESULT_OK)
		return r;

	member_set_callbacks(s->member);
	r = member_open(s, err);
	if (r != RESULT_OK)
		return r;
	*ret = TAKE(s);
	return RESULT_OK;
}

void kafka_source_free(struct kafka_source *s)
{
	if (!s)
		return;
	source_close(s);
	member_events_done(s);
	kafka_headers_done(&s->headers);
	if (s->member)
		rd_kafka_conf_destroy(s->member);
	if (s->reader)
		rd_kafka_conf_destroy(s->reader);
	free(s->partitions);
	free(s->paused);
	free(s->topic);
	free(s->outcome_topic);
	free(s->brokers);
	free(s);
}
