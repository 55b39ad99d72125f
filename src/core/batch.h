/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "core/record.h"

/*
 * Records of one partition, in offset order, on their way through one transaction.
 *
 * A transaction takes a slice: all of the records, or fewer after failures (halving) and at the edge
 * between a replay and what is new. batch_slice() makes it; the ledger and decide.c work on it.
 */

/* One order id of a slice: its first record. */
struct candidate {
	uint32_t record;            /* index into records */
	bool exists;                /* set by the ledger: it was there already, see batch_row() */
};

/* A whole event of a slice while they are sorted. */
struct order {
	uint64_t head; /* bytes of the order id, as a number */
	uint32_t record;
};

/* One ticket type of a slice. */
struct stock {
	int64_t id;
	bool known;        /* set by the ledger: there is such a type */
	int64_t remaining; /* set by the ledger, lowered by decide.c */
	int64_t taken;     /* by this slice; what the ledger subtracts */
	int64_t guess;     /* the ledger's own: it will probably be so many ... */
	int64_t given;     /* ... and these are subtracted already */
};

struct batch {
	/* Set by the task, constant for a slice. */
	const char *topic;
	int32_t partition;
	int64_t id;               /* for the log: of no other worker, nor of an earlier run */
	char owner[37];           /* the claim's owner token, a uuid as text */
	int64_t expected;         /* next_offset as it must stand before */
	int64_t next;             /* next_offset after: the slice's last offset + 1 */
	int64_t published;        /* published_offset to be written with it */
	bool replay;              /* records below next_offset: looked up, not decided */

	struct arena *arena;
	struct record *records;
	size_t capacity, count;   /* records held; slice: records[first .. first + length) */
	size_t bytes;             /* of keys, values and headers held */
	size_t first, length;

	/* Of the slice. */
	struct candidate *candidates; /* one per order id, ascending by bytes; conflicts and
	                                 duplicates inside the slice follow their first record */
	size_t candidate_count;
	struct payment_row *rows;     /* of the candidates that exist; strings in the arena */
	struct order *order;          /* room for sorting */
	struct stock *stock;          /* of fresh candidates, ascending by id; see batch_stock() */
	size_t stock_count;
	bool stock_early;             /* asked of the ledger: read the stock when it begins ... */
	bool stock_read;              /* set by the ledger: ... and it did */
	int64_t decided_at_us;        /* set by the ledger: of the rows inserted and letters parked */
	int64_t last_record_at_ms;    /* timestamp of the slice's last record, -1: none */
};

/* capacity: records at most; NULL when memory is out. */
struct batch *batch_new(size_t capacity);
void batch_free(struct batch *b);
DEFINE_CLEANUP(struct batch *, batch_free)

/* Forget all records and give their memory back to the arena. */
void batch_clear(struct batch *b);

/*
 * Decode a record and keep it. raw is not needed afterwards.
 * event_bytes: limits.event_bytes
 * fails: RETRY when memory is out (nothing is kept)
 */
enum result batch_append(
	struct batch *b, const struct raw_record *raw, size_t event_bytes, struct error *err) MUST_CHECK;

/*
 * Take at most `length` records from `first` on as the slice: sets next, last_record_at_ms, the
 * candidates (sorted by order id), clears every verdict of the slice.
 */
void batch_slice(struct batch *b, size_t first, size_t length);

/* The slice's ticket types, ascending, of candidates that do not exist: what is locked and read. */
void batch_stock(struct batch *b);

/* The entry of a ticket type in b->stock, or NULL. */
struct stock *batch_find_stock(const struct batch *b, int64_t id);

/* Turn a record that the database refuses by itself into a dead letter; batch_slice() comes next. */
void batch_reject(struct batch *b, size_t index, const char *detail);

/* The row of a candidate that exists. */
static inline struct payment_row *batch_row(const struct batch *b, const struct candidate *c)
{
	return &b->rows[c - b->candidates];
}

static inline struct record *batch_record(const struct batch *b, size_t slice_index)
{
	return &b->records[b->first + slice_index];
}
