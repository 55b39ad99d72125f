/* SPDX-License-Identifier: Apache-2.0 */
#include "io/kafka_member.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <librdkafka/rdkafka.h>

#include "base/clock.h"

DEFINE_CLEANUP(rd_kafka_topic_partition_list_t *, rd_kafka_topic_partition_list_destroy)
DEFINE_CLEANUP(rd_kafka_queue_t *, rd_kafka_queue_destroy)
DEFINE_CLEANUP(rd_kafka_event_t *, rd_kafka_event_destroy)

/* The group stands still while a revoke is answered, so this is short. */
enum { REVOKE_COMMIT_MS = 1000 };
#define UNREACHABLE_EVERY_US INT64_C(1000000)

/* ---- events -------------------------------------------------------------------------------- */

void member_events_init(struct kafka_source *s)
{
	s->first = NULL;
	s->last = &s->first;
}

void member_events_done(struct kafka_source *s)
{
	while (s->first) {
		struct member_event *e = s->first;

		s->first = e->next;
		free(e);
	}
	member_events_init(s);
	free(s->current);
	s->current = NULL;
}

void member_push(struct kafka_source *s, struct source_event event, const struct error *err)
{
	size_t count = event.kind == SOURCE_ASSIGNED ? event.partition_count : 0;
	struct member_event *e = calloc(1, sizeof(*e) + count * sizeof(e->partitions[0]));

	if (!e) {
		/* Going on without having heard of a rebalance would be worse than a restart. */
		if (event.kind == SOURCE_ASSIGNED || event.kind == SOURCE_REVOKED)
			abort();
		return;
	}

	e->event = event;
	if (count > 0)
		memcpy(e->partitions, event.partitions, count * sizeof(e->partitions[0]));
	e->event.partitions = e->partitions;
	if (err)
		e->err = *err;
	*s->last = e;
	s->last = &e->next;
}

void member_unreachable(struct kafka_source *s, const struct error *err)
{
	int64_t now_us = clock_monotonic_us();

	if (s->down_said_us && now_us - s->down_said_us < UNREACHABLE_EVERY_US)
		return;
	s->down_said_us = now_us;
	member_push(s, (struct source_event){.kind = SOURCE_UNREACHABLE}, err);
}

/*
 * Something was pushed: let a poll() that waits return it now. Never one that takes many records:
 * rd_kafka_consume_batch_queue() loses the record that follows a callback which has yielded.
 */
static void yield_to_poll(const struct kafka_source *s, rd_kafka_t *rk)
{
	if (s && s->waits)
		rd_kafka_yield(rk);
}

/* ---- the assignment -------------------------------------------------------------------------- */

struct member_partition *member_find(const struct kafka_source *s, int32_t partition)
{
	for (size_t i = 0; i < s->partition_count; i++) {
		if (s->partitions[i].partition == partition)
			return &s->partitions[i];
	}
	return NULL;
}

bool member_owns(const struct kafka_source *s, int32_t partition)
{
	return !s->fatal && member_find(s, partition) && !rd_kafka_assignment_lost(s->rk);
}

static int compare_partitions(const void *a, const void *b)
{
	const struct member_partition *pa = a, *pb = b;

	return (pa->partition > pb->partition) - (pa->partition < pb->partition);
}

/*
 * Wait until the library's main thread has taken note of every fetcher that was told to stop. A
 * fetcher that is told twice aborts the process (librdkafka#5573), and an assignment that follows
 * another one closely does that. The thread works its queue in order: the first answer comes after
 * the stops, the second after their acknowledgements. No server is asked.
 */
void member_settle(struct kafka_source *s)
{
	for (int i = 0; i < 2; i++) {
		CLEANUP(rd_kafka_topic_partition_list_destroy_ptr)
		rd_kafka_topic_partition_list_t *ignored = NULL;

		if (rd_kafka_assignment(s->rk, &ignored))
			return; /* the member is on its way out */
	}
}

static void on_assign(struct kafka_source *s, const rd_kafka_topic_partition_list_t *list)
{
	/* Answered at once: the members of the group stand still until the last one has answered.
	 * What is fetched, and from where, is told later by kafka_source's assign(). */
	CLEANUP(rd_kafka_topic_partition_list_destroy_ptr)
	rd_kafka_topic_partition_list_t *nothing = rd_kafka_topic_partition_list_new(0);
	size_t count = (size_t)list->cnt;

	(void)rd_kafka_assign(
		s->rk, nothing); /* fails only on a fatal error, which poll() reports */

	free(s->partitions);
	s->partitions = calloc(count ? count : 1, sizeof(*s->partitions));

	CLEANUP(free_ptr) int32_t *numbers = calloc(count ? count : 1, sizeof(*numbers));

	if (!s->partitions || !numbers)
		abort(); /* as in member_push() */

	s->partition_count = count;
	s->generation++;
	for (size_t i = 0; i < count; i++)
		s->partitions[i] = (struct member_partition){
			.partition = list->elems[i].partition, .unconfirmed = -1};
	qsort(s->partitions, count, sizeof(*s->partitions), compare_partitions);
	for (size_t i = 0; i < count; i++)
		numbers[i] = s->partitions[i].partition;

	s->down = false; /* the coordinator has answered */
	member_push(s,
		(struct source_event){
			.kind = SOURCE_ASSIGNED, .partitions = numbers, .partition_count = count},
		NULL);
}

/* What commit() was asked for and has not been told to be done. */
static void commit_unconfirmed(struct kafka_source *s)
{
	CLEANUP(rd_kafka_topic_partition_list_destroy_ptr)
	rd_kafka_topic_partition_list_t *list =
		rd_kafka_topic_partition_list_new((int)s->partition_count);

	for (size_t i = 0; i < s->partition_count; i++) {
		const struct member_partition *p = &s->partitions[i];

		if (p->unconfirmed >= 0)
			rd_kafka_topic_partition_list_add(list, s->topic, p->partition)->offset =
				p->unconfirmed;
	}
	if (list->cnt > 0) /* not done: the next owner publishes again what was published already */
		(void)!member_commit_wait(s, list, REVOKE_COMMIT_MS, NULL);
}

static void on_revoke(struct kafka_source *s)
{
	bool lost = rd_kafka_assignment_lost(s->rk);

	if (lost && !rd_kafka_fatal_error(s->rk, NULL, 0))
		s->lost_us = clock_monotonic_us();
	if (!lost && !s->fatal)
		commit_unconfirmed(s);
	member_settle(s);
	(void)rd_kafka_assign(s->rk, NULL); /* fails only on a fatal error, which poll() reports */

	s->partition_count = 0;
	s->generation++;
	member_push(s, (struct source_event){.kind = SOURCE_REVOKED, .lost = lost}, NULL);
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t what,
	rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
	struct kafka_source *s = ((struct kafka_client *)opaque)->owner;

	if (!s || s->rk != rk)
		(void)rd_kafka_assign(rk, NULL);
	else if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
		on_assign(s, partitions);
	else
		on_revoke(s); /* also for an error: the library's manual asks for it */
	yield_to_poll(s, rk);
}

/* ---- commits --------------------------------------------------------------------------------- */

static void on_commit(
	rd_kafka_t *rk, rd_kafka_resp_err_t e, rd_kafka_topic_partition_list_t *list, void *opaque)
{
	struct kafka_source *s = ((struct kafka_client *)rd_kafka_opaque(rk))->owner;

	if (!s || (intptr_t)opaque != s->generation)
		return; /* of an assignment that is gone: nobody waits for it */

	for (int i = 0; list && i < list->cnt; i++) {
		const rd_kafka_topic_partition_t *answer = &list->elems[i];
		struct member_partition *p = member_find(s, answer->partition);
		rd_kafka_resp_err_t why = e ? e : answer->err;
		struct error err = {0};

		if (!why && p && p->unconfirmed == answer->offset)
			p->unconfirmed = -1;
		if (why)
			(void)fail(&err, RESULT_RETRY, why,
				"Kafka did not take offset %" PRId64 " of partition %" PRId32
				": %s",
				answer->offset, answer->partition, rd_kafka_err2str(why));
		else
			s->down = false;
		member_push(s,
			(struct source_event){.kind = SOURCE_COMMIT,
				.failed = why != 0,
				.partition = answer->partition},
			&err);
	}
	yield_to_poll(s, rk);
}

enum result member_commit(
	struct kafka_source *s, int32_t partition, int64_t offset, struct error *err)
{
	CLEANUP(rd_kafka_topic_partition_list_destroy_ptr)
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(list, s->topic, partition)->offset = offset;

	rd_kafka_resp_err_t e =
		rd_kafka_commit_queue(s->rk, list, s->queue, on_commit, (void *)s->generation);

	if (e)
		return fail(err, RESULT_RETRY, e, "cannot commit: %s", rd_kafka_err2str(e));
	return RESULT_OK;
}

enum result member_commit_wait(struct kafka_source *s,
	const struct rd_kafka_topic_partition_list_s *offsets, int wait_ms, struct error *err)
{
	/* A queue of its own: rd_kafka_commit() itself waits without a bound. An answer that comes
	 * after the queue is gone is dropped by the library. */
	CLEANUP(rd_kafka_queue_destroy_ptr) rd_kafka_queue_t *queue = rd_kafka_queue_new(s->rk);
	rd_kafka_resp_err_t e = rd_kafka_commit_queue(s->rk, offsets, queue, NULL, NULL);

	if (e)
		return fail(err, RESULT_RETRY, e, "cannot commit: %s", rd_kafka_err2str(e));

	CLEANUP(rd_kafka_event_destroy_ptr)
	rd_kafka_event_t *answer = rd_kafka_queue_poll(queue, wait_ms);

	if (!answer)
		return fail(err, RESULT_RETRY, RD_KAFKA_RESP_ERR__TIMED_OUT,
			"Kafka did not answer the commit within %d ms", wait_ms);

	e = rd_kafka_event_error(answer);

	const rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(answer);

	for (int i = 0; !e && list && i < list->cnt; i++)
		e = list->elems[i].err;
	if (e)
		return fail(err, RESULT_RETRY, e, "Kafka did not take the commit: %s",
			rd_kafka_err2str(e));
	return RESULT_OK;
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
	struct kafka_source *s = ((struct kafka_client *)opaque)->owner;
	struct error err = {0};

	if (!s)
		return;
	if (code == RD_KAFKA_RESP_ERR__FATAL)
		return; /* poll() asks rd_kafka_fatal_error() itself */

	if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
		/* One broker of several is nothing yet, but its words say why if all are down. That
		 * all are is not always said: poll() looks into it when nothing else comes. */
		kafka_client_trouble(&s->trouble, code, reason);
		s->down = true;
		if (code != RD_KAFKA_RESP_ERR__AUTHENTICATION)
			return;
		s->denied = true;
	}

	s->down = true;
	(void)fail(&err, RESULT_RETRY, code, "no Kafka broker answers: %s",
		s->trouble.text[0] ? s->trouble.text : reason);
	member_unreachable(s, &err);
	yield_to_poll(s, rk);
}

void member_set_callbacks(struct rd_kafka_conf_s *conf)
{
	rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
	rd_kafka_conf_set_error_cb(conf, on_error);
}
