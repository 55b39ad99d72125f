/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <inttypes.h>

#include "io/pg_ledger_private.h"

/* New payments as a COPY stream. */

/* PostgreSQL's binary COPY format: https://www.postgresql.org/docs/15/sql-copy.html */
enum { COLUMNS = 9, ROW_MAX_BYTES = 512 };

_Static_assert(
	ROW_MAX_BYTES > 2 + COLUMNS * (4 + 8) + ORDER_ID_MAX_BYTES + PAYMENT_KEY_MAX_BYTES + 32,
	"a row fits");

struct stream {
	struct pg_ledger *ledger;
	size_t used;
};

static void put(struct stream *s, const void *data, size_t length)
{
	memcpy(s->ledger->copy + s->used, data, length);
	s->used += length;
}

static void put_int2(struct stream *s, int16_t n)
{
	uint16_t v = htobe16((uint16_t)n);

	put(s, &v, sizeof(v));
}

static void put_int4(struct stream *s, int32_t n)
{
	uint32_t v = htobe32((uint32_t)n);

	put(s, &v, sizeof(v));
}

static void column_int4(struct stream *s, int32_t n)
{
	put_int4(s, sizeof(n));
	put_int4(s, n);
}

static void column_int8(struct stream *s, int64_t n)
{
	uint64_t v = htobe64((uint64_t)n);

	put_int4(s, sizeof(n));
	put(s, &v, sizeof(v));
}

static void column_text(struct stream *s, struct bytes text)
{
	put_int4(s, (int32_t)text.length);
	put(s, text.data, text.length);
}

static void flush(struct stream *s)
{
	pg_copy_append(s->ledger->conn, s->ledger->copy, s->used);
	s->used = 0;
}

static void put_row(struct stream *s, const struct batch *b, const struct record *r)
{
	if (PG_COPY_BYTES - s->used < ROW_MAX_BYTES)
		flush(s);
	put_int2(s, COLUMNS);
	column_text(s, r->event.order_id);
	column_text(s, r->event.payment_key);
	column_int8(s, r->event.ticket_type_id);
	column_int8(s, r->event.member_id);
	column_int4(s, r->event.quantity);
	column_int8(s, r->event.amount_minor);
	column_text(s, pg_payments_status(r->predicted));
	column_int4(s, b->partition);
	column_int8(s, r->offset);
}

static void stream_rows(struct pg_ledger *l, const struct batch *b)
{
	static const char signature[] = "PGCOPY\n\377\r\n"; /* its NUL belongs to it */
	struct stream s = {.ledger = l};

	put(&s, signature, sizeof(signature));
	put_int4(&s, 0); /* flags */
	put_int4(&s, 0); /* no extension */
	for (size_t i = 0; i < b->candidate_count; i++)
		put_row(&s, b, &b->records[b->candidates[i].record]);
	if (PG_COPY_BYTES - s.used < ROW_MAX_BYTES)
		flush(&s);
	put_int2(&s, -1);
	flush(&s);
}

enum result pg_payments_copy(struct pg_ledger *l, const struct batch *b, struct error *err)
{
	const struct pg_statement *s = &pg_statements[PG_COPY_PAYMENTS];
	int64_t taken = 0;
	enum result r = pg_copy_begin(l->conn, s, l->deadline_us, err);

	if (r != RESULT_OK)
		return r;
	stream_rows(l, b);
	r = pg_copy_end(l->conn, s, l->deadline_us, &taken, err);
	if (r != RESULT_OK)
		return r;
	if (taken != (int64_t)b->candidate_count)
		return fail(err, RESULT_RETRY, 0,
			"%" PRId64
			" payments were copied instead of %zu: does a trigger stand between?",
			taken, b->candidate_count);
	return RESULT_OK;
}
