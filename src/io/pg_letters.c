/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "io/pg_ledger_private.h"

/* Dead letters: all of a flush in one statement. */

static void letters_begin(struct pg_ledger *l, const struct batch *b)
{
	static const enum pg_type types[] = {PG_TYPE_INT8, PG_TYPE_INT8, PG_TYPE_TEXT, PG_TYPE_TEXT,
		PG_TYPE_TEXT, PG_TYPE_BYTEA, PG_TYPE_BYTEA, PG_TYPE_INT8, PG_TYPE_BYTEA};
	struct pg_params *p = &l->params;

	pg_params_reset(p, 11);
	pg_params_text(p, 0, b->topic);
	pg_params_int4(p, 1, b->partition);
	for (int i = 0; i < 9; i++)
		pg_params_array(p, i + 2, types[i]);
}

static void letters_add(
	struct pg_ledger *l, const struct record *r, enum refusal reason, const char *detail)
{
	struct pg_params *p = &l->params;
	bool has_order = r->event.fields & EVENT_ORDER_ID;
	bool tombstone = !r->value.data; /* null in Kafka, but the column takes none */

	pg_params_add_int8(p, 2, r->offset);
	pg_params_add_int8(p, 3, r->timestamp_ms);
	pg_params_add_ascii(p, 4, refusal_name(reason));
	pg_params_add_ascii(p, 5, detail);
	pg_params_add_bytes(p, 6, has_order ? r->event.order_id : (struct bytes){0});
	pg_params_add_bytes(p, 7, r->key);
	pg_params_add_bytes(p, 8, tombstone ? BYTES_LITERAL("") : r->value);
	pg_params_add_int8(p, 9, r->value_bytes);
	pg_params_add_bytes(p, 10, r->headers);
}

int64_t pg_letters_send_refused(struct pg_ledger *l, const struct batch *b)
{
	int64_t count = 0;

	for (size_t i = 0; i < b->length; i++) {
		const struct record *r = batch_record(b, i);

		if (r->refusal == REFUSAL_NONE)
			continue;
		if (count++ == 0)
			letters_begin(l, b);
		letters_add(l, r, r->refusal, r->detail);
	}
	if (count > 0)
		pg_transaction_send(l, PG_INSERT_LETTERS);
	return count;
}

bool pg_letters_send_conflicts(struct pg_ledger *l, const struct batch *b)
{
	bool any = false;

	for (size_t i = 0; i < b->length; i++) {
		const struct record *r = batch_record(b, i);
		char detail[120];

		if (r->verdict != VERDICT_CONFLICT)
			continue;

		const struct candidate *c = &b->candidates[r->candidate];

		snprintf(detail, sizeof(detail),
			"orderId stands with other content since partition %" PRId32
			" offset %" PRId64,
			c->exists ? batch_row(b, c)->partition : b->partition,
			c->exists ? batch_row(b, c)->offset : b->records[c->record].offset);
		if (!any)
			letters_begin(l, b);
		any = true;
		letters_add(l, r, REFUSAL_ORDER_CONFLICT, detail);
	}
	if (any)
		pg_transaction_send(l, PG_INSERT_LETTERS);
	return any;
}

/* ---- reading ------------------------------------------------------------------------------- */

void pg_letters_ask(struct pg_ledger *l, const struct batch *b)
{
	pg_params_reset(&l->params, 4);
	pg_params_text(&l->params, 0, b->topic);
	pg_params_int4(&l->params, 1, b->partition);
	pg_params_int8(&l->params, 2, batch_record(b, 0)->offset);
	pg_params_int8(&l->params, 3, batch_record(b, b->length - 1)->offset);
	pg_transaction_send(l, PG_READ_LETTERS);
}

bool pg_letters_find(struct pg_letters *l, const struct record *r)
{
	for (; l->row < PQntuples(l->res); l->row++) {
		int64_t offset = pg_result_int(l->res, l->row, 0);

		if (offset > r->offset)
			return false;
		/* A topic that was made anew has other records at the same offsets. */
		if (offset == r->offset && pg_result_int(l->res, l->row, 3) == r->timestamp_ms)
			return true;
	}
	return false;
}

int64_t pg_letters_parked_at_us(const struct pg_letters *l)
{
	return pg_result_time_us(l->res, l->row, 2);
}
