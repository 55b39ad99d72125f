/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/payment_event.h"

/* The database of the fake world: what is committed, and at most one open transaction. */

static struct bytes bytes_of(const char *s)
{
	return (struct bytes){.data = s, .length = strlen(s)};
}

void fake_type(struct fake_world *w, int64_t id, int64_t remaining)
{
	for (int i = 0; i < w->type_count; i++) {
		if (w->types[i].id == id) {
			w->types[i].remaining = remaining;
			return;
		}
	}
	if (w->type_count == FAKE_TYPES)
		fake_abort(w, "too many ticket types");
	w->types[w->type_count++] = (struct stock){.id = id, .known = true, .remaining = remaining};
}

const struct fake_payment *fake_payment(const struct fake_world *w, const char *order_id)
{
	for (int i = 0; i < w->payment_count; i++) {
		if (!strcmp(w->payments[i].order_id, order_id))
			return &w->payments[i];
	}
	return NULL;
}

static const struct fake_payment *payment_of(const struct fake_world *w, struct bytes order_id)
{
	for (int i = 0; i < w->payment_count; i++) {
		if (bytes_equal(bytes_of(w->payments[i].order_id), order_id))
			return &w->payments[i];
	}
	return NULL;
}

static struct payment_row row_of(const struct fake_payment *p)
{
	return (struct payment_row){
		.event = {.order_id = bytes_of(p->order_id),
			.payment_key = bytes_of(p->payment_key),
			.amount_minor = p->amount_minor,
			.ticket_type_id = p->ticket_type_id,
			.member_id = p->member_id,
			.quantity = p->quantity,
			.fields = EVENT_ALL},
		.status = p->status,
		.partition = p->partition,
		.offset = p->offset,
		.decided_at_us = 1700000000000000 + p->offset,
	};
}

static struct fake_partition *ours(struct fake_world *w, int32_t partition, const char *owner)
{
	struct fake_partition *p = &w->partitions[partition];

	return p->row.exists && !p->released && !strcmp(p->row.owner, owner) ? p : NULL;
}

static enum result not_ours(struct error *err)
{
	return fail(err, RESULT_FENCED, 0, "another owner");
}

/* ---- claim --------------------------------------------------------------------------------- */

static enum result ledger_check(void *self, struct error *err)
{
	fake_word(self, "check");
	return fake_answered(self, CALL_LEDGER_CHECK, err, NULL);
}

static enum result ledger_claim(
	void *self, int32_t partition, struct progress *ret, struct error *err)
{
	struct fake_world *w = self;
	struct fake_partition *p = &w->partitions[partition];

	enum result r = fake_called(w, CALL_CLAIM, err, "claim:%" PRId32, partition);

	if (r != RESULT_OK)
		return r;
	for (int32_t i = 0; i < w->partition_count; i++)
		ret->group_exists |= w->partitions[i].row.exists;
	if (!p->row.exists)
		return RESULT_OK;
	if (!p->row.stopped) {
		snprintf(p->row.owner, sizeof(p->row.owner), "owner-%d", ++w->owners);
		if (!p->released)
			p->row.unclean_claims++;
		p->released = false;
	}
	p->row.group_exists = true;
	*ret = p->row;
	return RESULT_OK;
}

static enum result ledger_create(
	void *self, const struct position *starts, size_t count, struct error *err)
{
	struct fake_world *w = self;
	char list[200] = "";

	for (size_t i = 0; i < count; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list),
			i ? ",%" PRId32 "@%" PRId64 : "%" PRId32 "@%" PRId64, starts[i].partition,
			starts[i].offset);
	enum result r = fake_called(w, CALL_CREATE, err, "create:%s", list);

	for (size_t i = 0; r == RESULT_OK && i < count; i++) {
		struct fake_partition *p = &w->partitions[starts[i].partition];

		if (p->row.exists)
			continue;
		p->row = (struct progress){.exists = true,
			.next_offset = starts[i].offset,
			.published_offset = starts[i].offset,
			.last_record_at_ms = -1};
		p->released = true;
	}
	return r;
}

static enum result ledger_clear_sought(
	void *self, int32_t partition, const char *owner, struct error *err)
{
	struct fake_world *w = self;
	struct fake_partition *p = ours(w, partition, owner);

	enum result r = fake_called(w, CALL_CLEAR_SOUGHT, err, "clear_sought:%" PRId32, partition);

	if (r != RESULT_OK)
		return r;
	if (!p)
		return not_ours(err);
	p->row.sought = false;
	return RESULT_OK;
}

/* ---- transaction --------------------------------------------------------------------------- */

static void read_stock(const struct fake_world *w, struct batch *b)
{
	for (size_t i = 0; i < b->stock_count; i++) {
		for (int k = 0; k < w->type_count; k++) {
			if (w->types[k].id == b->stock[i].id) {
				b->stock[i].known = true;
				b->stock[i].remaining = w->types[k].remaining;
			}
		}
	}
}

static enum result ledger_begin(void *self, struct batch *b, struct error *err)
{
	struct fake_world *w = self;

	enum result r = fake_called(w, CALL_BEGIN, err, "begin:%" PRId32 "@%" PRId64 "-%" PRId64,
		b->partition, batch_record(b, 0)->offset, b->next - 1);
	struct fake_partition *p = ours(w, b->partition, b->owner);

	if (r != RESULT_OK)
		return r;
	if (!p || p->row.stopped || p->row.next_offset != b->expected)
		return not_ours(err);
	if (w->in_transaction)
		fake_abort(w, "begin() inside a transaction");
	for (size_t i = 0; i < b->candidate_count; i++) {
		struct candidate *c = &b->candidates[i];
		struct bytes id = b->records[c->record].event.order_id;
		const struct fake_payment *row = payment_of(w, id);

		if (w->refused_order[0] && bytes_equal(id, bytes_of(w->refused_order))) {
			fail(err, RESULT_REJECT, 0, "value out of range");
			snprintf(err->sqlstate, sizeof(err->sqlstate), "22003");
			return RESULT_REJECT;
		}
		c->exists = row;
		if (row)
			*batch_row(b, c) = row_of(row);
	}
	b->decided_at_us = 1700000000000000;
	b->stock_read = b->stock_early && w->reads_early;
	if (b->stock_read)
		read_stock(w, b);
	w->in_transaction = true;
	return RESULT_OK;
}

static enum result ledger_lock_stock(void *self, struct batch *b, struct error *err)
{
	struct fake_world *w = self;

	enum result r = fake_called(w, CALL_LOCK_STOCK, err, "lock_stock");

	if (r == RESULT_OK)
		read_stock(w, b);
	return r;
}

static enum result ledger_write(void *self, struct batch *b, struct error *err)
{
	(void)b;
	fake_word(self, "write");
	return fake_answered(self, CALL_WRITE, err, NULL);
}

static void add_payment(struct fake_world *w, const struct batch *b, const struct record *r)
{
	if (w->payment_count == FAKE_PAYMENTS)
		fake_abort(w, "too many payments");

	struct fake_payment *p = &w->payments[w->payment_count++];
	const struct payment_event *e = &r->event;

	*p = (struct fake_payment){.amount_minor = e->amount_minor,
		.ticket_type_id = e->ticket_type_id,
		.member_id = e->member_id,
		.quantity = e->quantity,
		.partition = b->partition,
		.offset = r->offset,
		.status = r->status};
	snprintf(p->order_id, sizeof(p->order_id), "%.*s", (int)e->order_id.length,
		e->order_id.data);
	snprintf(p->payment_key, sizeof(p->payment_key), "%.*s", (int)e->payment_key.length,
		e->payment_key.data);
}

static void add_letter(
	struct fake_world *w, const struct batch *b, const struct record *r, enum refusal reason)
{
	struct fake_letter *l = &w->letters[w->letter_count++];

	*l = (struct fake_letter){.partition = b->partition, .offset = r->offset, .reason = reason};
	snprintf(l->detail, sizeof(l->detail), "%s", r->detail);
}

static void apply(struct fake_world *w, const struct batch *b)
{
	struct fake_partition *p = &w->partitions[b->partition];

	for (size_t i = 0; i < b->length; i++) {
		const struct record *r = batch_record(b, i);

		if (r->verdict == VERDICT_REFUSED)
			add_letter(w, b, r, r->refusal);
		else if (r->verdict == VERDICT_CONFLICT)
			add_letter(w, b, r, REFUSAL_ORDER_CONFLICT);
		else if (r->verdict == VERDICT_FRESH && !payment_of(w, r->event.order_id))
			add_payment(w, b, r);
	}
	for (size_t i = 0; i < b->stock_count; i++) {
		for (int k = 0; k < w->type_count; k++) {
			if (w->types[k].id == b->stock[i].id)
				w->types[k].remaining -= b->stock[i].taken;
		}
	}
	p->row.next_offset = b->next;
	p->row.last_record_at_ms = b->last_record_at_ms;
	p->row.unclean_claims = 0;
	if (b->published > p->row.published_offset)
		p->row.published_offset = b->published;
}

static enum result ledger_commit(void *self, struct batch *b, struct error *err)
{
	struct fake_world *w = self;
	bool took_effect = false;

	fake_word(w, "COMMIT");
	if (!w->in_transaction)
		fake_abort(w, "COMMIT outside of a transaction");

	enum result r = fake_answered(w, CALL_COMMIT, err, &took_effect);

	if (r == RESULT_OK || took_effect)
		apply(w, b);
	w->in_transaction = false;
	return r;
}

static void ledger_abort(void *self)
{
	struct fake_world *w = self;

	fake_word(w, "abort");
	w->in_transaction = false;
}

static enum result ledger_resolve(
	void *self, const struct batch *b, enum resolution *ret, struct error *err)
{
	struct fake_world *w = self;

	enum result r = fake_called(w, CALL_RESOLVE, err, "resolve");
	struct fake_partition *p = ours(w, b->partition, b->owner);

	if (r != RESULT_OK)
		return r;
	if (!p)
		return not_ours(err);
	*ret = p->row.next_offset == b->next ? RESOLUTION_COMMITTED : RESOLUTION_NOT_COMMITTED;
	return RESULT_OK;
}

/* ---- replay, progress ---------------------------------------------------------------------- */

static bool has_letter(const struct fake_world *w, int32_t partition, int64_t offset)
{
	for (int i = 0; i < w->letter_count; i++) {
		if (w->letters[i].partition == partition && w->letters[i].offset == offset)
			return true;
	}
	return false;
}

static void look_up(struct fake_world *w, const struct batch *b, struct record *r)
{
	const struct fake_payment *p =
		r->refusal == REFUSAL_NONE ? payment_of(w, r->event.order_id) : NULL;

	r->verdict = VERDICT_SILENT;
	if (r->refusal != REFUSAL_NONE && has_letter(w, b->partition, r->offset))
		r->verdict = VERDICT_REFUSED;
	if (p) {
		r->status = p->status;
		r->verdict = p->partition == b->partition && p->offset == r->offset
				     ? VERDICT_FRESH
				     : VERDICT_DUPLICATE;
	}
}

static enum result ledger_lookup(void *self, struct batch *b, struct error *err)
{
	struct fake_world *w = self;

	enum result r = fake_called(w, CALL_LOOKUP, err, "lookup:%" PRId32 "@%" PRId64 "-%" PRId64,
		b->partition, batch_record(b, 0)->offset, b->next - 1);

	for (size_t i = 0; r == RESULT_OK && i < b->length; i++)
		look_up(w, b, batch_record(b, i));
	return r;
}

static enum result ledger_publish_progress(void *self, int32_t partition, const char *owner,
	int64_t published_offset, struct error *err)
{
	struct fake_world *w = self;
	struct fake_partition *p = ours(w, partition, owner);

	enum result r = fake_called(w, CALL_PROGRESS, err, "progress:%" PRId32 "@%" PRId64,
		partition, published_offset);

	if (r != RESULT_OK)
		return r;
	if (!p)
		return not_ours(err);
	if (published_offset > p->row.published_offset)
		p->row.published_offset = published_offset;
	p->row.unclean_claims = 0;
	return RESULT_OK;
}

static enum result ledger_release(void *self, int32_t partition, const char *owner,
	int64_t published_offset, struct error *err)
{
	struct fake_world *w = self;
	struct fake_partition *p = ours(w, partition, owner);

	enum result r = fake_called(w, CALL_RELEASE, err, "give_back:%" PRId32 "@%" PRId64,
		partition, published_offset);

	if (r == RESULT_OK && p) {
		p->released = true;
		if (published_offset > p->row.published_offset)
			p->row.published_offset = published_offset;
	}
	return r;
}

static enum result ledger_stop(
	void *self, int32_t partition, const char *owner, const char *reason, struct error *err)
{
	struct fake_world *w = self;
	struct fake_partition *p = ours(w, partition, owner);

	enum result r = fake_called(w, CALL_STOP, err, "stop:%" PRId32, partition);

	if (r != RESULT_OK)
		return r;
	if (!p)
		return not_ours(err);
	p->row.stopped = p->released = true;
	snprintf(p->reason, sizeof(p->reason), "%s", reason);
	snprintf(p->row.stopped_reason, sizeof(p->row.stopped_reason), "%s", reason);
	return RESULT_OK;
}

const struct ledger_ops fake_ledger_ops = {
	.check = ledger_check,
	.claim = ledger_claim,
	.create = ledger_create,
	.clear_sought = ledger_clear_sought,
	.begin = ledger_begin,
	.lock_stock = ledger_lock_stock,
	.write = ledger_write,
	.commit = ledger_commit,
	.abort = ledger_abort,
	.resolve = ledger_resolve,
	.lookup = ledger_lookup,
	.publish_progress = ledger_publish_progress,
	.release = ledger_release,
	.stop = ledger_stop,
};
