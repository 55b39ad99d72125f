/* SPDX-License-Identifier: Apache-2.0 */
#include "core/outcome.h"

#include <assert.h>

/* A place in the buffer. Hand-written: snprintf costs ten times as much for each record. */
struct writer {
	char *at;
	char *end;
};

/* Inline, so that a literal becomes a few stores. */
__attribute__((always_inline)) static inline void put_bytes(
	struct writer *w, const char *data, size_t length)
{
	assert(length <= (size_t)(w->end - w->at));
	memcpy(w->at, data, length);
	w->at += length;
}

#define PUT_LITERAL(w, s) put_bytes((w), (s), sizeof(s) - 1)

static void put_text(struct writer *w, const char *s)
{
	put_bytes(w, s, strlen(s));
}

/* Two digits a division: it is what costs. */
static void put_integer(struct writer *w, int64_t n)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324"
				    "25262728293031323334353637383940414243444546474849"
				    "50515253545556575859606162636465666768697071727374"
				    "75767778798081828384858687888990919293949596979899";
	char digits[20];
	size_t at = sizeof(digits);
	uint64_t left = n < 0 ? -(uint64_t)n : (uint64_t)n;

	for (; left >= 100; left /= 100)
		memcpy(digits + (at -= 2), pairs + 2 * (left % 100), 2);
	if (left >= 10)
		memcpy(digits + (at -= 2), pairs + 2 * left, 2);
	else
		digits[--at] = (char)('0' + left);
	if (n < 0)
		PUT_LITERAL(w, "-");
	put_bytes(w, digits + at, sizeof(digits) - at);
}

static bool is_plain(char c)
{
	return (unsigned char)c >= ' ' && c != '"' && c != '\\';
}

static void put_escaped(struct writer *w, char c)
{
	static const char hex[] = "0123456789abcdef";

	if (c == '"' || c == '\\') {
		PUT_LITERAL(w, "\\");
		put_bytes(w, &c, 1);
	} else {
		PUT_LITERAL(w, "\\u00");
		put_bytes(w, &hex[c >> 4], 1);
		put_bytes(w, &hex[c & 15], 1);
	}
}

/*
 * A JSON string. The decoder lets no control character in, but firstPaymentKey comes from the
 * database, where others may write: such a row must neither break the JSON nor the buffer.
 */
static void put_string(struct writer *w, struct bytes s, size_t maximum)
{
	size_t length = s.length < maximum ? s.length : maximum, i = 0;

	PUT_LITERAL(w, "\"");
	while (i < length) {
		size_t from = i;

		while (i < length && is_plain(s.data[i]))
			i++;
		put_bytes(w, s.data + from, i - from);
		if (i < length)
			put_escaped(w, s.data[i++]);
	}
	PUT_LITERAL(w, "\"");
}

static void put_padded(struct writer *w, int64_t n, int width)
{
	char digits[8];

	for (int i = width; i-- > 0; n /= 10)
		digits[i] = (char)('0' + n % 10);
	put_bytes(w, digits, (size_t)width);
}

struct date {
	int64_t year;
	int month, day;
};

/* days: since 1970-01-01; https://howardhinnant.github.io/date_algorithms.html#civil_from_days */
static struct date date_from_days(int64_t days)
{
	int64_t z = days + 719468; /* since 0000-03-01: leap days come last in a year */
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t day_of_era = z - era * 146097;
	int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t month = (5 * day_of_year + 2) / 153; /* from March */

	return (struct date){
		.year = year_of_era + era * 400 + (month >= 10),
		.month = (int)(month < 10 ? month + 3 : month - 9),
		.day = (int)(day_of_year - (153 * month + 2) / 5 + 1),
	};
}

/* RFC 3339 knows the years 0 to 9999; PostgreSQL's infinity and its like end there. */
#define FIRST_US (INT64_C(-62167219200) * 1000000)
#define LAST_US (INT64_C(253402300800) * 1000000 - 1)
#define DAY_US (INT64_C(86400) * 1000000)

static void put_time(struct writer *w, int64_t us)
{
	if (us < FIRST_US)
		us = FIRST_US;
	if (us > LAST_US)
		us = LAST_US;

	int64_t days = us / DAY_US - (us % DAY_US < 0);
	int64_t in_day = us - days * DAY_US;
	struct date date = date_from_days(days);

	PUT_LITERAL(w, "\"");
	put_padded(w, date.year, 4);
	PUT_LITERAL(w, "-");
	put_padded(w, date.month, 2);
	PUT_LITERAL(w, "-");
	put_padded(w, date.day, 2);
	PUT_LITERAL(w, "T");
	put_padded(w, in_day / (INT64_C(3600) * 1000000), 2);
	PUT_LITERAL(w, ":");
	put_padded(w, in_day / (60 * 1000000) % 60, 2);
	PUT_LITERAL(w, ":");
	put_padded(w, in_day / 1000000 % 60, 2);
	PUT_LITERAL(w, ".");
	put_padded(w, in_day % 1000000, 6);
	PUT_LITERAL(w, "Z\"");
}

static void put_event_integer(
	struct writer *w, const struct payment_event *e, enum event_field field, int64_t n)
{
	if (e->fields & field)
		put_integer(w, n);
	else
		PUT_LITERAL(w, "null");
}

bool outcome_due(const struct record *r)
{
	switch (r->verdict) {
	case VERDICT_FRESH:
	case VERDICT_DUPLICATE:
	case VERDICT_CONFLICT:
		return true;
	case VERDICT_REFUSED:
		return r->refusal == REFUSAL_BAD_FIELD && (r->event.fields & EVENT_ORDER_ID);
	case VERDICT_NONE:
	case VERDICT_SILENT:
		return false;
	}
	return false;
}

static const char *status_text(const struct record *r)
{
	switch (r->verdict) {
	case VERDICT_CONFLICT:
		return "ORDER_CONFLICT";
	case VERDICT_REFUSED:
		return "REFUSED";
	case VERDICT_FRESH:
	case VERDICT_DUPLICATE:
	case VERDICT_NONE:
	case VERDICT_SILENT:
		break;
	}
	return payment_status_name(r->status);
}

static void put_remaining(struct writer *w, const struct record *r)
{
	if (r->verdict == VERDICT_FRESH && r->status != PAYMENT_UNKNOWN_TICKET_TYPE &&
		r->remaining >= 0)
		put_integer(w, r->remaining);
	else
		PUT_LITERAL(w, "null");
}

size_t outcome_encode(
	const struct record *r, const char *topic, int32_t partition, char ret[OUTCOME_MAX_BYTES])
{
	const struct payment_event *e = &r->event;
	struct writer w = {.at = ret, .end = ret + OUTCOME_MAX_BYTES};

	PUT_LITERAL(&w, "{\"orderId\":\"");
	put_bytes(&w, e->order_id.data, e->order_id.length); /* has nothing to escape */
	PUT_LITERAL(&w, "\"");
	PUT_LITERAL(&w, ",\"paymentKey\":");
	if (e->fields & EVENT_PAYMENT_KEY)
		put_string(&w, e->payment_key, PAYMENT_KEY_MAX_BYTES);
	else
		PUT_LITERAL(&w, "null");
	PUT_LITERAL(&w, ",\"ticketTypeId\":");
	put_event_integer(&w, e, EVENT_TICKET_TYPE_ID, e->ticket_type_id);
	PUT_LITERAL(&w, ",\"memberId\":");
	put_event_integer(&w, e, EVENT_MEMBER_ID, e->member_id);
	PUT_LITERAL(&w, ",\"quantity\":");
	put_event_integer(&w, e, EVENT_QUANTITY, e->quantity);
	PUT_LITERAL(&w, ",\"amount\":");
	put_event_integer(&w, e, EVENT_AMOUNT, e->amount_minor);
	PUT_LITERAL(&w, ",\"status\":\"");
	put_text(&w, status_text(r));
	PUT_LITERAL(&w, "\",\"remaining\":");
	put_remaining(&w, r);
	PUT_LITERAL(&w, ",\"duplicate\":");
	put_text(&w, r->verdict == VERDICT_DUPLICATE ? "true" : "false");
	PUT_LITERAL(&w, ",\"decidedAt\":");
	put_time(&w, r->decided_at_us);
	PUT_LITERAL(&w, ",\"topic\":\"");
	put_text(&w, topic);
	PUT_LITERAL(&w, "\",\"partition\":");
	put_integer(&w, partition);
	PUT_LITERAL(&w, ",\"offset\":");
	put_integer(&w, r->offset);
	if (r->verdict == VERDICT_CONFLICT) {
		PUT_LITERAL(&w, ",\"firstPaymentKey\":");
		put_string(&w, r->first_payment_key, PAYMENT_KEY_MAX_BYTES);
	}
	if (r->verdict == VERDICT_REFUSED) {
		PUT_LITERAL(&w, ",\"reason\":\"");
		put_text(&w, refusal_name(r->refusal));
		PUT_LITERAL(&w, "\"");
	}
	PUT_LITERAL(&w, "}");
	return (size_t)(w.at - ret);
}
