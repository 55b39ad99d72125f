/* SPDX-License-Identifier: Apache-2.0 */
#include "core/batch.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>

#include "core/payment_event.h"

struct batch *batch_new(size_t capacity)
{
	CLEANUP(batch_free_ptr) struct batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->arena = arena_new();
	b->records = calloc(capacity, sizeof(*b->records));
	b->candidates = calloc(capacity, sizeof(*b->candidates));
	b->rows = calloc(capacity, sizeof(*b->rows));
	b->order = calloc(capacity, sizeof(*b->order));
	b->stock = calloc(capacity, sizeof(*b->stock));
	if (!b->arena || !b->records || !b->candidates || !b->rows || !b->order || !b->stock)
		return NULL;
	b->capacity = capacity;
	return TAKE(b);
}

void batch_free(struct batch *b)
{
	if (!b)
		return;
	arena_free(b->arena);
	free(b->records);
	free(b->candidates);
	free(b->rows);
	free(b->order);
	free(b->stock);
	free(b);
}

void batch_clear(struct batch *b)
{
	arena_reset(b->arena);
	b->count = b->bytes = 0;
	b->first = b->length = 0;
	b->candidate_count = b->stock_count = 0;
}

enum result batch_append(
	struct batch *b, const struct raw_record *raw, size_t event_bytes, struct error *err)
{
	assert(b->count < b->capacity);

	struct record *r = &b->records[b->count];
	struct bytes value = raw->value;
	bool no_memory = false;

	*r = (struct record){
		.offset = raw->offset,
		.timestamp_ms = raw->timestamp_ms,
		.value_bytes = (int64_t)raw->value.length,
		.remaining = -1,
		.detail = "",
	};
	if (value.length > event_bytes)
		value.length = event_bytes;
	if (!arena_copy(b->arena, raw->key, &r->key) || !arena_copy(b->arena, value, &r->value) ||
		!arena_copy(b->arena, raw->headers, &r->headers))
		return fail(err, RESULT_RETRY, 0, "no memory for a record");

	/* Of the copy, for the event's strings point into it; a cut one is not looked at. */
	value = (struct bytes){.data = r->value.data, .length = raw->value.length};
	r->refusal = payment_event_decode(
		value, event_bytes, b->arena, &r->event, &r->detail, &no_memory);
	if (no_memory)
		return fail(err, RESULT_RETRY, 0, "no memory for an event");

	b->bytes += r->key.length + r->value.length + r->headers.length;
	b->count++;
	return RESULT_OK;
}

/* By order id, then by offset: the first of each order id is its candidate. */
static int compare_orders(const void *a, const void *b, void *records)
{
	const struct order *x = a, *y = b;
	const struct record *r = records;

	if (x->head != y->head)
		return x->head < y->head ? -1 : 1;

	int c = bytes_compare(r[x->record].event.order_id, r[y->record].event.order_id);

	return c ? c : (x->record > y->record) - (x->record < y->record);
}

/* The first bytes behind `skip` as a number that compares as they do; a missing byte is a NUL. */
static uint64_t head_of(struct bytes order_id, size_t skip)
{
	unsigned char head[8] = {0};
	size_t left = order_id.length > skip ? order_id.length - skip : 0;

	memcpy(head, order_id.data + order_id.length - left, left < 8 ? left : 8);

	uint64_t n;

	memcpy(&n, head, sizeof(n));
	return be64toh(n);
}

static size_t common_length(struct bytes a, struct bytes b, size_t maximum)
{
	size_t n = 0;

	while (n < maximum && n < a.length && n < b.length && a.data[n] == b.data[n])
		n++;
	return n;
}

/* Comparing the bytes that tell order ids apart saves most of the looks at the records. */
static size_t sort_orders(struct batch *b)
{
	struct order *order = b->order;
	size_t n = 0, common = ORDER_ID_MAX_BYTES;

	for (size_t i = b->first; i < b->first + b->length; i++) {
		if (b->records[i].refusal != REFUSAL_NONE)
			continue;
		order[n].record = (uint32_t)i;
		common = common_length(b->records[order[0].record].event.order_id,
			b->records[i].event.order_id, common);
		n++;
	}
	for (size_t i = 0; i < n; i++)
		order[i].head = head_of(b->records[order[i].record].event.order_id, common);
	qsort_r(order, n, sizeof(*order), compare_orders, b->records);
	return n;
}

static void find_candidates(struct batch *b)
{
	const struct order *order = b->order;
	size_t n = sort_orders(b);

	b->candidate_count = 0;
	for (size_t i = 0; i < n; i++) {
		struct record *r = &b->records[order[i].record];

		if (i == 0 || !bytes_equal(r->event.order_id,
				      b->records[order[i - 1].record].event.order_id))
			b->candidates[b->candidate_count++] =
				(struct candidate){.record = order[i].record};
		r->candidate = (uint32_t)b->candidate_count - 1;
	}
}

void batch_slice(struct batch *b, size_t first, size_t length)
{
	assert(length > 0 && first + length <= b->count);

	b->first = first;
	b->length = length;
	b->stock_count = 0;
	b->stock_early = b->stock_read = false;
	b->decided_at_us = 0;
	for (size_t i = 0; i < length; i++) {
		struct record *r = batch_record(b, i);

		r->verdict = VERDICT_NONE;
		r->predicted = r->status = PAYMENT_CONFIRMED;
		r->remaining = -1;
		r->decided_at_us = 0;
		r->first_payment_key = (struct bytes){0};
	}

	const struct record *last = batch_record(b, length - 1);

	b->next = last->offset + 1;
	b->last_record_at_ms = last->timestamp_ms;
	find_candidates(b);
}

static int compare_stock(const void *a, const void *b)
{
	const struct stock *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

void batch_stock(struct batch *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->candidate_count; i++) {
		const struct candidate *c = &b->candidates[i];
		int64_t id = b->records[c->record].event.ticket_type_id;

		/* Neighbours are often of one type: most of the sorting is saved here. */
		if (c->exists || (n > 0 && b->stock[n - 1].id == id))
			continue;
		b->stock[n++] = (struct stock){.id = id};
	}
	qsort(b->stock, n, sizeof(*b->stock), compare_stock);

	b->stock_count = 0;
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || b->stock[i].id != b->stock[b->stock_count - 1].id)
			b->stock[b->stock_count++] = b->stock[i];
	}
}

struct stock *batch_find_stock(const struct batch *b, int64_t id)
{
	struct stock key = {.id = id};

	return bsearch(&key, b->stock, b->stock_count, sizeof(key), compare_stock);
}

void batch_reject(struct batch *b, size_t index, const char *detail)
{
	struct record *r = &b->records[index];
	struct bytes copy = {.data = detail, .length = strlen(detail)};

	assert(r->refusal == REFUSAL_NONE);
	r->refusal = REFUSAL_DB_REJECTED;
	r->detail = arena_copy(b->arena, copy, &copy) ? copy.data : "";
}
