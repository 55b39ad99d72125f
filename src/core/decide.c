/* SPDX-License-Identifier: Apache-2.0 */
#include "core/decide.h"

#include <assert.h>

#include "core/payment_event.h"

static size_t hint_slot(int64_t id)
{
	return (uint64_t)id % STOCK_HINTS;
}

static const struct candidate *candidate_of(const struct batch *b, const struct record *r)
{
	return &b->candidates[r->candidate];
}

/* Is this record the one whose row this transaction inserted? */
static bool inserts(const struct batch *b, const struct record *r)
{
	const struct candidate *c = candidate_of(b, r);

	return r->refusal == REFUSAL_NONE && !c->exists && &b->records[c->record] == r;
}

void decide_predict(struct batch *b, const struct stock_hints *hints)
{
	struct stock_hints left = *hints; /* counted down, so that a sell-out within it is met */

	for (size_t i = 0; i < b->length; i++) {
		struct record *r = batch_record(b, i);
		int64_t id = r->event.ticket_type_id,
			*remaining = &left.slot[hint_slot(id)].remaining;

		if (r->refusal != REFUSAL_NONE || left.slot[hint_slot(id)].id != id)
			continue;
		if (*remaining < 0)
			r->predicted = PAYMENT_UNKNOWN_TICKET_TYPE;
		else if (*remaining < r->event.quantity)
			r->predicted = PAYMENT_SOLD_OUT;
		else
			*remaining -= r->event.quantity;
	}
}

void decide_against_row(const struct batch *b, struct record *r, const struct payment_row *row)
{
	r->status = r->predicted = row->status;
	r->decided_at_us = row->decided_at_us;
	if (!payment_event_same_content(&r->event, &row->event)) {
		r->verdict = VERDICT_CONFLICT;
		r->first_payment_key = row->event.payment_key;
	} else if (row->partition == b->partition && row->offset == r->offset) {
		r->verdict = VERDICT_FRESH;
	} else {
		r->verdict = VERDICT_DUPLICATE;
	}
}

/* The order id was taken by an earlier record of this slice; its status comes later. */
static void classify_against_first(
	const struct batch *b, struct record *r, const struct record *first)
{
	r->decided_at_us = b->decided_at_us;
	if (!payment_event_same_content(&r->event, &first->event)) {
		r->verdict = VERDICT_CONFLICT;
		r->first_payment_key = first->event.payment_key;
	} else {
		r->verdict = VERDICT_DUPLICATE;
	}
}

void decide_classify(struct batch *b)
{
	for (size_t i = 0; i < b->length; i++) {
		struct record *r = batch_record(b, i);

		if (r->refusal != REFUSAL_NONE) {
			r->verdict = VERDICT_REFUSED;
			if (r->decided_at_us == 0) /* else the letter's, which was there already */
				r->decided_at_us = b->decided_at_us;
			continue;
		}

		const struct candidate *c = candidate_of(b, r);

		if (c->exists) {
			decide_against_row(b, r, batch_row(b, c));
		} else if (inserts(b, r)) {
			r->verdict = VERDICT_FRESH;
			r->decided_at_us = b->decided_at_us;
		} else {
			classify_against_first(b, r, &b->records[c->record]);
		}
	}
}

static void allocate(struct batch *b, struct record *r)
{
	struct stock *s = batch_find_stock(b, r->event.ticket_type_id);

	assert(s); /* batch_stock() collected the type of every inserted record */
	if (!s->known) {
		r->status = PAYMENT_UNKNOWN_TICKET_TYPE;
		return;
	}
	if (s->remaining >= r->event.quantity) {
		s->remaining -= r->event.quantity;
		s->taken += r->event.quantity;
		r->status = PAYMENT_CONFIRMED;
	} else {
		r->status = PAYMENT_SOLD_OUT;
	}
	r->remaining = s->remaining;
}

void decide_allocate(struct batch *b, struct stock_hints *hints)
{
	/* In offset order: the first record of an order id comes before its duplicates. */
	for (size_t i = 0; i < b->length; i++) {
		struct record *r = batch_record(b, i);

		if (r->refusal != REFUSAL_NONE)
			continue;
		if (inserts(b, r))
			allocate(b, r);
		else if (!candidate_of(b, r)->exists)
			r->status = b->records[candidate_of(b, r)->record].status;
	}
	for (size_t i = 0; i < b->stock_count; i++) {
		const struct stock *s = &b->stock[i];
		size_t slot = hint_slot(s->id);

		hints->slot[slot].id = s->id;
		hints->slot[slot].remaining = s->known ? s->remaining : -1;
	}
}

struct tally decide_tally(const struct batch *b)
{
	struct tally t = {0};

	for (size_t i = 0; i < b->length; i++) {
		const struct record *r = batch_record(b, i);

		switch (r->verdict) {
		case VERDICT_FRESH:
			t.fresh++;
			t.unknown_type += r->status == PAYMENT_UNKNOWN_TICKET_TYPE;
			break;
		case VERDICT_DUPLICATE:
			t.duplicates++;
			break;
		case VERDICT_CONFLICT:
			t.conflicts++;
			break;
		case VERDICT_REFUSED:
			t.refused++;
			break;
		case VERDICT_NONE:
		case VERDICT_SILENT:
			break;
		}
	}
	return t;
}
