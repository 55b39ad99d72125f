/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "sim_db.h"

/* The calls of a transaction, and the table of the ledger. */

/* The open transaction, or NULL when there is none any more. */
static struct sim_tx *current(struct sim_worker *k, const struct batch *b)
{
	struct sim_tx *tx = k->tx;

	if (!tx)
		sim_violation(
			k->world, "worker %d goes on with a transaction it has not begun", k->slot);
	else if (tx->open && tx->slot == k->slot &&
		 (tx->partition != b->partition || tx->next != b->next))
		sim_violation(k->world, "worker %d goes on with another slice than it began with",
			k->slot);
	if (!tx || !tx->open || tx->slot != k->slot)
		return NULL;
	return tx;
}

static int insert_rows(struct sim_world *w, struct sim_tx *tx, struct batch *b)
{
	for (size_t i = 0; i < b->candidate_count; i++) {
		struct candidate *c = &b->candidates[i];
		const struct record *r = &b->records[c->record];
		int order = sim_order_index(r->event.order_id);
		struct sim_payment *row = order >= 0 ? &w->payments[order] : NULL;

		if (!row) {
			sim_violation(w, "a row is inserted for an order that nobody made");
			return RESULT_REJECT;
		}
		if (w->poisoned[order])
			return RESULT_REJECT;
		if (row->pending)
			return RESULT_BUSY;
		if (row->committed)
			continue;

		struct sim_insert *in = &tx->inserts[tx->insert_count++];

		in->order = order;
		in->row = (struct sim_payment){
			.amount = r->event.amount_minor,
			.type = r->event.ticket_type_id,
			.member = r->event.member_id,
			.quantity = r->event.quantity,
			.partition = b->partition,
			.offset = r->offset,
			.status = r->predicted,
			.decided_at_us = tx->decided_at_us,
		};
		snprintf(in->row.payment_key, sizeof(in->row.payment_key), "%.*s",
			(int)r->event.payment_key.length, r->event.payment_key.data);
		row->pending = tx;
	}
	return RESULT_OK;
}

static void add_letter(
	struct sim_world *w, struct sim_tx *tx, const struct record *r, enum refusal reason)
{
	struct sim_record *to = sim_record_at(w, tx->partition, r->offset);

	if (to)
		tx->letters[tx->letter_count++] = (struct sim_letter){
			.record = (int)(to - w->partitions[tx->partition].records),
			.reason = reason};
}

static enum result ledger_begin(void *self, struct batch *b, struct error *err)
{
	struct sim_worker *k = self;
	struct sim_world *w = k->world;
	struct sim_progress *p = &w->progress[b->partition];
	enum result r = sim_db_enter_alone(k, "begin", err);

	if (r != RESULT_OK)
		return r;
	if (p->locked)
		return sim_db_fail(k, RESULT_BUSY, err, "simulated: progress row locked");
	if (!p->exists || !sim_db_owns(p, b->owner) || p->next != b->expected || p->stopped) {
		w->fenced++;
		return sim_db_fail(k, RESULT_FENCED, err, "simulated: fenced");
	}
	sim_judge_batch(w, b);
	k->tx = sim_db_begin(k, b);
	if (!k->tx)
		return sim_db_fail(k, RESULT_RETRY, err, "simulated: too many connections");
	p->locked = k->tx;
	r = insert_rows(w, k->tx, b);
	if (r != RESULT_OK) { /* BUSY too: what has not begun holds nothing */
		sim_ledger_disconnect(k);
		return sim_db_fail(k, r, err, "simulated: the insert failed");
	}

	for (size_t i = 0; i < b->candidate_count; i++) {
		struct candidate *c = &b->candidates[i];
		int order = sim_order_index(b->records[c->record].event.order_id);

		c->exists = w->payments[order].committed;
		if (c->exists)
			sim_db_read(w, order, b->arena, batch_row(b, c));
	}
	for (size_t i = 0; i < b->length; i++) {
		if (batch_record(b, i)->refusal != REFUSAL_NONE)
			add_letter(w, k->tx, batch_record(b, i), batch_record(b, i)->refusal);
	}
	b->decided_at_us = k->tx->decided_at_us;
	return RESULT_OK;
}

static enum result ledger_lock_stock(void *self, struct batch *b, struct error *err)
{
	struct sim_worker *k = self;
	struct sim_world *w = k->world;
	enum result r = sim_db_enter(k, "lock_stock", err);

	if (r != RESULT_OK)
		return r;

	struct sim_tx *tx = current(k, b);

	if (!tx)
		return sim_db_fail(k, RESULT_RETRY, err, "simulated: the transaction is gone");
	for (size_t i = 0; i < b->stock_count; i++) {
		struct stock *s = &b->stock[i];

		if (i > 0 && b->stock[i - 1].id >= s->id)
			sim_violation(w, "ticket types are not ascending");
		s->known = false;
		s->taken = 0;
		for (int t = 0; t < w->type_count; t++) {
			if (w->types[t].id != s->id)
				continue;
			if (w->types[t].locked && w->types[t].locked != tx)
				return sim_db_fail(
					k, RESULT_BUSY, err, "simulated: stock row locked");
			w->types[t].locked = tx;
			s->known = true;
			s->remaining = w->types[t].remaining;
		}
	}
	return RESULT_OK;
}

static enum result ledger_write(void *self, struct batch *b, struct error *err)
{
	struct sim_worker *k = self;
	struct sim_world *w = k->world;
	enum result r = sim_db_enter(k, "write", err);

	if (r != RESULT_OK)
		return r;

	struct sim_tx *tx = current(k, b);

	if (!tx)
		return sim_db_fail(k, RESULT_RETRY, err, "simulated: the transaction is gone");
	for (size_t i = 0; i < b->stock_count; i++) {
		for (int t = 0; t < w->type_count; t++) {
			if (w->types[t].id == b->stock[i].id)
				tx->taken[t] = b->stock[i].taken;
		}
	}
	for (size_t i = 0; i < b->length; i++) {
		const struct record *rec = batch_record(b, i);

		if (rec->verdict == VERDICT_CONFLICT)
			add_letter(w, tx, rec, REFUSAL_ORDER_CONFLICT);
		for (int n = 0; n < tx->insert_count; n++) {
			if (tx->inserts[n].row.offset == rec->offset)
				tx->inserts[n].row.status = rec->status;
		}
	}
	return RESULT_OK;
}

static enum result ledger_commit(void *self, struct batch *b, struct error *err)
{
	struct sim_worker *k = self;
	struct sim_world *w = k->world;
	enum result r = sim_db_enter(k, "commit", err);

	if (r != RESULT_OK)
		return r;

	struct sim_tx *tx = current(k, b);

	if (!tx)
		return sim_db_fail(k, RESULT_RETRY, err, "simulated: the transaction is gone");
	k->tx = NULL;
	if (k->doomed || sim_fault(w, FAULT_IN_DOUBT)) {
		sim_db_commit_unheard(w, tx);
		return fail(err, RESULT_IN_DOUBT, 0, "simulated: no answer to COMMIT");
	}
	sim_db_apply(w, tx);
	return RESULT_OK;
}

static void ledger_abort(void *self)
{
	struct sim_worker *k = self;

	if (sim_enter(k, "abort"))
		sim_ledger_disconnect(k);
}

const struct ledger_ops sim_ledger_ops = {
	.check = sim_progress_check,
	.claim = sim_progress_claim,
	.create = sim_progress_create,
	.clear_sought = sim_progress_clear_sought,
	.begin = ledger_begin,
	.lock_stock = ledger_lock_stock,
	.write = ledger_write,
	.commit = ledger_commit,
	.abort = ledger_abort,
	.resolve = sim_progress_resolve,
	.lookup = sim_progress_lookup,
	.publish_progress = sim_progress_publish,
	.release = sim_progress_release,
	.stop = sim_progress_stop,
};
