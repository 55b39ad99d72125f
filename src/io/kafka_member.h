/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core/ops.h"
#include "io/kafka_client.h"
#include "io/kafka_headers.h"
#include "io/kafka_stash.h"

/*
 * The inside of kafka_source: what librdkafka's callbacks leave for poll(). They run only inside
 * rd_kafka_consumer_poll(), so in the worker's own thread. For kafka_source.c, kafka_member.c,
 * kafka_membership.c and kafka_positions.c alone.
 */
struct rd_kafka_message_s;
struct rd_kafka_queue_s;
struct rd_kafka_topic_partition_list_s;

/* A partition that the group gave us. */
struct member_partition {
	int32_t partition;
	bool fetching;       /* part of the last assign() */
	int64_t position;    /* the next to hand out; meaningful when fetching */
	int64_t unconfirmed; /* the last commit() without a good answer, -1: none */
};

/* An event that waits for its poll(). */
struct member_event {
	struct member_event *next;
	struct source_event event; /* partitions points to the numbers below */
	struct error err;
	int32_t partitions[];
};

struct kafka_source {
	struct kafka_client *client;
	struct rd_kafka_s *rk;          /* the client's */
	struct rd_kafka_queue_s *queue; /* where answers to commit() come in */
	struct rd_kafka_conf_s *member; /* of the client, and of the next one */
	struct rd_kafka_conf_s *reader; /* for timestamp_at() */
	char *topic, *outcome_topic, *brokers;
	struct waker *waker;
	struct logger log;

	struct member_partition *partitions; /* what the group gave us, ascending */
	size_t partition_count;
	intptr_t generation; /* counts assignments: tells late answers to commits of older ones */
	int32_t *paused; /* the library keeps partitions paused from one assignment to the next */
	size_t paused_count;

	struct member_event *first, **last; /* waiting events */
	struct member_event *current;    /* the one handed out: its numbers are valid until now */
	struct rd_kafka_message_s *held; /* the record handed out, likewise */
	struct kafka_stash stash;
	bool waits; /* poll() is in a call that waits for one record */
	struct kafka_headers headers;

	bool subscribed;
	int fatal;            /* librdkafka's code of a fatal error; 0: none */
	bool down;            /* no broker answered when last seen */
	int64_t down_said_us; /* when that was said last */
	int64_t lost_us;      /* when our session ran out last; 0: not since we joined */
	bool denied;          /* the brokers refuse our user or password */
	struct error trouble; /* the library's last word on a connection */
};

void member_events_init(struct kafka_source *s);
void member_events_done(struct kafka_source *s);

/* Queue an event; without memory it is lost only where losing it is harmless, else we abort. */
void member_push(struct kafka_source *s, struct source_event event, const struct error *err);

/* Set the callbacks of this file. */
void member_set_callbacks(struct rd_kafka_conf_s *conf);

/* Before every rd_kafka_assign() that takes partitions away: their fetchers must be at rest. */
void member_settle(struct kafka_source *s);

/* NULL: not ours. */
struct member_partition *member_find(const struct kafka_source *s, int32_t partition);

/* Is the assignment, as far as the library knows, still ours? */
bool member_owns(const struct kafka_source *s, int32_t partition);

/* Commit and wait for the answer, at most wait_ms. RETRY: not done, or not known. */
enum result member_commit_wait(struct kafka_source *s,
	const struct rd_kafka_topic_partition_list_s *offsets, int wait_ms,
	struct error *err) MUST_CHECK;

/* Queue commit of one offset; the answer becomes SOURCE_COMMIT. */
enum result member_commit(
	struct kafka_source *s, int32_t partition, int64_t offset, struct error *err) MUST_CHECK;

/* ---- kafka_membership.c: joining and leaving. As in source_ops, where they have the same name. */

/* A client made from s->member; in no group yet. */
enum result member_open(struct kafka_source *s, struct error *err) MUST_CHECK;

enum result member_check(
	struct kafka_source *s, int32_t *ret_partition_count, struct error *err) MUST_CHECK;
enum result member_subscribe(struct kafka_source *s, struct error *err) MUST_CHECK;

/* Leave the group and let go of the client, by clock_monotonic_us() at the latest. */
void member_close(struct kafka_source *s, int64_t deadline_us);

/*
 * After a fatal error that fences us: is our own past to blame? When a session runs out while no
 * broker answers, the library joins again under a new member id, and an offset commit of the old
 * one may still be on its way.
 */
bool member_fenced_itself(const struct kafka_source *s);

/*
 * Go on as a new member. Should another daemon have our name indeed, we are fenced once more, and
 * without such a cause.
 *
 * ret: all partitions are lost
 */
enum result member_rejoin(
	struct kafka_source *s, struct source_event *ret, struct error *err) MUST_CHECK;

/* ---- kafka_source.c */

/* What the last poll() handed out is not looked at any more. */
void member_release(struct kafka_source *s);

/* ---- kafka_positions.c: what is fetched, and from where. As in source_ops. */

enum result member_assign(struct kafka_source *s, const struct position *positions, size_t count,
	struct error *err) MUST_CHECK;
enum result member_seek(
	struct kafka_source *s, int32_t partition, int64_t offset, struct error *err) MUST_CHECK;
enum result member_pause(
	struct kafka_source *s, int32_t partition, bool pause, struct error *err) MUST_CHECK;

enum result member_fenced(struct error *err, int32_t partition);

/* A list of one; the caller's. */
struct rd_kafka_topic_partition_list_s *member_one(
	const struct kafka_source *s, int32_t partition, int64_t offset);

/* ---- kafka_member.c */

/* Say UNREACHABLE (not more than once a second), and remember it. */
void member_unreachable(struct kafka_source *s, const struct error *err);
