/* SPDX-License-Identifier: Apache-2.0 */
#include "workload.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What each draw of an event is for: draws with the same salt are the same. */
enum salt { SALT_DUPLICATE, SALT_BACK, SALT_TYPE, SALT_ID_HIGH, SALT_ID_LOW, SALT_COUNT };

enum { NUMBER_DIGITS = 12, RANDOM_DIGITS = WORKLOAD_ID_BYTES - NUMBER_DIGITS };

/* How far back a repetition reaches: a retry of the producer's or a second click comes soon. */
enum { BACK = 100000 };

/* splitmix64, https://prng.di.unimi.it/splitmix64.c */
static uint64_t draw(const struct workload *w, int64_t i, enum salt salt)
{
	uint64_t z = (uint64_t)w->options->seed * UINT64_C(0xd1342543de82ef95) +
		     ((uint64_t)i * SALT_COUNT + salt + 1) * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static double share(const struct workload *w, int64_t i, enum salt salt)
{
	return (double)(draw(w, i, salt) >> 11) * 0x1p-53;
}

bool workload_init(struct workload *w, const struct options *o)
{
	double sum = 0;

	*w = (struct workload){.options = o, .time_ordered = !strcmp(o->ids, "time")};
	if (!w->time_ordered && strcmp(o->ids, "random") != 0) {
		fprintf(stderr, "--ids: random or time\n");
		return false;
	}
	if (o->types == 1 || o->skew <= 0)
		return true;
	w->cumulated = calloc((size_t)o->types, sizeof(double));
	if (!w->cumulated)
		abort();
	for (int64_t k = 0; k < o->types; k++)
		w->cumulated[k] = sum += pow((double)(k + 1), -o->skew);
	for (int64_t k = 0; k < o->types; k++)
		w->cumulated[k] /= sum;
	return true;
}

void workload_done(struct workload *w)
{
	free(w->cumulated);
}

bool workload_is_fresh(const struct workload *w, int64_t i)
{
	return w->options->duplicates <= 0 || i == w->options->first ||
	       share(w, i, SALT_DUPLICATE) >= w->options->duplicates;
}

/* The event that event i says again, or i itself. */
static int64_t original(const struct workload *w, int64_t i)
{
	while (!workload_is_fresh(w, i)) {
		uint64_t reach = (uint64_t)(i - w->options->first);

		i -= 1 + (int64_t)(draw(w, i, SALT_BACK) % (reach < BACK ? reach : BACK));
	}
	return i;
}

static int64_t ticket_type(const struct workload *w, int64_t i)
{
	int64_t low = 0, high = w->options->types - 1;

	if (!w->cumulated)
		return high == 0 ? 1 : 1 + (int64_t)(draw(w, i, SALT_TYPE) % (uint64_t)(high + 1));
	for (double at = share(w, i, SALT_TYPE); low < high;) {
		int64_t middle = (low + high) / 2;

		if (w->cumulated[middle] > at)
			high = middle;
		else
			low = middle + 1;
	}
	return low + 1;
}

static void put_hex(char *at, int digits, uint64_t value)
{
	while (digits-- > 0) {
		at[digits] = "0123456789abcdef"[value & 15];
		value >>= 4;
	}
}

static char *put_text(char *at, const char *text, size_t length)
{
	memcpy(at, text, length);
	return at + length;
}

/* Millions of events are made between two measurements: printf would take longer than Kafka. */
static char *put_number(char *at, int64_t value)
{
	char digits[20];
	int n = 0;

	do
		digits[n++] = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	while (n > 0)
		*at++ = digits[--n];
	return at;
}

void workload_event(
	const struct workload *w, int64_t i, char room[WORKLOAD_ROOM], struct payment_event *ret)
{
	int64_t n = original(w, i);
	char *random = room + (w->time_ordered ? NUMBER_DIGITS : 0);
	char *key = room + WORKLOAD_ID_BYTES;

	put_hex(room + (w->time_ordered ? 0 : RANDOM_DIGITS), NUMBER_DIGITS, (uint64_t)n);
	put_hex(random, 16, draw(w, n, SALT_ID_HIGH));
	put_hex(random + 16, RANDOM_DIGITS - 16, draw(w, n, SALT_ID_LOW));
	*ret = (struct payment_event){
		.order_id = {room, WORKLOAD_ID_BYTES},
		.payment_key = {key, (size_t)(put_number(put_text(key, "pay-", 4), n) - key)},
		.amount_minor = 15000,
		.ticket_type_id = ticket_type(w, n),
		.member_id = n + 1,
		.quantity = 1,
		.fields = EVENT_ALL,
	};
}

size_t workload_json(const struct payment_event *e, char ret[WORKLOAD_JSON_MAX])
{
	char *p = ret;

#define PUT(literal) p = put_text(p, literal, sizeof(literal) - 1)
	PUT("{\"orderId\":\"");
	p = put_text(p, e->order_id.data, e->order_id.length);
	PUT("\",\"paymentKey\":\"");
	p = put_text(p, e->payment_key.data, e->payment_key.length);
	PUT("\",\"amount\":");
	p = put_number(p, e->amount_minor);
	PUT(",\"ticketTypeId\":");
	p = put_number(p, e->ticket_type_id);
	PUT(",\"memberId\":");
	p = put_number(p, e->member_id);
	PUT(",\"quantity\":");
	p = put_number(p, e->quantity);
	PUT("}");
#undef PUT
	return (size_t)(p - ret);
}

int64_t workload_number(const struct workload *w, struct bytes id)
{
	char digits[NUMBER_DIGITS + 1] = "";
	char *end = NULL;

	if (id.length != WORKLOAD_ID_BYTES)
		return -1;
	memcpy(digits, id.data + (w->time_ordered ? 0 : RANDOM_DIGITS), NUMBER_DIGITS);

	int64_t n = strtoll(digits, &end, 16);

	return *end ? -1 : n;
}

struct bytes json_text(struct bytes json, const char *name)
{
	char wanted[64];
	int n = snprintf(wanted, sizeof(wanted), "\"%s\":\"", name);
	const char *found = json.data ? memmem(json.data, json.length, wanted, (size_t)n) : NULL;
	const char *begin = found ? found + n : NULL;
	const char *end =
		begin ? memchr(begin, '"', (size_t)(json.data + json.length - begin)) : NULL;

	return end ? (struct bytes){begin, (size_t)(end - begin)} : (struct bytes){NULL, 0};
}
