/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sim.h"

/* Judges an outcome at the moment when the outcome topic has it: it must say what the database
 * says. */

struct said {
	const char *order, *payment_key, *status, *decided_at, *topic, *first_payment_key, *reason;
	json_int_t type, member, quantity, amount, remaining, partition, offset;
	bool has_remaining, duplicate;
};

static json_int_t number(json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? json_integer_value(v) : -1;
}

/* false: a key is missing or of a wrong type. */
static bool read_said(json_t *o, struct said *s)
{
	static const char *const keys[] = {"orderId", "paymentKey", "ticketTypeId", "memberId",
		"quantity", "amount", "status", "remaining", "duplicate", "decidedAt", "topic",
		"partition", "offset"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (!json_object_get(o, keys[i]))
			return false;
	}
	*s = (struct said){
		.order = json_string_value(json_object_get(o, "orderId")),
		.payment_key = json_string_value(json_object_get(o, "paymentKey")),
		.status = json_string_value(json_object_get(o, "status")),
		.decided_at = json_string_value(json_object_get(o, "decidedAt")),
		.topic = json_string_value(json_object_get(o, "topic")),
		.first_payment_key = json_string_value(json_object_get(o, "firstPaymentKey")),
		.reason = json_string_value(json_object_get(o, "reason")),
		.type = number(o, "ticketTypeId"),
		.member = number(o, "memberId"),
		.quantity = number(o, "quantity"),
		.amount = number(o, "amount"),
		.remaining = number(o, "remaining"),
		.partition = number(o, "partition"),
		.offset = number(o, "offset"),
		.has_remaining = json_is_integer(json_object_get(o, "remaining")),
		.duplicate = json_is_true(json_object_get(o, "duplicate")),
	};
	return s->order && s->status && s->decided_at && s->topic &&
	       strcmp(s->topic, SIM_TOPIC) == 0 && s->partition >= 0;
}

/* Microseconds since 1970 of YYYY-MM-DDThh:mm:ss.uuuuuuZ; -1: it is not that. */
static int64_t read_time(const char *text)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	int us, n = 0;

	if (!rest || sscanf(rest, ".%6d%n", &us, &n) != 1 || n != 7 || strcmp(rest + n, "Z") != 0)
		return -1;
	return (int64_t)timegm(&tm) * 1000000 + us;
}

/* What is wrong with it, or NULL. */
static const char *fault_of(struct sim_world *w, const struct sim_record *r, const struct said *s)
{
	const struct sim_payment *row = r->order >= 0 ? &w->payments[r->order] : NULL;
	int64_t decided_at_us = read_time(s->decided_at);
	enum verdict verdict = r->verdict;

	/* A replay may pass what a seek went over: then the order's row speaks, if there is one. */
	if (!r->decided && r->was_skipped && r->refusal == REFUSAL_NONE && row->committed)
		verdict = sim_same_content(r, row) ? VERDICT_DUPLICATE : VERDICT_CONFLICT;
	else if (!r->decided)
		return "of a record that is not decided";
	if (verdict == VERDICT_REFUSED) {
		if (strcmp(s->status, "REFUSED") != 0 || r->order < 0 || s->duplicate ||
			s->has_remaining)
			return "of a refused record";
		if (decided_at_us != r->parked_at_us && !r->parked_again)
			return "with another time than its dead letter";
		return s->reason && strcmp(s->reason, refusal_name(r->letter)) == 0
			       ? NULL
			       : "with another reason than its dead letter";
	}
	if (!s->payment_key || strcmp(s->payment_key, r->payment_key) != 0 || s->type != r->type ||
		s->member != r->member || s->quantity != r->quantity || s->amount != r->amount)
		return "with other fields than its event";
	if (decided_at_us != row->decided_at_us)
		return "with another time than the payment row";
	if (verdict == VERDICT_CONFLICT) {
		if (strcmp(s->status, "ORDER_CONFLICT") != 0 || s->duplicate || s->has_remaining)
			return "of a conflict";
		return s->first_payment_key && strcmp(s->first_payment_key, row->payment_key) == 0
			       ? NULL
			       : "with another first payment key";
	}
	if (strcmp(s->status, payment_status_name(row->status)) != 0)
		return "with another status than the payment row";
	if (s->duplicate != (verdict == VERDICT_DUPLICATE))
		return "with a wrong `duplicate`";
	if (s->has_remaining && (s->duplicate || s->remaining != row->remaining))
		return "with a wrong `remaining`";
	return NULL;
}

void sim_judge_outcome(struct sim_world *w, const struct sim_message *m)
{
	json_error_t error;
	json_t *o = json_loadb(m->value, m->value_bytes, JSON_REJECT_DUPLICATES, &error);
	struct said s;
	char name[32] = "";

	if (!o || !read_said(o, &s)) {
		sim_violation(w, "not an outcome: %s", m->value);
		json_decref(o);
		return;
	}

	struct sim_record *r = s.partition < w->partition_count
				       ? sim_record_at(w, (int32_t)s.partition, s.offset)
				       : NULL;
	const char *fault = r ? fault_of(w, r, &s) : "of a record that does not exist";

	if (r && r->order >= 0)
		sim_order_name(r->order, name);
	if (!fault && (strcmp(name, s.order) != 0 || strcmp(name, m->key) != 0))
		fault = "of another order than its event";
	if (fault)
		sim_violation(w, "an outcome %s: %s", fault, m->value);
	else if (r->decided)
		r->published = true;
	w->version++;
	json_decref(o);
}
