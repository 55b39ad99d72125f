/* SPDX-License-Identifier: Apache-2.0 */
#include "core/decide.h"
#include "io/pg_ledger_private.h"

/* Reading what was decided before: existing payments of a batch, and the whole of a replay. */

/* ---- payments ------------------------------------------------------------------------------ */

void pg_payments_ask(struct pg_ledger *l, const struct batch *b)
{
	pg_params_reset(&l->params, 1);
	pg_params_array(&l->params, 0, PG_TYPE_TEXT);
	for (size_t i = 0; i < b->candidate_count; i++) {
		const struct candidate *c = &b->candidates[i];

		if (c->exists)
			pg_params_add_bytes(&l->params, 0, b->records[c->record].event.order_id);
	}
	pg_transaction_send(l, PG_READ_PAYMENTS);
}

/* Row `row` of PG_READ_PAYMENTS. Mostly the key is the event's own: that saves the copy. */
static enum result read_payment(const struct batch *b, const struct payment_event *event,
	const PGresult *res, int row, struct payment_row *ret, struct error *err)
{
	struct bytes key = pg_result_bytes(res, row, 1);

	*ret = (struct payment_row){
		.event = {.order_id = event->order_id,
			.payment_key = event->payment_key,
			.ticket_type_id = pg_result_int(res, row, 2),
			.member_id = pg_result_int(res, row, 3),
			.quantity = (int32_t)pg_result_int(res, row, 4),
			.amount_minor = pg_result_int(res, row, 5),
			.fields = EVENT_ALL},
		.partition = (int32_t)pg_result_int(res, row, 7),
		.offset = pg_result_int(res, row, 8),
		.decided_at_us = pg_result_time_us(res, row, 9),
	};
	if (!bytes_equal(key, event->payment_key) &&
		!arena_copy(b->arena, key, &ret->event.payment_key))
		return fail(err, RESULT_RETRY, 0, "no memory for a payment");
	if (!payment_status_parse(pg_result_bytes(res, row, 6), &ret->status))
		return fail(err, RESULT_RETRY, 0,
			"a payment has a status that this version does not know: is the schema newer?");
	return RESULT_OK;
}

/* A position in the list of those that exist, by its place in the question. */
struct asked {
	uint32_t candidate;
	int row; /* -1: no answer */
};

enum result pg_payments_read(
	struct batch *b, const PGresult *res, size_t *ret_missing, struct error *err)
{
	CLEANUP(free_ptr) struct asked *asked = calloc(b->candidate_count + 1, sizeof(*asked));
	size_t count = 0, missing = 0;

	if (!asked)
		return fail(err, RESULT_RETRY, 0, "no memory for payments");
	for (size_t i = 0; i < b->candidate_count; i++) {
		if (b->candidates[i].exists)
			asked[count++] = (struct asked){.candidate = (uint32_t)i, .row = -1};
	}
	/* Rows come in any order; column 0 counts the question's elements from 1. */
	for (int row = 0; row < PQntuples(res); row++) {
		int64_t n = pg_result_int(res, row, 0);

		if (n >= 1 && (size_t)n <= count)
			asked[n - 1].row = row;
	}
	for (size_t i = 0; i < count; i++) {
		struct candidate *c = &b->candidates[asked[i].candidate];

		c->exists = asked[i].row >= 0;
		if (!c->exists) {
			missing++;
			continue;
		}

		enum result r = read_payment(
			b, &b->records[c->record].event, res, asked[i].row, batch_row(b, c), err);

		if (r != RESULT_OK)
			return r;
	}
	*ret_missing = missing;
	return RESULT_OK;
}

/* ---- replay -------------------------------------------------------------------------------- */

static bool letter_is(const struct pg_letters *l, enum refusal reason)
{
	const char *name = refusal_name(reason);

	return bytes_equal(pg_result_bytes(l->res, l->row, 1),
		(struct bytes){.data = name, .length = strlen(name)});
}

static void replay_record(const struct batch *b, struct record *r, struct pg_letters *letters)
{
	bool letter = pg_letters_find(letters, r);

	r->verdict = VERDICT_SILENT;
	r->remaining = -1; /* of that time: nobody knows any more */
	if (r->refusal != REFUSAL_NONE) {
		if (letter) {
			r->verdict = VERDICT_REFUSED;
			r->decided_at_us = pg_letters_parked_at_us(letters);
		}
		return;
	}
	/* Refused by the database at that time: whoever has its order id now, this record has not.
	 */
	if (letter && letter_is(letters, REFUSAL_DB_REJECTED))
		return;

	const struct candidate *c = &b->candidates[r->candidate];

	if (c->exists)
		decide_against_row(b, r, batch_row(b, c));
}

enum result pg_lookup_replay(void *self, struct batch *b, struct error *err)
{
	enum { PAYMENTS = PG_BEGIN_RESULTS, LETTERS };
	struct pg_ledger *l = self;
	CLEANUP(pg_results_clear) struct pg_results results = {.failed = -1};
	size_t without_row = 0;
	enum result r;

	if (b->length == 0)
		return RESULT_OK;
	r = pg_transaction_begin(l, 0, err);
	if (r != RESULT_OK)
		return r;
	for (size_t i = 0; i < b->candidate_count; i++)
		b->candidates[i].exists = true; /* asked for; the answer corrects it */
	pg_payments_ask(l, b);
	pg_letters_ask(l, b);
	r = pg_transaction_run_and_commit(l, &results, err);
	if (r == RESULT_OK)
		r = pg_payments_read(b, results.at[PAYMENTS], &without_row, err);
	if (r != RESULT_OK)
		return r;

	struct pg_letters letters = {.res = results.at[LETTERS]};

	for (size_t i = 0; i < b->length; i++)
		replay_record(b, batch_record(b, i), &letters);
	return RESULT_OK;
}
