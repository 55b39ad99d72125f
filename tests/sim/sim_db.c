/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim_db.h"

/*
 * PostgreSQL as far as the protocol can see it: one open transaction a connection, row locks,
 * nothing uncommitted is visible, a commit is all or nothing, and a COMMIT may be on its way
 * without anybody waiting for it. Who would wait for another's lock is told BUSY: begin() has then
 * begun nothing, an open transaction stays open and holds what it has until its deadline.
 *
 * SIM_NO_OWNER_CHECK leaves the owner out of every comparison: a simulator that does not notice
 * this proves nothing.
 */

bool sim_db_owns(const struct sim_progress *p, const char *owner)
{
#ifdef SIM_NO_OWNER_CHECK
	(void)p;
	(void)owner;
	return true;
#else
	return p->owner[0] && strcmp(p->owner, owner) == 0;
#endif
}

/* ---- transactions ------------------------------------------------------------------------- */

static void unlock_all(struct sim_world *w, struct sim_tx *tx)
{
	for (int p = 0; p < SIM_PARTITIONS_MAX; p++) {
		if (w->progress[p].locked == tx)
			w->progress[p].locked = NULL;
	}
	for (int t = 0; t < SIM_TYPES_MAX; t++) {
		if (w->types[t].locked == tx)
			w->types[t].locked = NULL;
	}
	for (int i = 0; i < tx->insert_count; i++)
		w->payments[tx->inserts[i].order].pending = NULL;
	tx->open = false;
}

static void roll_back(struct sim_world *w, struct sim_tx *tx)
{
	sim_trace(w, "db: transaction of partition %d [%" PRId64 ", %" PRId64 ") rolled back",
		tx->partition, tx->expected, tx->next);
	unlock_all(w, tx);
}

void sim_db_apply(struct sim_world *w, struct sim_tx *tx)
{
	struct sim_progress *p = &w->progress[tx->partition];

	sim_judge_commit(w, tx);
	for (int i = 0; i < tx->insert_count; i++) {
		struct sim_insert *in = &tx->inserts[i];
		int64_t remaining = w->payments[in->order].remaining; /* the judge's own */

		w->payments[in->order] = in->row;
		w->payments[in->order].committed = true;
		w->payments[in->order].remaining = remaining;
	}
	for (int i = 0; i < tx->letter_count; i++) {
		struct sim_record *r = &w->partitions[tx->partition].records[tx->letters[i].record];

		if (r->letter == REFUSAL_NONE) { /* the same key again: nothing to do */
			r->letter = tx->letters[i].reason;
			r->parked_at_us = tx->decided_at_us;
		}
	}
	for (int t = 0; t < w->type_count; t++)
		w->types[t].remaining -= tx->taken[t];
	p->next = tx->next;
	if (tx->published > p->published)
		p->published = tx->published;
	p->last_record_at_ms = tx->last_record_at_ms;
	p->unclean = 0;
	w->version++;
	sim_trace(w, "db: COMMIT of partition %d [%" PRId64 ", %" PRId64 ") published %" PRId64,
		tx->partition, tx->expected, tx->next, p->published);
	unlock_all(w, tx);
}

void sim_ledger_tick(struct sim_world *w)
{
	for (int i = 0; i < SIM_TX_MAX; i++) {
		struct sim_tx *tx = &w->txs[i];

		if (!tx->open)
			continue;
		if (tx->committing && w->now_us >= tx->lands_us) {
			sim_trace(w, "db: a COMMIT lands");
			if (tx->applies)
				sim_db_apply(w, tx);
			else
				roll_back(w, tx);
		} else if (!tx->committing && w->now_us >= tx->deadline_us) {
			/* transaction and idle timeouts: a stopped client holds no lock for ever */
			roll_back(w, tx);
		}
	}
}

void sim_db_commit_unheard(struct sim_world *w, struct sim_tx *tx)
{
	int64_t dice = sim_below(w, 4);

	tx->committing = true;
	tx->applies = sim_below(w, 2);
	tx->lands_us = w->now_us + (dice ? sim_below(w, 3000000) : 0);
	w->doubts++;
	sim_trace(w, "db: COMMIT unheard, %s in %" PRId64 " us", tx->applies ? "lands" : "dies",
		tx->lands_us - w->now_us);
	if (!dice)
		sim_ledger_tick(w);
}

void sim_ledger_disconnect(struct sim_worker *k)
{
	if (k->tx && k->tx->open && !k->tx->committing)
		roll_back(k->world, k->tx);
	k->tx = NULL;
}

struct sim_tx *sim_db_begin(struct sim_worker *k, const struct batch *b)
{
	struct sim_world *w = k->world;

	for (int i = 0; i < SIM_TX_MAX; i++) {
		struct sim_tx *tx = &w->txs[i];

		if (tx->open)
			continue;
		*tx = (struct sim_tx){
			.open = true,
			.slot = k->slot,
			.partition = b->partition,
			.expected = b->expected,
			.next = b->next,
			.published = b->published,
			.decided_at_us = ++w->wall_us,
			.last_record_at_ms = b->last_record_at_ms,
			.deadline_us = w->now_us + INT64_C(1000) * SIM_TRANSACTION_MS,
		};
		return tx;
	}
	return NULL;
}

void sim_db_read(struct sim_world *w, int order, struct arena *arena, struct payment_row *ret)
{
	const struct sim_payment *p = &w->payments[order];
	char name[32];
	bool ok;

	sim_order_name(order, name);
	*ret = (struct payment_row){
		.event = {.amount_minor = p->amount,
			.ticket_type_id = p->type,
			.member_id = p->member,
			.quantity = p->quantity,
			.fields = EVENT_ALL},
		.status = p->status,
		.partition = p->partition,
		.offset = p->offset,
		.decided_at_us = p->decided_at_us,
	};
	ok = arena_copy(arena, (struct bytes){name, strlen(name)}, &ret->event.order_id);
	ok = ok && arena_copy(arena, (struct bytes){p->payment_key, strlen(p->payment_key)},
			   &ret->event.payment_key);
	if (!ok)
		sim_violation(w, "no memory");
}

/* ---- calls -------------------------------------------------------------------------------- */

enum result sim_db_fail(struct sim_worker *k, enum result r, struct error *err, const char *text)
{
	sim_trace(k->world, "db: worker %d is told %s: %s", k->slot, result_name(r), text);
	if (r != RESULT_BUSY) /* who waits keeps what he has; the same call is made again */
		sim_ledger_disconnect(k);
	fail(err, r, 0, "%s", text);
	/* Some failures are answers of the database, some are lost connections. */
	if (err && r != RESULT_FENCED && sim_below(k->world, 2))
		memcpy(err->sqlstate, r == RESULT_REJECT ? "22021" : "55P03", 6);
	return r;
}

enum result sim_db_enter(struct sim_worker *k, const char *call, struct error *err)
{
	if (!sim_enter(k, call))
		return fail(err, RESULT_RETRY, 0, "dead");
	if (sim_fault(k->world, FAULT_DB_RETRY))
		return sim_db_fail(k, RESULT_RETRY, err, "simulated: connection lost");
	if (sim_fault(k->world, FAULT_DB_BUSY))
		return sim_db_fail(k, RESULT_BUSY, err, "simulated: some session holds a row");
	return RESULT_OK;
}

enum result sim_db_enter_alone(struct sim_worker *k, const char *call, struct error *err)
{
	if (!k->doomed && k->tx && k->tx->open && !k->tx->committing && k->tx->slot == k->slot)
		sim_violation(k->world, "worker %d calls %s inside a transaction", k->slot, call);
	k->tx = NULL;
	return sim_db_enter(k, call, err);
}

enum result sim_db_leave_alone(struct sim_worker *k, struct error *err)
{
	k->world->version++;
	if (sim_fault(k->world, FAULT_DB_ANSWER_LOST))
		return sim_db_fail(k, RESULT_RETRY, err, "simulated: answer lost");
	return RESULT_OK;
}
