/* SPDX-License-Identifier: Apache-2.0 */
#include "io/pg_error.h"
#include "io/pg_ledger_private.h"

/* How a transaction writes the payments of its batch. */

struct bytes pg_payments_status(enum payment_status s)
{
	const char *name = payment_status_name(s);

	return (struct bytes){.data = name, .length = strlen(name)};
}

/* ---- insert -------------------------------------------------------------------------------- */

static void send_insert(struct pg_ledger *l, const struct batch *b)
{
	struct pg_params *p = &l->params;

	pg_params_reset(p, 9);
	pg_params_int4(p, 0, b->partition);
	pg_params_array(p, 1, PG_TYPE_TEXT);
	pg_params_array(p, 2, PG_TYPE_TEXT);
	pg_params_array(p, 3, PG_TYPE_INT8);
	pg_params_array(p, 4, PG_TYPE_INT8);
	pg_params_array(p, 5, PG_TYPE_INT4);
	pg_params_array(p, 6, PG_TYPE_INT8);
	pg_params_array(p, 7, PG_TYPE_TEXT);
	pg_params_array(p, 8, PG_TYPE_INT8);
	for (size_t i = 0; i < b->candidate_count; i++) {
		const struct record *r = &b->records[b->candidates[i].record];

		pg_params_add_bytes(p, 1, r->event.order_id);
		pg_params_add_bytes(p, 2, r->event.payment_key);
		pg_params_add_int8(p, 3, r->event.ticket_type_id);
		pg_params_add_int8(p, 4, r->event.member_id);
		pg_params_add_int4(p, 5, r->event.quantity);
		pg_params_add_int8(p, 6, r->event.amount_minor);
		pg_params_add_bytes(p, 7, pg_payments_status(r->predicted));
		pg_params_add_int8(p, 8, r->offset);
	}
	pg_transaction_send(l, PG_INSERT_PAYMENTS);
}

/* The offsets of the new rows come in the order of the candidates; those that are skipped existed.
 */
static bool mark_existing(struct batch *b, const PGresult *inserted, size_t *ret_existing)
{
	int row = 0, rows = PQntuples(inserted);

	*ret_existing = 0;
	for (size_t i = 0; i < b->candidate_count; i++) {
		struct candidate *c = &b->candidates[i];

		c->exists = row == rows ||
			    pg_result_int(inserted, row, 0) != b->records[c->record].offset;
		if (c->exists)
			(*ret_existing)++;
		else
			row++;
	}
	return row == rows;
}

/* ---- ways ---------------------------------------------------------------------------------- */

enum {
	COPY_ROWS_MIN = 256, /* fewer: a COPY's own round trips cost more than it saves */
	WARY_BATCHES = 64,   /* without a duplicate, before COPY is tried again */
};

enum pg_way pg_payments_way(const struct pg_ledger *l, const struct batch *b)
{
	if (b->candidate_count == 0)
		return PG_WAY_NONE;
	return b->candidate_count < COPY_ROWS_MIN || l->wary > 0 ? PG_WAY_INSERT : PG_WAY_COPY;
}

int pg_payments_send(struct pg_ledger *l, struct batch *b, enum pg_way way)
{
	for (size_t i = 0; i < b->candidate_count; i++)
		b->candidates[i].exists = false;

	switch (way) {
	case PG_WAY_NONE:
		return 0;
	case PG_WAY_INSERT:
		send_insert(l, b);
		return 1;
	case PG_WAY_COPY:
		pg_transaction_send_bare(l, PG_SAVEPOINT);
		return 1;
	}
	return 0;
}

enum result pg_payments_refused(struct pg_ledger *l, const struct error *why, struct error *err)
{
	pg_transaction_abort(l);
	if (err)
		*err = *why;
	return pg_error_is_data(why->sqlstate) ? RESULT_REJECT : RESULT_RETRY;
}

static enum result read_marks(struct pg_ledger *l, struct batch *b, const PGresult *inserted,
	size_t *ret, struct error *err)
{
	if (mark_existing(b, inserted, ret))
		return RESULT_OK;
	return pg_transaction_fail(
		l, err, RESULT_RETRY, "the payments' insert gave back other rows than were sent");
}

/* COPY met an order id that exists. */
static enum result insert_instead(
	struct pg_ledger *l, struct batch *b, size_t *ret_existing, struct error *err)
{
	CLEANUP(pg_results_clear) struct pg_results results = {.failed = -1};
	struct error why = {0};
	int inserted;

	pg_transaction_send_bare(l, PG_ROLLBACK_TO);
	inserted = 1 + pg_transaction_timeouts(l);
	send_insert(l, b);
	if (pg_transaction_run(l, &results, &why) != RESULT_OK)
		return pg_payments_refused(l, &why, err);
	return read_marks(l, b, results.at[inserted], ret_existing, err);
}

/* After a batch whose size is worth a COPY. */
static void remember(struct pg_ledger *l, const struct batch *b, size_t existing)
{
	if (b->candidate_count < COPY_ROWS_MIN)
		return;
	if (existing > 0)
		l->wary = WARY_BATCHES;
	else if (l->wary > 0)
		l->wary--;
}

static enum result copy(
	struct pg_ledger *l, struct batch *b, size_t *ret_existing, struct error *err)
{
	struct error why = {0};

	if (pg_payments_copy(l, b, &why) == RESULT_OK)
		return RESULT_OK;
	if (strcmp(why.sqlstate, "23505") != 0 || !pg_conn_is_open(l->conn))
		return pg_payments_refused(l, &why, err);
	return insert_instead(l, b, ret_existing, err);
}

enum result pg_payments_take(struct pg_ledger *l, struct batch *b, enum pg_way way,
	const struct pg_results *results, int first, size_t *ret_existing, struct error *err)
{
	enum result r = RESULT_OK;

	*ret_existing = 0;
	switch (way) {
	case PG_WAY_NONE:
		break;
	case PG_WAY_INSERT:
		r = read_marks(l, b, results->at[first], ret_existing, err);
		break;
	case PG_WAY_COPY:
		r = copy(l, b, ret_existing, err);
		break;
	}
	if (r == RESULT_OK)
		remember(l, b, *ret_existing);
	return r;
}
