/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim.h"

/*
 * The invariants of docs/design.md, and what each record must become, from the truth of the topic
 * alone: nothing here believes a verdict of the core.
 */

/* Every record of [from, to) is in the slice, nothing else, decoded as it was made. */
void sim_judge_batch(struct sim_world *w, const struct batch *b)
{
	const struct sim_partition *p = &w->partitions[b->partition];
	size_t n = 0;

	for (size_t i = 1; i < b->candidate_count; i++) {
		if (bytes_compare(b->records[b->candidates[i - 1].record].event.order_id,
			    b->records[b->candidates[i].record].event.order_id) >= 0)
			sim_violation(w, "candidates are not ascending by order id");
	}
	for (int i = 0; i < p->visible; i++) {
		const struct sim_record *truth = &p->records[i];

		if (truth->offset < b->expected || truth->offset >= b->next)
			continue;
		if (n >= b->length || batch_record(b, n)->offset != truth->offset) {
			sim_violation(w,
				"record %d:%" PRId64 " is missing from the slice [%" PRId64
				", %" PRId64 ")",
				b->partition, truth->offset, b->expected, b->next);
			return;
		}

		const struct record *r = batch_record(b, n++);
		bool rejected = r->refusal == REFUSAL_DB_REJECTED && truth->order >= 0 &&
				w->poisoned[truth->order];

		if (r->refusal != truth->refusal && !rejected)
			sim_violation(w, "record %d:%" PRId64 " was decoded as %s, it is %s",
				b->partition, r->offset, refusal_name(r->refusal),
				refusal_name(truth->refusal));
	}
	if (n != b->length)
		sim_violation(w,
			"slice [%" PRId64 ", %" PRId64 ") of partition %d holds records "
			"that the topic has not",
			b->expected, b->next, b->partition);
}

bool sim_same_content(const struct sim_record *r, const struct sim_payment *p)
{
	return strcmp(r->payment_key, p->payment_key) == 0 && r->amount == p->amount &&
	       r->type == p->type && r->member == p->member && r->quantity == p->quantity;
}

static const struct sim_insert *find_insert(const struct sim_tx *tx, int order)
{
	for (int i = 0; i < tx->insert_count; i++) {
		if (tx->inserts[i].order == order)
			return &tx->inserts[i];
	}
	return NULL;
}

static enum refusal find_letter(const struct sim_tx *tx, int record)
{
	for (int i = 0; i < tx->letter_count; i++) {
		if (tx->letters[i].record == record)
			return tx->letters[i].reason;
	}
	return REFUSAL_NONE;
}

/* The row that this record should have brought: decided with what is left. */
static void judge_fresh(struct sim_world *w, const struct sim_tx *tx, struct sim_record *r,
	int64_t left[SIM_TYPES_MAX], int64_t taken[SIM_TYPES_MAX])
{
	const struct sim_insert *in = find_insert(tx, r->order);
	enum payment_status want = PAYMENT_UNKNOWN_TICKET_TYPE;
	struct sim_payment *row = &w->payments[r->order];

	r->verdict = VERDICT_FRESH;
	row->remaining = -1;
	for (int t = 0; t < w->type_count; t++) {
		if (w->types[t].id != r->type)
			continue;
		want = left[t] >= r->quantity ? PAYMENT_CONFIRMED : PAYMENT_SOLD_OUT;
		if (want == PAYMENT_CONFIRMED) {
			left[t] -= r->quantity;
			taken[t] += r->quantity;
		}
		row->remaining = left[t];
	}
	if (!in || in->row.offset != r->offset || !sim_same_content(r, &in->row))
		sim_violation(w, "record %d:%" PRId64 " did not bring its payment row",
			tx->partition, r->offset);
	else if (in->row.status != want)
		sim_violation(w, "record %d:%" PRId64 " was decided %s, should be %s",
			tx->partition, r->offset, payment_status_name(in->row.status),
			payment_status_name(want));
}

static void judge_record(struct sim_world *w, const struct sim_tx *tx, int index,
	int64_t left[SIM_TYPES_MAX], int64_t taken[SIM_TYPES_MAX])
{
	struct sim_record *r = &w->partitions[tx->partition].records[index];
	const struct sim_payment *row = r->order >= 0 ? &w->payments[r->order] : NULL;
	enum refusal letter = find_letter(tx, index), want = r->refusal;

	if (r->decided && !r->again)
		sim_violation(
			w, "record %d:%" PRId64 " is decided twice", tx->partition, r->offset);
	if (r->refusal == REFUSAL_NONE && w->poisoned[r->order])
		want = REFUSAL_DB_REJECTED;
	if (want != REFUSAL_NONE) {
		r->verdict = VERDICT_REFUSED;
	} else {
		const struct sim_insert *in = find_insert(tx, r->order);

		if (!row->committed && in && in->row.offset < r->offset)
			row = &in->row; /* an earlier record of this transaction has the order */
		else if (!row->committed)
			row = NULL;
		if (!row) {
			judge_fresh(w, tx, r, left, taken);
		} else if (!sim_same_content(r, row)) {
			want = REFUSAL_ORDER_CONFLICT;
			r->verdict = VERDICT_CONFLICT;
		} else {
			r->verdict = row->partition == tx->partition && row->offset == r->offset
					     ? VERDICT_FRESH
					     : VERDICT_DUPLICATE;
		}
	}
	if (letter != want)
		sim_violation(w, "record %d:%" PRId64 " has the letter %s, should be %s",
			tx->partition, r->offset, refusal_name(letter), refusal_name(want));
	r->parked_again = r->parked_again || (letter != REFUSAL_NONE && r->letter != REFUSAL_NONE);
	r->decided = true;
	r->again = r->skipped = false;
}

void sim_judge_commit(struct sim_world *w, const struct sim_tx *tx)
{
	const struct sim_progress *progress = &w->progress[tx->partition];
	struct sim_partition *p = &w->partitions[tx->partition];
	int64_t left[SIM_TYPES_MAX], taken[SIM_TYPES_MAX] = {0};
	int fresh = 0;

	if (tx->expected != progress->next || progress->stopped)
		sim_violation(w, "partition %d moves from %" PRId64 ", it stands at %" PRId64,
			tx->partition, tx->expected, progress->next);
	for (int t = 0; t < w->type_count; t++)
		left[t] = w->types[t].remaining;
	for (int i = 0; i < p->visible; i++) {
		if (p->records[i].offset < tx->expected || p->records[i].offset >= tx->next)
			continue;
		judge_record(w, tx, i, left, taken);
		fresh += p->records[i].verdict == VERDICT_FRESH &&
			 !w->payments[p->records[i].order].committed;
	}
	if (fresh != tx->insert_count)
		sim_violation(w, "%d rows were inserted, should be %d", tx->insert_count, fresh);
	for (int t = 0; t < w->type_count; t++) {
		if (taken[t] != tx->taken[t])
			sim_violation(w,
				"%" PRId64 " of ticket type %" PRId64 " were taken, should be "
				"%" PRId64,
				tx->taken[t], w->types[t].id, taken[t]);
	}
}

/* ---- what readers see --------------------------------------------------------------------- */

static bool due(const struct sim_record *r)
{
	switch (r->verdict) {
	case VERDICT_FRESH:
	case VERDICT_DUPLICATE:
	case VERDICT_CONFLICT:
		return true;
	case VERDICT_REFUSED:
		return r->refusal == REFUSAL_BAD_FIELD && r->order >= 0;
	case VERDICT_NONE:
	case VERDICT_SILENT:
		return false;
	}
	return false;
}

static bool all_out(const struct sim_world *w, int32_t partition, int64_t below)
{
	const struct sim_partition *p = &w->partitions[partition];

	for (int i = 0; i < p->visible; i++) {
		const struct sim_record *r = &p->records[i];

		if (r->offset >= below || r->skipped || r->unpublished_ok)
			continue;
		if (!r->decided || (due(r) && !r->published))
			return false;
	}
	return true;
}

void sim_judge_offset(const struct sim_worker *k, int32_t partition, int64_t offset)
{
	struct sim_world *w = k->world;

	/* What an operator's seek has made of an offset, a worker of before it cannot know. */
	if (k->seeks[partition] == w->progress[partition].seeks && !all_out(w, partition, offset))
		sim_violation(w,
			"offset %" PRId64 " of partition %d is committed to Kafka, but an "
			"outcome below it is not published",
			offset, partition);
}

static void scan_partition(struct sim_world *w, int32_t partition)
{
	const struct sim_progress *g = &w->progress[partition];
	const struct sim_partition *p = &w->partitions[partition];

	if (g->exists && g->published > g->next)
		sim_violation(w,
			"published_offset %" PRId64 " of partition %d is above next_offset "
			"%" PRId64,
			g->published, partition, g->next);
	for (int i = 0; i < p->total; i++) {
		const struct sim_record *r = &p->records[i];
		bool below = g->exists && r->offset < g->next;

		if (below && !r->decided && !r->skipped)
			sim_violation(w,
				"record %d:%" PRId64 " is below next_offset and not decided",
				partition, r->offset);
		if (!below && r->decided && !r->again)
			sim_violation(w,
				"record %d:%" PRId64 " is not below next_offset, and decided",
				partition, r->offset);
		if ((r->letter != REFUSAL_NONE) !=
			(r->decided &&
				(r->verdict == VERDICT_REFUSED || r->verdict == VERDICT_CONFLICT)))
			sim_violation(w, "record %d:%" PRId64 ": dead letter %s", partition,
				r->offset, refusal_name(r->letter));
	}
	if (g->exists && !all_out(w, partition, g->published))
		sim_violation(w,
			"an outcome below published_offset %" PRId64 " of partition %d is not "
			"published",
			g->published, partition);
}

void sim_judge_scan(struct sim_world *w)
{
	int64_t sold[SIM_TYPES_MAX] = {0};

	for (int o = 0; o < w->order_count; o++) {
		const struct sim_payment *now = &w->payments[o];

		if (!now->committed)
			continue;
		if (!w->seen[o].committed)
			memcpy(&w->seen[o], now, sizeof(*now));
		else if (memcmp(&w->seen[o], now, sizeof(*now)) != 0)
			sim_violation(w, "the payment row of order %d has changed", o);
		if (now->status == PAYMENT_CONFIRMED && now->type <= w->type_count)
			sold[now->type - 1] += now->quantity;
	}
	for (int t = 0; t < w->type_count; t++) {
		const struct sim_type *type = &w->types[t];

		if (type->remaining != type->total - sold[t] || type->remaining < 0)
			sim_violation(w,
				"ticket type %" PRId64 ": %" PRId64 " of %" PRId64
				" remain, %" PRId64 " are sold",
				type->id, type->remaining, type->total, sold[t]);
	}
	for (int32_t p = 0; p < w->partition_count; p++)
		scan_partition(w, p);
}

bool sim_judge_done(const struct sim_world *w)
{
	for (int32_t i = 0; i < w->partition_count; i++) {
		const struct sim_progress *g = &w->progress[i];
		const struct sim_partition *p = &w->partitions[i];

		if (!g->exists || g->stopped || g->sought || g->published != g->next)
			return false;
		if (p->visible < p->total || g->next < p->records[p->total - 1].offset + 1)
			return false;
		if (!all_out(w, i, g->next))
			return false;
	}
	return true;
}

bool sim_judge_committed(const struct sim_world *w)
{
	for (int32_t i = 0; i < w->partition_count; i++) {
		if (w->partitions[i].committed != w->progress[i].published)
			return false;
	}
	return true;
}
