/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim_db.h"

/* The ledger's calls of one statement: the progress row, what became of a COMMIT, replays. */

static bool locked(struct sim_worker *k, int32_t partition)
{
	return k->world->progress[partition].locked != NULL;
}

enum result sim_progress_check(void *self, struct error *err)
{
	return sim_db_enter_alone(self, "ledger check", err);
}

enum result sim_progress_claim(
	void *self, int32_t partition, struct progress *ret, struct error *err)
{
	struct sim_worker *k = self;
	struct sim_world *w = k->world;
	struct sim_progress *p = &w->progress[partition];
	enum result r = sim_db_enter_alone(k, "claim", err);

	if (r != RESULT_OK)
		return r;
	if (locked(k, partition))
		return sim_db_fail(k, RESULT_BUSY, err, "simulated: progress row locked");

	struct progress found = {.exists = p->exists};

	for (int i = 0; i < w->partition_count; i++)
		found.group_exists = found.group_exists || w->progress[i].exists;
	if (p->exists) {
		if (p->owner[0])
			p->unclean++;
		snprintf(p->owner, sizeof(p->owner), "%016" PRIx64 "-%d-%d", sim_random(w), k->slot,
			k->incarnation);
		memcpy(found.owner, p->owner, sizeof(found.owner));
		k->seeks[partition] = p->seeks;
		found.next_offset = p->next;
		found.published_offset = p->published;
		found.stopped = p->stopped;
		snprintf(found.stopped_reason, sizeof(found.stopped_reason), "%s", p->reason);
		found.sought = p->sought;
		found.last_record_at_ms = p->last_record_at_ms;
		found.unclean_claims = p->unclean;
		sim_trace(w,
			"db: worker %d claims partition %d at next %" PRId64 " published %" PRId64
			"%s%s, unclean %d",
			k->slot, partition, p->next, p->published, p->sought ? ", sought" : "",
			p->stopped ? ", stopped" : "", p->unclean);
	}
	r = sim_db_leave_alone(k, err);
	if (r == RESULT_OK)
		*ret = found;
	return r;
}

enum result sim_progress_create(
	void *self, const struct position *starts, size_t count, struct error *err)
{
	struct sim_worker *k = self;
	struct sim_world *w = k->world;
	enum result r = sim_db_enter_alone(k, "create", err);

	if (r != RESULT_OK)
		return r;
	for (size_t i = 0; i < count; i++) {
		struct sim_progress *p = &w->progress[starts[i].partition];
		struct sim_partition *part = &w->partitions[starts[i].partition];

		if (p->exists)
			continue;
		*p = (struct sim_progress){.exists = true,
			.next = starts[i].offset,
			.published = starts[i].offset,
			.last_record_at_ms = -1};
		/* What start = latest leaves out on purpose; anything else below is a loss. */
		if (w->config.start == START_LATEST) {
			for (int n = 0; n < part->total; n++)
				part->records[n].skipped = part->records[n].was_skipped =
					part->records[n].offset < p->next;
		}
	}
	return sim_db_leave_alone(k, err);
}

enum result sim_progress_clear_sought(
	void *self, int32_t partition, const char *owner, struct error *err)
{
	struct sim_worker *k = self;
	struct sim_progress *p = &k->world->progress[partition];
	enum result r = sim_db_enter_alone(k, "clear_sought", err);

	if (r != RESULT_OK)
		return r;
	if (locked(k, partition))
		return sim_db_fail(k, RESULT_BUSY, err, "simulated: progress row locked");
	if (!sim_db_owns(p, owner))
		return sim_db_fail(k, RESULT_FENCED, err, "simulated: fenced");
	p->sought = false;
	return sim_db_leave_alone(k, err);
}

enum result sim_progress_resolve(
	void *self, const struct batch *b, enum resolution *ret, struct error *err)
{
	struct sim_worker *k = self;
	struct sim_progress *p = &k->world->progress[b->partition];
	enum result r = sim_db_enter_alone(k, "resolve", err);

	if (r != RESULT_OK)
		return r;
	if (locked(k, b->partition))
		return sim_db_fail(k, RESULT_BUSY, err, "simulated: the COMMIT is still running");
	if (!sim_db_owns(p, b->owner))
		return sim_db_fail(k, RESULT_FENCED, err, "simulated: fenced");
	if (p->next != b->next && p->next != b->expected)
		return sim_db_fail(k, RESULT_FENCED, err, "simulated: moved by somebody else");
	*ret = p->next == b->next ? RESOLUTION_COMMITTED : RESOLUTION_NOT_COMMITTED;
	return RESULT_OK;
}

static void look_up(struct sim_worker *k, struct batch *b, struct record *r)
{
	struct sim_world *w = k->world;
	struct sim_record *truth = sim_record_at(w, b->partition, r->offset);
	int order = r->refusal == REFUSAL_NONE ? sim_order_index(r->event.order_id) : -1;
	struct payment_row row;

	r->verdict = VERDICT_SILENT;
	if (order >= 0 && w->payments[order].committed) {
		const struct payment_event *a = &r->event, *e = &row.event;

		sim_db_read(w, order, b->arena, &row);
		r->status = row.status;
		r->decided_at_us = row.decided_at_us;
		if (row.partition == b->partition && row.offset == r->offset)
			r->verdict = VERDICT_FRESH;
		else if (bytes_equal(a->payment_key, e->payment_key) &&
			 a->amount_minor == e->amount_minor &&
			 a->ticket_type_id == e->ticket_type_id && a->member_id == e->member_id &&
			 a->quantity == e->quantity)
			r->verdict = VERDICT_DUPLICATE;
		else
			r->verdict = VERDICT_CONFLICT;
		if (r->verdict == VERDICT_CONFLICT)
			r->first_payment_key = row.event.payment_key;
	} else if (r->refusal != REFUSAL_NONE && truth && truth->letter != REFUSAL_NONE) {
		r->verdict = VERDICT_REFUSED;
		r->decided_at_us = truth->parked_at_us;
	}
}

enum result sim_progress_lookup(void *self, struct batch *b, struct error *err)
{
	struct sim_worker *k = self;
	enum result r = sim_db_enter_alone(k, "lookup", err);

	if (r != RESULT_OK)
		return r;
	for (size_t i = 0; i < b->length; i++)
		look_up(k, b, batch_record(b, i));
	return RESULT_OK;
}

static void set_published(struct sim_worker *k, struct sim_progress *p, int64_t published)
{
	if (published > p->published) {
		p->published = published;
		sim_trace(k->world, "db: published_offset of partition %d is %" PRId64,
			(int)(p - k->world->progress), published);
	}
}

enum result sim_progress_publish(void *self, int32_t partition, const char *owner,
	int64_t published_offset, struct error *err)
{
	struct sim_worker *k = self;
	struct sim_progress *p = &k->world->progress[partition];
	enum result r = sim_db_enter_alone(k, "publish_progress", err);

	if (r != RESULT_OK)
		return r;
	if (locked(k, partition))
		return sim_db_fail(k, RESULT_BUSY, err, "simulated: progress row locked");
	if (!sim_db_owns(p, owner))
		return sim_db_fail(k, RESULT_FENCED, err, "simulated: fenced");
	set_published(k, p, published_offset);
	return sim_db_leave_alone(k, err);
}

enum result sim_progress_release(void *self, int32_t partition, const char *owner,
	int64_t published_offset, struct error *err)
{
	struct sim_worker *k = self;
	struct sim_progress *p = &k->world->progress[partition];
	enum result r = sim_db_enter_alone(k, "release", err);

	if (r != RESULT_OK)
		return r;
	if (locked(k, partition))
		return sim_db_fail(k, RESULT_BUSY, err, "simulated: progress row locked");
	if (!sim_db_owns(p, owner))
		return RESULT_OK;
	set_published(k, p, published_offset);
	p->owner[0] = '\0';
	return sim_db_leave_alone(k, err);
}

enum result sim_progress_stop(
	void *self, int32_t partition, const char *owner, const char *reason, struct error *err)
{
	struct sim_worker *k = self;
	struct sim_progress *p = &k->world->progress[partition];
	enum result r = sim_db_enter_alone(k, "stop", err);

	if (r != RESULT_OK)
		return r;
	if (locked(k, partition))
		return sim_db_fail(k, RESULT_BUSY, err, "simulated: progress row locked");
	if (!sim_db_owns(p, owner))
		return sim_db_fail(k, RESULT_FENCED, err, "simulated: fenced");
	p->stopped = true;
	snprintf(p->reason, sizeof(p->reason), "%.60s", reason);
	sim_trace(k->world, "db: partition %d stopped: %s", partition, reason);
	return sim_db_leave_alone(k, err);
}
