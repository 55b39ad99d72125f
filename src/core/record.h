/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

/*
 * The data of the line, from a Kafka record to what became of its order. Only types live here;
 * payment_event.h decodes, batch.h collects, decide.h decides, outcome.h encodes.
 */

enum {
	ORDER_ID_MAX_BYTES = 64,
	PAYMENT_KEY_MAX_BYTES = 200,
	QUANTITY_MAX = 1000,
};
#define AMOUNT_MAX_MINOR INT64_C(1000000000000000)

/* What is stored with a payment; the names are the values of payment.status. */
enum payment_status {
	PAYMENT_CONFIRMED,           /* the ticket is taken */
	PAYMENT_SOLD_OUT,            /* paid, but too few left: a refund is due */
	PAYMENT_UNKNOWN_TICKET_TYPE, /* no such type: a refund is due */
};
enum { PAYMENT_STATUS_COUNT = PAYMENT_UNKNOWN_TICKET_TYPE + 1 };

const char *payment_status_name(enum payment_status s);
/* false: no status has this name. */
bool payment_status_parse(struct bytes name, enum payment_status *ret);

/* Why a record became a dead letter; the names are the values of dead_letter.reason. */
enum refusal {
	REFUSAL_NONE = 0,
	REFUSAL_EMPTY_VALUE,
	REFUSAL_TOO_LARGE,
	REFUSAL_BAD_JSON,
	REFUSAL_DUPLICATE_KEY,
	REFUSAL_BAD_FIELD,
	REFUSAL_ORDER_CONFLICT, /* from the ledger: the order id stands with other content */
	REFUSAL_DB_REJECTED,    /* from the ledger: PostgreSQL takes every row but this one */
};

const char *refusal_name(enum refusal r);

/* Which fields of an event hold a valid value; of a refused one perhaps only some. */
enum event_field {
	EVENT_ORDER_ID = 1 << 0,
	EVENT_PAYMENT_KEY = 1 << 1,
	EVENT_AMOUNT = 1 << 2,
	EVENT_TICKET_TYPE_ID = 1 << 3,
	EVENT_MEMBER_ID = 1 << 4,
	EVENT_QUANTITY = 1 << 5,
	EVENT_ALL = (1 << 6) - 1,
};

/* What the payment service said. */
struct payment_event {
	struct bytes order_id;
	struct bytes payment_key;
	int64_t amount_minor;
	int64_t ticket_type_id;
	int64_t member_id;
	int32_t quantity;
	unsigned fields; /* enum event_field */
};

/* The row of table payment, as far as an order's later records need it. */
struct payment_row {
	struct payment_event event;
	enum payment_status status;
	int32_t partition;
	int64_t offset;
	int64_t decided_at_us; /* microseconds since 1970, by PostgreSQL's clock */
};

/* What became of a record. */
enum verdict {
	VERDICT_NONE = 0,  /* not decided yet */
	VERDICT_FRESH,     /* its payment row was inserted by this transaction, or is its own (replay) */
	VERDICT_DUPLICATE, /* the same content was decided earlier */
	VERDICT_CONFLICT,  /* the order id stands with other content */
	VERDICT_REFUSED,   /* a dead letter */
	VERDICT_SILENT,    /* a replayed record that left nothing to say */
};

/* A record as Kafka gave it. Everything points into the source and holds until its next call. */
struct raw_record {
	int32_t partition;
	int64_t offset;
	int64_t timestamp_ms; /* since 1970; -1: none */
	struct bytes key;     /* data NULL: none */
	struct bytes value;   /* data NULL: tombstone */
	struct bytes headers; /* Kafka's own record-header bytes (count, then each key and value, as in
	                         message format 2); data NULL: none */
};

/*
 * A record on its way through the ledger. What it points to belongs to its batch. In the order of
 * use: a batch is gone through many times, each time for a line or two of these three.
 */
struct record {
	int64_t offset;
	int64_t timestamp_ms; /* -1: none */
	enum refusal refusal; /* REFUSAL_NONE: `event` is whole */

	/* Of the slice it is in: its order id's entry in batch.candidates. Whole events only. */
	uint32_t candidate;

	/* Decided later, by decide.c. */
	enum verdict verdict;
	enum payment_status predicted; /* what the row is inserted with, before the stock is known */
	enum payment_status status;    /* of the payment row: for FRESH, DUPLICATE and CONFLICT */
	int64_t remaining;             /* stock right after a fresh decision of this run; -1: null */
	int64_t decided_at_us;         /* the row's, or the letter's parked_at for REFUSED */
	const char *detail;            /* why refused, for people; ASCII, begins with the field of
	                                  BAD_FIELD; "" when not refused */

	struct payment_event event;

	struct bytes key;     /* data NULL: none */
	struct bytes value;   /* its first limits.event_bytes bytes */
	struct bytes headers; /* data NULL: none */
	int64_t value_bytes;  /* the length of the whole value */
	struct bytes first_payment_key; /* CONFLICT: the payment key that stands */
};
