/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "sim_group.h"

/*
 * A group member's client. What it knows of the group is what its own polls have told it.
 *
 * One rule keeps its lies within what Kafka's client does: after a record that was ahead of its
 * turn the next seek brings the truth. A log that hides the same record twice has really lost it.
 */

static enum result source_fail(struct sim_worker *k, const char *call, struct error *err)
{
	if (!sim_enter(k, call))
		return fail(err, RESULT_RETRY, 0, "dead");
	if (sim_fault(k->world, FAULT_SOURCE_RETRY))
		return fail(err, RESULT_RETRY, 0, "simulated: %s failed", call);
	return RESULT_OK;
}

static enum result source_check(void *self, int32_t *ret_partition_count, struct error *err)
{
	struct sim_worker *k = self;
	enum result r = source_fail(k, "source check", err);

	if (r == RESULT_OK)
		*ret_partition_count = k->world->partition_count;
	return r;
}

static enum result source_subscribe(void *self, struct error *err)
{
	struct sim_worker *k = self;
	enum result r = source_fail(k, "subscribe", err);

	if (r == RESULT_OK)
		k->source.subscribed = true;
	return r;
}

static void give_up(struct sim_source *s)
{
	s->mine = s->fetched = s->paused = 0;
	s->has_assignment = false;
}

/* What the group has for us; false: nothing. */
static bool group_event(struct sim_worker *k, struct source_event *ret)
{
	struct sim_world *w = k->world;
	struct sim_source *s = &k->source;
	struct sim_member *m = sim_group_member(w, s->member);

	if (!m && s->has_assignment) {
		*ret = (struct source_event){.kind = SOURCE_REVOKED, .lost = true};
		give_up(s);
		s->member = 0;
		return true;
	}
	if (!m) {
		s->member = sim_group_join(k);
		return false;
	}
	if (w->rebalancing && !m->rejoined) {
		if (s->has_assignment) {
			*ret = (struct source_event){.kind = SOURCE_REVOKED};
			give_up(s);
			return true; /* and rejoins in the next poll: until then its commits count
				      */
		}
		m->rejoined = true;
		return false;
	}
	if (!w->rebalancing && !m->told) {
		if (s->has_assignment) {
			*ret = (struct source_event){.kind = SOURCE_REVOKED};
			give_up(s);
			return true;
		}
		*ret = (struct source_event){.kind = SOURCE_ASSIGNED, .partitions = s->list};
		for (int p = 0; p < w->partition_count; p++) {
			if (m->assigned & 1U << p)
				s->list[ret->partition_count++] = p;
		}
		m->told = true;
		s->has_assignment = true;
		s->mine = m->assigned;
		s->generation = w->generation;
		return true;
	}
	return false;
}

static void give_record(
	struct sim_worker *k, int32_t p, struct sim_record *r, struct source_event *ret)
{
	*ret = (struct source_event){.kind = SOURCE_RECORD,
		.partition = p,
		.record = {.partition = p,
			.offset = r->offset,
			.timestamp_ms = r->timestamp_ms,
			.value = {r->tombstone ? NULL : r->value,
				r->tombstone ? 0 : r->value_bytes}}};
	sim_trace(k->world, "source: worker %d gets record %d:%" PRId64, k->slot, p, r->offset);
}

static void disturb(struct sim_worker *k, int32_t p, const char *why, struct source_event *ret,
	struct error *err)
{
	*ret = (struct source_event){.kind = SOURCE_DISTURBED, .partition = p};
	sim_trace(k->world, "source: worker %d: partition %d disturbed: %s", k->slot, p, why);
	(void)fail(err, RESULT_RETRY, 0, "simulated: %s", why);
}

static bool record_event(struct sim_worker *k, int32_t p, struct source_event *ret)
{
	struct sim_world *w = k->world;
	struct sim_source *s = &k->source;
	struct sim_partition *part = &w->partitions[p];
	int64_t from = s->race[p] >= 0 ? s->race[p] : s->position[p];

	for (int i = 0; i < part->visible; i++) {
		struct sim_record *r = &part->records[i];

		if (r->offset < from || r->offset < part->low)
			continue;
		give_record(k, p, r, ret);
		if (s->race[p] >= 0) { /* a record of before the seek */
			s->race[p] = -1;
			s->lied[p] = true;
			return true;
		}
		s->position[p] = r->offset + 1;
		if (sim_fault(w, FAULT_STALE) && i > 0)
			s->position[p] = part->records[i - sim_below(w, i < 3 ? i + 1 : 4)].offset;
		return true;
	}
	s->race[p] = -1;
	return false;
}

static enum result source_poll(
	void *self, int64_t wait_ms, struct source_event *ret, struct error *err)
{
	struct sim_worker *k = self;
	struct sim_world *w = k->world;
	struct sim_source *s = &k->source;

	*ret = (struct source_event){.kind = SOURCE_NOTHING};
	if (!sim_enter(k, "poll"))
		return RESULT_OK;
	s->poll_us = w->now_us;
	if (sim_fault(w, FAULT_UNREACHABLE)) {
		*ret = (struct source_event){.kind = SOURCE_UNREACHABLE};
		(void)fail(err, RESULT_RETRY, 0, "simulated: no broker answers");
		return RESULT_OK;
	}
	if (s->subscribed && (w->calm || sim_below(w, 2)) && group_event(k, ret)) {
		sim_trace(w, "source: worker %d is told %s", k->slot,
			ret->kind == SOURCE_ASSIGNED ? "assigned"
			: ret->lost                  ? "lost"
						     : "revoked");
		return RESULT_OK;
	}
	if (s->answer_count > 0 && sim_below(w, 2)) {
		s->answer_count--;
		*ret = (struct source_event){.kind = SOURCE_COMMIT,
			.partition = s->answers[s->answer_count].partition,
			.failed = s->answers[s->answer_count].failed};
		if (ret->failed)
			(void)fail(err, RESULT_RETRY, 0, "simulated: commit refused");
		return RESULT_OK;
	}

	int first = (int)sim_below(w, w->partition_count);

	for (int i = 0; i < w->partition_count; i++) {
		int32_t p = (first + i) % w->partition_count;
		bool fetched = s->fetched & 1U << p, paused = s->paused & 1U << p;

		if (!fetched || (paused && !sim_fault(w, FAULT_LATE_RECORD)))
			continue;
		if (!paused && !s->lied[p] && sim_fault(w, FAULT_DISTURBED)) {
			/* What was lost on the way is jumped over, until somebody seeks. */
			if (sim_below(w, 2))
				s->race[p] = s->position[p] + sim_below(w, 4);
			disturb(k, p, "fetch error", ret, err);
			return RESULT_OK;
		}
		/* auto.offset.reset = error: where retention was faster there is nothing to fetch
		 */
		if (s->race[p] < 0 && s->position[p] < w->partitions[p].low) {
			if (sim_below(w, 4))
				continue;
			disturb(k, p, "offset out of range", ret, err);
			return RESULT_OK;
		}
		if (record_event(k, p, ret))
			return RESULT_OK;
	}
	/* The others run while this one waits. */
	if (wait_ms > 0)
		k->wake_us = w->now_us + wait_ms * 1000;
	return RESULT_OK;
}

static enum result source_offsets(
	void *self, int32_t partition, struct source_offsets *ret, struct error *err)
{
	struct sim_worker *k = self;
	enum result r = source_fail(k, "offsets", err);

	if (r == RESULT_OK)
		*ret = (struct source_offsets){.partition = partition,
			.low = k->world->partitions[partition].low,
			.high = sim_high(k->world, partition),
			.committed = k->world->partitions[partition].committed};
	return r;
}

static enum result source_timestamp_at(
	void *self, int32_t partition, int64_t offset, int64_t *ret_ms, struct error *err)
{
	struct sim_worker *k = self;
	enum result r = source_fail(k, "timestamp_at", err);

	if (r == RESULT_OK) {
		const struct sim_record *rec = sim_record_at(k->world, partition, offset);

		*ret_ms = rec && offset >= k->world->partitions[partition].low ? rec->timestamp_ms
									       : -1;
	}
	return r;
}

static void fetch_from(struct sim_worker *k, int32_t p, int64_t offset)
{
	struct sim_source *s = &k->source;
	int64_t before = s->position[p];

	sim_trace(k->world, "source: worker %d fetches %d from %" PRId64, k->slot, p, offset);
	s->race[p] = -1;
	/* A record that was on its way when we seeked. */
	if (!s->lied[p] && before > offset && sim_fault(k->world, FAULT_SEEK_RACE))
		s->race[p] = before;
	s->lied[p] = false;
	s->position[p] = offset;
}

static enum result source_assign(
	void *self, const struct position *positions, size_t count, struct error *err)
{
	struct sim_worker *k = self;
	enum result r = source_fail(k, "assign", err);

	if (r != RESULT_OK)
		return r;
	sim_trace(k->world, "source: worker %d fetches exactly these:", k->slot);
	k->source.fetched = k->source.paused = 0;
	for (size_t i = 0; i < count; i++) {
		int32_t p = positions[i].partition;

		if (!(k->source.mine & 1U << p))
			sim_violation(k->world, "worker %d fetches partition %d, not its own",
				k->slot, p);
		k->source.fetched |= 1U << p;
		fetch_from(k, p, positions[i].offset);
	}
	return RESULT_OK;
}

static enum result source_seek(void *self, int32_t partition, int64_t offset, struct error *err)
{
	struct sim_worker *k = self;
	enum result r = source_fail(k, "seek", err);

	if (r == RESULT_OK)
		fetch_from(k, partition, offset);
	return r;
}

static enum result source_pause(void *self, int32_t partition, bool pause, struct error *err)
{
	struct sim_worker *k = self;
	enum result r = source_fail(k, "pause", err);

	if (r != RESULT_OK)
		return r;
	sim_trace(k->world, "source: worker %d %s %d", k->slot, pause ? "pauses" : "resumes",
		partition);
	if (pause)
		k->source.paused |= 1U << partition;
	else
		k->source.paused &= ~(1U << partition);
	return RESULT_OK;
}

static enum result source_commit(void *self, int32_t partition, int64_t offset, struct error *err)
{
	struct sim_worker *k = self;
	enum result r = source_fail(k, "commit offset", err);

	if (r != RESULT_OK)
		return r;
	sim_trace(k->world, "source: worker %d commits %d:%" PRId64, k->slot, partition, offset);
	sim_judge_offset(k, partition, offset);
	if (!sim_group_send(k, partition, offset))
		return fail(err, RESULT_RETRY, 0, "simulated: queue full");
	return RESULT_OK;
}

static enum result source_commit_wait(
	void *self, int32_t partition, int64_t offset, struct error *err)
{
	struct sim_worker *k = self;
	struct sim_world *w = k->world;
	enum result r = source_fail(k, "commit offset and wait", err);

	if (r != RESULT_OK)
		return r;

	const struct sim_member *m = sim_group_member(w, k->source.member);

	sim_judge_offset(k, partition, offset);
	if (!m || k->source.generation != w->generation || sim_fault(w, FAULT_COMMIT_FAILED))
		return fail(err, RESULT_RETRY, 0, "simulated: illegal generation");
	w->partitions[partition].committed = offset;
	w->version++;
	sim_trace(w, "source: worker %d commits %d:%" PRId64 " and waits", k->slot, partition,
		offset);
	if (sim_fault(w, FAULT_COMMIT_LOST))
		return fail(err, RESULT_RETRY, 0, "simulated: no answer to the commit");
	return RESULT_OK;
}

static bool source_owns(void *self, int32_t partition)
{
	struct sim_worker *k = self;

	/* As far as it knows; now and then the heartbeat has told that the member is out. */
	if (!(k->source.mine & 1U << partition))
		return false;
	return sim_group_member(k->world, k->source.member) || sim_below(k->world, 2);
}

static int64_t source_high_watermark(void *self, int32_t partition)
{
	struct sim_worker *k = self;

	return sim_high(k->world, partition);
}

static void source_close(void *self)
{
	struct sim_worker *k = self;

	if (!sim_enter(k, "source close"))
		return;
	give_up(&k->source);
	k->source.subscribed = false;
	sim_group_leave(k->world, k->source.member);
	k->source.member = 0;
}

const struct source_ops sim_source_ops = {
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
