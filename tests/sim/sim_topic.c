/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

/*
 * Records whose truth is known by construction: the text is written from the fields, never read
 * back.
 */

void sim_order_name(int order, char ret[32])
{
	/* Names that sort otherwise than they were made. */
	snprintf(ret, 32, "%c-order-%d", 'a' + (order * 7) % 26, order);
}

int sim_order_index(struct bytes id)
{
	char name[32];

	if (!id.data || id.length < 8 || id.length > 20)
		return -1;

	int order = atoi(id.data + 8);

	if (order < 0 || order >= SIM_ORDERS_MAX)
		return -1;
	sim_order_name(order, name);
	return id.length == strlen(name) && memcmp(id.data, name, id.length) == 0 ? order : -1;
}

struct sim_record *sim_record_at(struct sim_world *w, int32_t partition, int64_t offset)
{
	struct sim_partition *p = &w->partitions[partition];

	for (int i = 0; i < p->visible; i++) {
		if (p->records[i].offset == offset)
			return &p->records[i];
	}
	return NULL;
}

int64_t sim_high(const struct sim_world *w, int32_t partition)
{
	const struct sim_partition *p = &w->partitions[partition];

	/* While more is to come: transaction markers stand between the last record and the next. */
	if (p->visible < p->total)
		return p->visible > 0 ? p->records[p->visible].offset : p->records[0].offset;
	return p->total > 0 ? p->records[p->total - 1].offset + 1 : 0;
}

static void text(struct sim_record *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void text(struct sim_record *r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	r->value_bytes = (size_t)vsnprintf(r->value, sizeof(r->value), format, ap);
	va_end(ap);
}

static void good_text(struct sim_world *w, struct sim_record *r)
{
	char order[32], quantity[40] = "";

	sim_order_name(r->order, order);
	if (r->quantity != 1 || sim_below(w, 2))
		snprintf(quantity, sizeof(quantity), ",\"quantity\":%" PRId32, r->quantity);
	text(r,
		"{\"orderId\":\"%s\",\"paymentKey\":\"%s\",\"amount\":%" PRId64
		",\"ticketTypeId\":%" PRId64 ",\"memberId\":%" PRId64 "%s%s}",
		order, r->payment_key, r->amount, r->type, r->member, quantity,
		sim_below(w, 4) ? "" : ",\"note\":{\"a\":[1,2.5,null]}");
}

static void make_good(struct sim_world *w, struct sim_record *r)
{
	r->order = w->order_count++;
	snprintf(r->payment_key, sizeof(r->payment_key), "pay-%d", (int)sim_below(w, 20));
	r->amount = sim_below(w, 100000);
	r->type = sim_below(w, 20) ? 1 + sim_below(w, w->type_count) : SIM_UNKNOWN_TYPE;
	r->member = 1 + sim_below(w, 50);
	r->quantity = sim_below(w, 3) ? 1 : (int32_t)(1 + sim_below(w, 4));
	w->poisoned[r->order] = sim_below(w, 40) == 0;
	good_text(w, r);
}

/* The order of a record made before, in any partition; perhaps with other content. */
static bool make_again(struct sim_world *w, struct sim_record *r, bool other)
{
	const struct sim_partition *p = &w->partitions[sim_below(w, w->partition_count)];

	if (p->total == 0)
		return false;

	const struct sim_record *from = &p->records[sim_below(w, p->total)];
	int64_t offset = r->offset, timestamp_ms = r->timestamp_ms;

	if (from->refusal != REFUSAL_NONE)
		return false;
	*r = *from;
	r->offset = offset;
	r->timestamp_ms = timestamp_ms;
	if (other) {
		switch (sim_below(w, 4)) {
		case 0:
			snprintf(r->payment_key, sizeof(r->payment_key), "other-%d",
				(int)sim_below(w, 9));
			break;
		case 1:
			r->amount++;
			break;
		case 2:
			r->quantity++;
			break;
		default:
			r->type = r->type == 1 ? 2 : 1;
		}
	}
	good_text(w, r);
	return true;
}

static void make_bad(struct sim_world *w, struct sim_record *r)
{
	char order[32];
	int o = (int)sim_below(w, w->order_count > 0 ? w->order_count : 1);

	sim_order_name(o, order);
	r->order = -1;
	switch (sim_below(w, 7)) {
	case 0:
		r->tombstone = true;
		r->refusal = REFUSAL_EMPTY_VALUE;
		break;
	case 1:
		text(r, "{\"orderId\":\"%s\",", order);
		r->refusal = REFUSAL_BAD_JSON;
		break;
	case 2:
		text(r, "{\"orderId\":\"%s\",\"orderId\":\"%s\"}", order, order);
		r->refusal = REFUSAL_DUPLICATE_KEY;
		break;
	case 3:
		memset(r->value, 'x', SIM_EVENT_BYTES + 10);
		r->value_bytes = SIM_EVENT_BYTES + 10;
		r->refusal = REFUSAL_TOO_LARGE;
		break;
	case 4:
		text(r, "{\"paymentKey\":\"k\",\"amount\":1,\"ticketTypeId\":1,\"memberId\":1}");
		r->refusal = REFUSAL_BAD_FIELD;
		break;
	default: /* readable order ids: an outcome is due */
		text(r,
			"{\"orderId\":\"%s\",\"paymentKey\":\"k\",\"amount\":%s,"
			"\"ticketTypeId\":1,\"memberId\":1}",
			order, sim_below(w, 2) ? "1.5" : "-1");
		r->refusal = REFUSAL_BAD_FIELD;
		r->order = o;
	}
}

static void make_record(struct sim_world *w, struct sim_record *r)
{
	int64_t dice = sim_below(w, 100);

	if (dice < 10)
		make_bad(w, r);
	else if (dice >= 35 || !make_again(w, r, dice >= 27))
		make_good(w, r);
}

void sim_topic_init(struct sim_world *w)
{
	int each = 4 + (int)sim_below(w, SIM_RECORDS_MAX - 3);
	int64_t next[SIM_PARTITIONS_MAX];

	w->partition_count = 1 + (int)sim_below(w, SIM_PARTITIONS_MAX);
	w->type_count = 2 + (int)sim_below(w, SIM_TYPES_MAX - 1);
	for (int t = 0; t < w->type_count; t++) {
		w->types[t].id = t + 1;
		w->types[t].total = w->types[t].remaining = sim_below(w, each);
	}
	for (int p = 0; p < w->partition_count; p++) {
		w->partitions[p].committed = -1;
		next[p] = sim_below(w, 3) ? 0 : sim_below(w, 5);
		w->partitions[p].low = next[p];
	}

	/* Round about, so that duplicates look back into every partition. */
	for (int i = 0; i < each; i++) {
		for (int p = 0; p < w->partition_count; p++) {
			struct sim_partition *part = &w->partitions[p];
			struct sim_record *r = &part->records[part->total];

			if (sim_below(w, 15) == 0)
				next[p] += 1 + sim_below(w, 3);
			r->offset = next[p]++;
			r->timestamp_ms = sim_below(w, 30) ? SIM_EPOCH_US / 1000 + i * 10 + p : -1;
			make_record(w, r);
			part->total++;
		}
	}
	for (int p = 0; p < w->partition_count; p++)
		w->partitions[p].visible = (int)sim_below(w, w->partitions[p].total + 1);
}
