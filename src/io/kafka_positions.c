/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>

#include <librdkafka/rdkafka.h>

#include "io/kafka_member.h"

DEFINE_CLEANUP(rd_kafka_topic_partition_list_t *, rd_kafka_topic_partition_list_destroy)
DEFINE_CLEANUP(rd_kafka_error_t *, rd_kafka_error_destroy)

enum { SEEK_WAIT_MS = 1000 }; /* the library's own threads answer, no server */

enum result member_fenced(struct error *err, int32_t partition)
{
	return fail(err, RESULT_FENCED, 0, "partition %" PRId32 " is no longer ours", partition);
}

struct rd_kafka_topic_partition_list_s *member_one(
	const struct kafka_source *s, int32_t partition, int64_t offset)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(list, s->topic, partition)->offset = offset;
	return list;
}

/* s->paused_count: it is not paused. */
static size_t paused_index(const struct kafka_source *s, int32_t partition)
{
	size_t i = 0;

	while (i < s->paused_count && s->paused[i] != partition)
		i++;
	return i;
}

/* Pause or resume in the library, and remember it beyond the assignment, as the library does. */
static enum result set_paused(
	struct kafka_source *s, int32_t partition, bool pause, struct error *err)
{
	size_t i = paused_index(s, partition);

	if ((i < s->paused_count) == pause)
		return RESULT_OK; /* resuming what is not paused loses records in 2.0.2 (#4636) */

	if (pause) {
		int32_t *more = realloc(s->paused, (s->paused_count + 1) * sizeof(*more));

		if (!more)
			return fail(err, RESULT_RETRY, ENOMEM, "no memory to pause a partition");
		s->paused = more;
	}

	CLEANUP(rd_kafka_topic_partition_list_destroy_ptr)
	rd_kafka_topic_partition_list_t *list = member_one(s, partition, RD_KAFKA_OFFSET_INVALID);
	rd_kafka_resp_err_t e = pause ? rd_kafka_pause_partitions(s->rk, list)
				      : rd_kafka_resume_partitions(s->rk, list);

	if (!e && pause)
		e = list->elems[0].err;
	if (e)
		return fail(err, RESULT_RETRY, e, "cannot %s partition %" PRId32 ": %s",
			pause ? "pause" : "resume", partition, rd_kafka_err2str(e));

	if (pause)
		s->paused[s->paused_count++] = partition;
	else
		s->paused[i] = s->paused[--s->paused_count];
	return RESULT_OK;
}

/* Let the library fetch every partition that is being fetched, from our positions on. */
static enum result reassign(struct kafka_source *s, struct error *err)
{
	CLEANUP(rd_kafka_topic_partition_list_destroy_ptr)
	rd_kafka_topic_partition_list_t *list =
		rd_kafka_topic_partition_list_new((int)s->partition_count);

	for (size_t i = 0; i < s->partition_count; i++) {
		const struct member_partition *p = &s->partitions[i];

		if (p->fetching)
			rd_kafka_topic_partition_list_add(list, s->topic, p->partition)->offset =
				p->position;
	}

	member_settle(s);

	rd_kafka_resp_err_t e = rd_kafka_assign(s->rk, list);

	if (e)
		return fail(err, RESULT_RETRY, e, "cannot assign: %s", rd_kafka_err2str(e));
	kafka_stash_drop(&s->stash, -1);
	return RESULT_OK;
}

enum result member_assign(
	struct kafka_source *s, const struct position *positions, size_t count, struct error *err)
{
	/* First of all: rd_kafka_assign() would make the library forget that they are lost. */
	for (size_t i = 0; i < count; i++) {
		if (!member_owns(s, positions[i].partition))
			return member_fenced(err, positions[i].partition);
	}

	for (size_t i = 0; i < s->partition_count; i++)
		s->partitions[i].fetching = false;
	for (size_t i = 0; i < count; i++) {
		struct member_partition *p = member_find(s, positions[i].partition);
		/* Before the assignment: resuming a stream that runs would lose records of it. */
		enum result r = set_paused(s, p->partition, false, err);

		if (r != RESULT_OK)
			return r;
		p->fetching = true;
		p->position = positions[i].offset;
	}
	return reassign(s, err);
}

enum result member_seek(
	struct kafka_source *s, int32_t partition, int64_t offset, struct error *err)
{
	if (!member_owns(s, partition))
		return member_fenced(err, partition);

	struct member_partition *p = member_find(s, partition);

	p->position = offset;
	kafka_stash_drop(&s->stash, partition);

	/* 2.0.2 takes the timeout for microseconds where it means milliseconds. */
	int scale = rd_kafka_version() < 0x02010000 ? 1000 : 1;
	CLEANUP(rd_kafka_topic_partition_list_destroy_ptr)
	rd_kafka_topic_partition_list_t *list = member_one(s, partition, offset);
	CLEANUP(rd_kafka_error_destroy_ptr)
	rd_kafka_error_t *e = rd_kafka_seek_partitions(s->rk, list, SEEK_WAIT_MS * scale);

	if (!e && !list->elems[0].err)
		return RESULT_OK;

	/* Not being fetched: stopped by an error (offset out of range), or not started yet. */
	return reassign(s, err);
}

enum result member_pause(struct kafka_source *s, int32_t partition, bool pause, struct error *err)
{
	if (!member_owns(s, partition))
		return member_fenced(err, partition);

	const struct member_partition *p = member_find(s, partition);
	bool was_paused = paused_index(s, partition) < s->paused_count;

	if (!p->fetching)
		return RESULT_OK; /* assign() comes, and lets nothing stay paused */

	enum result r = set_paused(s, partition, pause, err);

	if (r != RESULT_OK)
		return r;
	if (pause) {
		kafka_stash_drop(
			&s->stash, partition); /* as the library drops what it has fetched */
		return RESULT_OK;
	}

	/* Where it goes on is said, not left to the library: it counts a dropped stash as handed
	 * out, and has had bugs here (#2190, #3471, #4636). */
	if (was_paused)
		return member_seek(s, partition, p->position, err);
	return RESULT_OK;
}
