/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include <librdkafka/rdkafka.h>

#include "base/clock.h"
#include "io/kafka_member.h"
#include "io/kafka_query.h"

/* Membership of the group: joining, leaving, and both at once. */

DEFINE_CLEANUP(rd_kafka_topic_partition_list_t *, rd_kafka_topic_partition_list_destroy)

enum { HEAR_MAX = 16, REJOIN_MS = 1000 };
#define RECENT_US INT64_C(60000000)

/* ---- joining --------------------------------------------------------------------------------- */

enum result member_open(struct kafka_source *s, struct error *err)
{
	enum result r = kafka_client_new(
		rd_kafka_conf_dup(s->member), KAFKA_ROLE_MEMBER, s->log, s, &s->client, err);

	if (r != RESULT_OK)
		return r;
	s->rk = s->client->rk;
	s->queue = rd_kafka_queue_get_consumer(s->rk);
	return RESULT_OK;
}

/* Before the group is joined nothing but errors can be in the queue: they say why nobody answers.
 */
static void hear_errors(struct kafka_source *s)
{
	for (int i = 0; i < HEAR_MAX; i++) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(s->rk, 0);

		if (m)
			rd_kafka_message_destroy(m);
	}
	member_events_done(s);
}

static enum result check_topic(
	struct kafka_source *s, const char *topic, int32_t *ret, struct error *err)
{
	struct error why = {0};
	enum result r = kafka_query_partitions(s->client, topic, KAFKA_QUERY_MS, ret, &why);

	if (!s->subscribed)
		hear_errors(s);
	if (r == RESULT_REJECT)
		return fail(err, RESULT_RETRY, why.code,
			"topic \"%s\" does not exist; create it: kafka-topics.sh --bootstrap-server %s "
			"--create --topic %s --partitions 3",
			topic, s->brokers, topic);
	if (r == RESULT_RETRY && s->denied)
		return fail(err, RESULT_FATAL, s->trouble.code,
			"Kafka at %s refuses to let us in: %s", s->brokers, s->trouble.text);
	if (r == RESULT_RETRY && s->trouble.text[0])
		return fail(err, r, why.code, "cannot reach Kafka at %s: %s", s->brokers,
			s->trouble.text);
	if (r != RESULT_OK)
		return fail(err, r, why.code, "Kafka at %s: %s", s->brokers, why.text);
	return RESULT_OK;
}

enum result member_check(struct kafka_source *s, int32_t *ret_partition_count, struct error *err)
{
	int32_t partitions = 0, ignored = 0;

	s->denied = false;
	s->trouble = (struct error){0};

	enum result r = check_topic(s, s->topic, &partitions, err);

	if (r == RESULT_OK)
		r = check_topic(s, s->outcome_topic, &ignored, err);
	if (r == RESULT_OK)
		*ret_partition_count = partitions;
	return r;
}

enum result member_subscribe(struct kafka_source *s, struct error *err)
{
	CLEANUP(rd_kafka_topic_partition_list_destroy_ptr)
	rd_kafka_topic_partition_list_t *list =
		member_one(s, RD_KAFKA_PARTITION_UA, RD_KAFKA_OFFSET_INVALID);
	rd_kafka_resp_err_t e = rd_kafka_subscribe(s->rk, list);

	if (e)
		return fail(err, RESULT_RETRY, e, "cannot join the group: %s", rd_kafka_err2str(e));
	s->subscribed = true;
	return RESULT_OK;
}

/* ---- leaving --------------------------------------------------------------------------------- */

/* Leave the group, serving what the library still has to tell, until it is done or time is up. */
static void leave(struct kafka_source *s, int64_t deadline_us)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(s->rk);
	rd_kafka_error_t *e = rd_kafka_consumer_close_queue(s->rk, queue);

	/* After a fatal error there is nothing to leave. */
	while (!e && !rd_kafka_consumer_closed(s->rk) && clock_monotonic_us() < deadline_us) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(s->rk, 50);

		if (m)
			rd_kafka_message_destroy(m);
	}
	if (e)
		rd_kafka_error_destroy(e);
	rd_kafka_queue_destroy(queue);
}

/* Destroying waits for ever for a record or queue that somebody still holds. */
void member_close(struct kafka_source *s, int64_t deadline_us)
{
	member_release(s);
	kafka_stash_drop(&s->stash, -1);
	leave(s, deadline_us);
	rd_kafka_queue_destroy(s->queue);
	kafka_client_close(TAKE(s->client), deadline_us);
	s->rk = NULL;
	s->queue = NULL;
}

/* ---- joining anew ---------------------------------------------------------------------------- */

static bool is_recent(int64_t us)
{
	return us != 0 && clock_monotonic_us() - us < RECENT_US;
}

bool member_fenced_itself(const struct kafka_source *s)
{
	return is_recent(s->lost_us) || is_recent(s->down_said_us);
}

enum result member_rejoin(struct kafka_source *s, struct source_event *ret, struct error *err)
{
	struct log_entry e = log_entry(LOG_LEVEL_WARNING, LOG_EVENT_REJOINING,
		"our session had run out and Kafka refused what was left of it: joining anew");

	if (s->log.ops)
		s->log.ops->write(s->log.self, &e);
	member_close(s, clock_monotonic_us() + REJOIN_MS * INT64_C(1000));
	member_events_done(s); /* of the old member: what is handed out now says that all is gone */
	s->fatal = 0;
	s->lost_us = s->down_said_us = 0;
	s->down = false;
	s->partition_count = s->paused_count = 0;
	s->generation++;
	*ret = (struct source_event){.kind = SOURCE_REVOKED, .lost = true, .partition = -1};

	enum result r = member_open(s, err);

	return r == RESULT_OK ? member_subscribe(s, err) : r;
}
