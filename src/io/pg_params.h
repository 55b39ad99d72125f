/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <libpq-fe.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/cleanup.h"

/*
 * Parameters of one statement in PostgreSQL's binary form, above all arrays for unnest(), which
 * carry a whole batch in one statement. The memory is kept from one statement to the next.
 *
 *     pg_params_reset(p, 2);
 *     pg_params_int4(p, 0, partition);
 *     pg_params_array(p, 1, PG_TYPE_INT8);
 *     for (...)
 *             pg_params_add_int8(p, 1, offset);
 *     pg_conn_send(conn, statement, p);
 */
enum { PG_PARAMS_MAX = 12 };

/* The element types that arrays are made of; the numbers are PostgreSQL's. */
enum pg_type { PG_TYPE_BYTEA = 17, PG_TYPE_INT8 = 20, PG_TYPE_INT4 = 23, PG_TYPE_TEXT = 25 };

struct pg_param {
	char *data;
	size_t used, size;
	uint32_t elements; /* of an array */
	bool array, null, as_text;
};

struct pg_params {
	int count;
	bool no_memory; /* some value is missing: the statement must not be sent */
	struct pg_param at[PG_PARAMS_MAX];
};

void pg_params_done(struct pg_params *p);

/* Begin anew with `count` parameters; each must be set. */
void pg_params_reset(struct pg_params *p, int count);

void pg_params_int4(struct pg_params *p, int i, int32_t value);
void pg_params_int8(struct pg_params *p, int i, int64_t value);
void pg_params_null(struct pg_params *p, int i);
void pg_params_text(struct pg_params *p, int i, const char *value);
/* A uuid, or whatever the server shall read from text itself. */
void pg_params_as_text(struct pg_params *p, int i, const char *value);

void pg_params_array(struct pg_params *p, int i, enum pg_type element);
void pg_params_add_int4(struct pg_params *p, int i, int32_t value);
void pg_params_add_int8(struct pg_params *p, int i, int64_t value);
/* text or bytea; data NULL becomes null */
void pg_params_add_bytes(struct pg_params *p, int i, struct bytes value);
/* For people: what is not printable ASCII becomes "?". A message cut inside a UTF-8 character would
 * make the server refuse the row that carries it. */
void pg_params_add_ascii(struct pg_params *p, int i, const char *value);
void pg_params_ascii(struct pg_params *p, int i, const char *value);

/* Arrays get their final head; call before the values are read. */
void pg_params_finish(struct pg_params *p);

/* ---- binary results ------------------------------------------------------------------------ */

/* Of any width; 0 for null. */
int64_t pg_result_int(const PGresult *res, int row, int column);
bool pg_result_bool(const PGresult *res, int row, int column);
/* data NULL: null. Valid as long as the result. */
struct bytes pg_result_bytes(const PGresult *res, int row, int column);

/* timestamptz, microseconds since 1970. */
int64_t pg_result_time_us(const PGresult *res, int row, int column);
/* Milliseconds since 1970 as a timestamptz; what it cannot hold, -1 too, becomes null. */
void pg_params_time_ms(struct pg_params *p, int i, int64_t ms);
