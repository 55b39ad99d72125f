/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Raw binary COPY into the table payment: the limit that PostgreSQL itself sets. The rows are those
 * the daemon writes, sorted by order id, a transaction a batch. All data is made before the clock
 * starts, so that only sending it and the server are measured.
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "shares.h"
#include "workload.h"

static const char usage[] = "Usage: copy --conninfo TEXT --events ROWS [OPTION VALUE]...\n"
			    "  COPY rows into payment, --batch a transaction\n";

enum {
	CHUNK_BYTES = 65536,
	ROW_MAX_BYTES = 256,
	/* Microseconds from 1970 to 2000, PostgreSQL's epoch. */
	EPOCH_DAYS = 10957,
};

struct buffer {
	char *data;
	size_t length;
};

struct share {
	const struct workload *w;
	int number;
	PGconn *conn;
	struct buffer *batches;
	size_t count;
};

struct row {
	int64_t number, offset;
	char room[WORKLOAD_ROOM];
};

/* ---- rows ------------------------------------------------------------------------------------ */

static char *put16(char *at, int value)
{
	uint16_t v = htobe16((uint16_t)value);

	memcpy(at, &v, sizeof(v));
	return at + sizeof(v);
}

static char *put32(char *at, int32_t value)
{
	uint32_t v = htobe32((uint32_t)value);

	memcpy(at, &v, sizeof(v));
	return at + sizeof(v);
}

static char *put64(char *at, int64_t value)
{
	uint64_t v = htobe64((uint64_t)value);

	memcpy(at, &v, sizeof(v));
	return at + sizeof(v);
}

static char *put_bytes(char *at, struct bytes b)
{
	at = put32(at, (int32_t)b.length);
	memcpy(at, b.data, b.length);
	return at + b.length;
}

static char *put_row(char *at, const struct share *s, const struct row *row)
{
	char room[WORKLOAD_ROOM];
	struct payment_event e;

	workload_event(s->w, row->number, room, &e);
	at = put_bytes(put16(at, 10), e.order_id);
	at = put_bytes(at, e.payment_key);
	at = put64(put32(at, 8), e.ticket_type_id);
	at = put64(put32(at, 8), e.member_id);
	at = put32(put32(at, 4), e.quantity);
	at = put64(put32(at, 8), e.amount_minor);
	at = put_bytes(at, BYTES_LITERAL("CONFIRMED"));
	at = put32(put32(at, 4), s->number);
	at = put64(put32(at, 8), row->offset);
	return put64(put32(at, 8), (clock_realtime_ms() - EPOCH_DAYS * INT64_C(86400000)) * 1000);
}

static int by_order_id(const void *a, const void *b)
{
	return memcmp(
		((const struct row *)a)->room, ((const struct row *)b)->room, WORKLOAD_ID_BYTES);
}

static void make_batch(const struct share *s, struct row *rows, size_t count, struct buffer *ret)
{
	ret->data = malloc(32 + count * ROW_MAX_BYTES);
	if (!ret->data)
		die("no memory");
	qsort(rows, count, sizeof(*rows), by_order_id);

	static const char signature[] = "PGCOPY\n\377\r\n"; /* with its NUL */
	char *at = ret->data;

	memcpy(at, signature, sizeof(signature));
	at = put32(put32(at + sizeof(signature), 0), 0);
	for (size_t i = 0; i < count; i++)
		at = put_row(at, s, &rows[i]);
	at = put16(at, -1);
	ret->length = (size_t)(at - ret->data);
	ret->data = realloc(ret->data, ret->length);
}

/* Events are dealt to the shares in turn, as `load fill` deals them to partitions. */
static void make_share(void *share)
{
	struct share *s = share;
	const struct options *o = s->w->options;
	CLEANUP(free_ptr) struct row *rows = calloc((size_t)o->batch, sizeof(*rows));
	size_t held = 0;
	int64_t offset = 0;

	s->batches =
		calloc((size_t)(o->events / o->connections / o->batch + 2), sizeof(*s->batches));
	if (!rows || !s->batches)
		die("no memory");
	for (int64_t i = s->number; i < o->events; i += o->connections, offset++) {
		struct payment_event e;
		struct row *row = &rows[held];

		if (!workload_is_fresh(s->w, o->first + i))
			continue;
		row->number = o->first + i;
		row->offset = offset;
		workload_event(s->w, row->number, row->room, &e);
		if (++held == (size_t)o->batch) {
			make_batch(s, rows, held, &s->batches[s->count++]);
			held = 0;
		}
	}
	if (held > 0)
		make_batch(s, rows, held, &s->batches[s->count++]);
}

/* ---- COPY ------------------------------------------------------------------------------------ */

static void expect(PGconn *c, PGresult *res, ExecStatusType wanted)
{
	if (PQresultStatus(res) != wanted)
		die("%s", PQerrorMessage(c));
	PQclear(res);
}

static void copy_batch(PGconn *c, const struct buffer *b)
{
	expect(c, PQexec(c, "BEGIN"), PGRES_COMMAND_OK);
	expect(c, PQexec(c, "COPY payment FROM STDIN (FORMAT BINARY)"), PGRES_COPY_IN);
	for (size_t at = 0; at < b->length; at += CHUNK_BYTES) {
		size_t n = b->length - at < CHUNK_BYTES ? b->length - at : CHUNK_BYTES;

		if (PQputCopyData(c, b->data + at, (int)n) != 1)
			die("%s", PQerrorMessage(c));
	}
	if (PQputCopyEnd(c, NULL) != 1)
		die("%s", PQerrorMessage(c));
	expect(c, PQgetResult(c), PGRES_COMMAND_OK);
	while (PQgetResult(c))
		;
	expect(c, PQexec(c, "COMMIT"), PGRES_COMMAND_OK);
}

static void work(void *argument)
{
	struct share *s = argument;

	for (size_t i = 0; i < s->count; i++)
		copy_batch(s->conn, &s->batches[i]);
}

static void open_share(void *share, const struct workload *w, int number)
{
	struct share *s = share;

	*s = (struct share){.w = w, .number = number, .conn = PQconnectdb(w->options->conninfo)};
	if (PQstatus(s->conn) != CONNECTION_OK)
		die("%s", PQerrorMessage(s->conn));
}

static void close_share(void *share)
{
	PQfinish(((struct share *)share)->conn);
}

static int64_t rows(const struct workload *w)
{
	int64_t count = 0;

	for (int64_t i = 0; i < w->options->events; i++)
		count += workload_is_fresh(w, w->options->first + i);
	return count;
}

int main(int argc, char **argv)
{
	static const struct share_kind copy = {.size = sizeof(struct share),
		.open = open_share,
		.prepare = make_share,
		.work = work,
		.close = close_share,
		.rows = rows};

	return shares_main(argc, argv, usage, &copy);
}
