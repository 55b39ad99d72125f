/* SPDX-License-Identifier: Apache-2.0 */
#include "io/pg_params.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>

/* PostgreSQL counts from 2000-01-01. */
#define EPOCH_US INT64_C(946684800000000)
/* A producer may write any timestamp; timestamptz ends in the year 294276. */
#define TIME_MAX_MS INT64_C(9000000000000000)

enum {
	ARRAY_ELEMENTS_AT = 12, /* ndim, has nulls, element type, then the number of elements */
	FIRST_BYTES = 64,
};

void pg_params_done(struct pg_params *p)
{
	for (int i = 0; i < PG_PARAMS_MAX; i++)
		free(p->at[i].data);
	*p = (struct pg_params){0};
}

void pg_params_reset(struct pg_params *p, int count)
{
	assert(count <= PG_PARAMS_MAX);
	p->count = count;
	p->no_memory = false;
	for (int i = 0; i < count; i++) {
		struct pg_param *a = &p->at[i];

		*a = (struct pg_param){.data = a->data, .size = a->size};
	}
}

static void *append(struct pg_params *p, int i, size_t length)
{
	struct pg_param *a = &p->at[i];

	assert(i < p->count);
	if (a->size - a->used < length) {
		size_t size = a->size ? a->size : FIRST_BYTES;

		while (size - a->used < length)
			size *= 2;

		char *data = realloc(a->data, size);

		if (!data) {
			p->no_memory = true;
			return NULL;
		}
		a->data = data;
		a->size = size;
	}

	void *to = a->data + a->used;

	a->used += length;
	return to;
}

static void append_bytes(struct pg_params *p, int i, const void *from, size_t length)
{
	void *to = append(p, i, length);

	if (to && length)
		memcpy(to, from, length);
}

static void append_u32(struct pg_params *p, int i, uint32_t value)
{
	value = htobe32(value);
	append_bytes(p, i, &value, sizeof(value));
}

void pg_params_int4(struct pg_params *p, int i, int32_t value)
{
	append_u32(p, i, (uint32_t)value);
}

void pg_params_int8(struct pg_params *p, int i, int64_t value)
{
	uint64_t v = htobe64((uint64_t)value);

	append_bytes(p, i, &v, sizeof(v));
}

void pg_params_null(struct pg_params *p, int i)
{
	p->at[i].null = true;
}

void pg_params_text(struct pg_params *p, int i, const char *value)
{
	/* One byte at least, so that there is a pointer: NULL would be null. */
	append_bytes(p, i, value, strlen(value) + 1);
	if (p->at[i].used)
		p->at[i].used--;
}

void pg_params_as_text(struct pg_params *p, int i, const char *value)
{
	pg_params_text(p, i, value);
	p->at[i].as_text = true;
}

static void to_ascii(char *s, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (s[i] < ' ' || s[i] > '~')
			s[i] = '?';
	}
}

void pg_params_ascii(struct pg_params *p, int i, const char *value)
{
	pg_params_text(p, i, value);
	to_ascii(p->at[i].data, p->no_memory ? 0 : p->at[i].used);
}

void pg_params_time_ms(struct pg_params *p, int i, int64_t ms)
{
	if (ms < 0 || ms > TIME_MAX_MS)
		pg_params_null(p, i);
	else
		pg_params_int8(p, i, ms * 1000 - EPOCH_US);
}

/* ---- arrays -------------------------------------------------------------------------------- */

void pg_params_array(struct pg_params *p, int i, enum pg_type element)
{
	p->at[i].array = true;
	append_u32(p, i, 1); /* dimensions */
	append_u32(p, i, 1); /* perhaps with nulls */
	append_u32(p, i, (uint32_t)element);
	append_u32(p, i, 0); /* elements: pg_params_finish() */
	append_u32(p, i, 1); /* the first index */
}

void pg_params_add_int4(struct pg_params *p, int i, int32_t value)
{
	append_u32(p, i, sizeof(value));
	append_u32(p, i, (uint32_t)value);
	p->at[i].elements++;
}

void pg_params_add_int8(struct pg_params *p, int i, int64_t value)
{
	append_u32(p, i, sizeof(value));
	pg_params_int8(p, i, value);
	p->at[i].elements++;
}

void pg_params_add_bytes(struct pg_params *p, int i, struct bytes value)
{
	append_u32(p, i, value.data ? (uint32_t)value.length : UINT32_MAX /* null */);
	append_bytes(p, i, value.data, value.data ? value.length : 0);
	p->at[i].elements++;
}

void pg_params_add_ascii(struct pg_params *p, int i, const char *value)
{
	size_t length = strlen(value);

	pg_params_add_bytes(p, i, (struct bytes){.data = value, .length = length});
	if (!p->no_memory)
		to_ascii(p->at[i].data + p->at[i].used - length, length);
}

void pg_params_finish(struct pg_params *p)
{
	for (int i = 0; i < p->count && !p->no_memory; i++) {
		struct pg_param *a = &p->at[i];
		uint32_t elements = htobe32(a->elements);

		if (a->array)
			memcpy(a->data + ARRAY_ELEMENTS_AT, &elements, sizeof(elements));
	}
}

/* ---- results ------------------------------------------------------------------------------- */

int64_t pg_result_int(const PGresult *res, int row, int column)
{
	const unsigned char *from = (const unsigned char *)PQgetvalue(res, row, column);
	int length = PQgetlength(res, row, column);
	uint64_t v = length > 0 && (from[0] & 0x80) ? UINT64_MAX : 0;

	for (int i = 0; i < length; i++)
		v = v << 8 | from[i];
	return (int64_t)v;
}

bool pg_result_bool(const PGresult *res, int row, int column)
{
	return PQgetlength(res, row, column) == 1 && *PQgetvalue(res, row, column) != 0;
}

struct bytes pg_result_bytes(const PGresult *res, int row, int column)
{
	if (PQgetisnull(res, row, column))
		return (struct bytes){0};
	return (struct bytes){
		.data = PQgetvalue(res, row, column),
		.length = (size_t)PQgetlength(res, row, column),
	};
}

int64_t pg_result_time_us(const PGresult *res, int row, int column)
{
	int64_t us;

	/* "infinity" is the largest number there is. */
	if (__builtin_add_overflow(pg_result_int(res, row, column), EPOCH_US, &us))
		return INT64_MAX;
	return us;
}
