/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <cmocka.h>

#include "core/outcome.h"

#define DECIDED_AT INT64_C(1767323045000007) /* 2026-01-02T03:04:05.000007Z */

static struct record example(enum verdict verdict, enum payment_status status)
{
	return (struct record){
		.offset = 41,
		.event = {.order_id = BYTES_LITERAL("o=1"),
			.payment_key = BYTES_LITERAL("pay"),
			.amount_minor = AMOUNT_MAX_MINOR,
			.ticket_type_id = INT64_MAX,
			.member_id = 3,
			.quantity = 2,
			.fields = EVENT_ALL},
		.verdict = verdict,
		.status = status,
		.remaining = -1,
		.decided_at_us = DECIDED_AT,
	};
}

static const char *encode(const struct record *r)
{
	static char text[OUTCOME_MAX_BYTES + 1];
	size_t length;

	memset(text, '~', sizeof(text));
	assert_true(outcome_due(r));
	length = outcome_encode(r, "payment-completed", 7, text);
	assert_true(length < OUTCOME_MAX_BYTES);
	assert_int_equal(text[length], '~');
	text[length] = '\0';

	/* Whatever it says, a strict reader takes it. */
	json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(json);
	json_decref(json);
	return text;
}

#define HEAD                                                                                       \
	"{\"orderId\":\"o=1\",\"paymentKey\":\"pay\",\"ticketTypeId\":9223372036854775807,"        \
	"\"memberId\":3,\"quantity\":2,\"amount\":1000000000000000,"
#define TAIL                                                                                       \
	"\"decidedAt\":\"2026-01-02T03:04:05.000007Z\",\"topic\":\"payment-completed\","           \
	"\"partition\":7,\"offset\":41"

static void fresh_decisions_say_what_is_left(void **state)
{
	struct record r = example(VERDICT_FRESH, PAYMENT_CONFIRMED);
	(void)state;

	r.remaining = 0;
	assert_string_equal(encode(&r),
		HEAD "\"status\":\"CONFIRMED\",\"remaining\":0,\"duplicate\":false," TAIL "}");
	r = example(VERDICT_FRESH, PAYMENT_SOLD_OUT);
	r.remaining = 1;
	assert_string_equal(encode(&r),
		HEAD "\"status\":\"SOLD_OUT\",\"remaining\":1,\"duplicate\":false," TAIL "}");
	r = example(VERDICT_FRESH, PAYMENT_UNKNOWN_TICKET_TYPE);
	assert_string_equal(encode(&r), HEAD
		"\"status\":\"UNKNOWN_TICKET_TYPE\",\"remaining\":null,\"duplicate\":false," TAIL
		"}");
}

static void replayed_decision_does_not_know_what_was_left(void **state)
{
	struct record r = example(VERDICT_FRESH, PAYMENT_CONFIRMED);
	(void)state;

	assert_string_equal(encode(&r),
		HEAD "\"status\":\"CONFIRMED\",\"remaining\":null,\"duplicate\":false," TAIL "}");
}

static void duplicate_repeats_the_first_status(void **state)
{
	struct record r = example(VERDICT_DUPLICATE, PAYMENT_SOLD_OUT);
	(void)state;

	r.remaining = 5; /* not of its own decision */
	assert_string_equal(encode(&r),
		HEAD "\"status\":\"SOLD_OUT\",\"remaining\":null,\"duplicate\":true," TAIL "}");
}

static void conflict_names_the_payment_that_stands(void **state)
{
	struct record r = example(VERDICT_CONFLICT, PAYMENT_CONFIRMED);
	(void)state;

	r.refusal = REFUSAL_ORDER_CONFLICT;
	r.first_payment_key = (struct bytes)BYTES_LITERAL("the \"first\"");
	assert_string_equal(encode(&r),
		HEAD "\"status\":\"ORDER_CONFLICT\",\"remaining\":null,\"duplicate\":false," TAIL
		     ",\"firstPaymentKey\":\"the \\\"first\\\"\"}");
}

static void refused_event_has_null_for_what_is_unreadable(void **state)
{
	static const struct {
		enum event_field field;
		const char *key;
	} fields[] = {{EVENT_PAYMENT_KEY, "paymentKey"}, {EVENT_AMOUNT, "amount"},
		{EVENT_TICKET_TYPE_ID, "ticketTypeId"}, {EVENT_MEMBER_ID, "memberId"},
		{EVENT_QUANTITY, "quantity"}};
	struct record r = example(VERDICT_REFUSED, PAYMENT_CONFIRMED);
	(void)state;

	r.refusal = REFUSAL_BAD_FIELD;
	r.detail = "memberId is missing";
	r.event.fields = EVENT_ORDER_ID;
	r.remaining = 0;
	assert_string_equal(encode(&r),
		"{\"orderId\":\"o=1\",\"paymentKey\":null,\"ticketTypeId\":null,\"memberId\":null,"
		"\"quantity\":null,\"amount\":null,\"status\":\"REFUSED\",\"remaining\":null,"
		"\"duplicate\":false," TAIL ",\"reason\":\"BAD_FIELD\"}");

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		r.event.fields = EVENT_ALL & ~(unsigned)fields[i].field;

		json_t *json = json_loads(encode(&r), 0, NULL);
		size_t nulls = 0;
		const char *key;
		json_t *value;

		json_object_foreach(json, key, value) nulls += json_is_null(value);
		assert_true(json_is_null(json_object_get(json, fields[i].key)));
		assert_int_equal(nulls, 2); /* and remaining */
		json_decref(json);
	}
}

static void only_what_has_an_order_is_due(void **state)
{
	struct record r = example(VERDICT_NONE, PAYMENT_CONFIRMED);
	(void)state;

	assert_false(outcome_due(&r));
	r.verdict = VERDICT_SILENT;
	assert_false(outcome_due(&r));
	r.verdict = VERDICT_REFUSED;
	for (int refusal = REFUSAL_NONE; refusal <= REFUSAL_DB_REJECTED; refusal++) {
		r.refusal = (enum refusal)refusal;
		r.event.fields = EVENT_ORDER_ID;
		assert_int_equal(outcome_due(&r), refusal == REFUSAL_BAD_FIELD);
		r.event.fields = EVENT_ALL & ~EVENT_ORDER_ID;
		assert_false(outcome_due(&r));
	}
}

static void strings_are_escaped(void **state)
{
	struct record r = example(VERDICT_CONFLICT, PAYMENT_CONFIRMED);
	(void)state;

	r.event.payment_key = (struct bytes)BYTES_LITERAL("a\"b\\c/d~ ");
	r.first_payment_key = (struct bytes)BYTES_LITERAL("x\n\x1f\xc3\xa9");

	json_t *json = json_loads(encode(&r), 0, NULL);

	assert_string_equal(json_string_value(json_object_get(json, "paymentKey")), "a\"b\\c/d~ ");
	assert_string_equal(
		json_string_value(json_object_get(json, "firstPaymentKey")), "x\n\x1f\xc3\xa9");
	json_decref(json);
}

static void longest_outcome_fits(void **state)
{
	char order_id[ORDER_ID_MAX_BYTES], key[PAYMENT_KEY_MAX_BYTES + 100], topic[250];
	char text[OUTCOME_MAX_BYTES];
	struct record r = example(VERDICT_CONFLICT, PAYMENT_UNKNOWN_TICKET_TYPE);
	(void)state;

	memset(order_id, 'o', sizeof(order_id));
	memset(key, '\x01', sizeof(key)); /* six bytes each; more of it than the contract allows */
	memset(topic, 't', sizeof(topic) - 1);
	topic[sizeof(topic) - 1] = '\0';
	r.event.order_id = (struct bytes){order_id, sizeof(order_id)};
	r.event.payment_key = r.first_payment_key = (struct bytes){key, sizeof(key)};
	r.event.amount_minor = r.event.member_id = INT64_MIN;
	r.event.quantity = INT32_MIN;
	r.offset = r.decided_at_us = INT64_MAX;

	size_t length = outcome_encode(&r, topic, INT32_MIN, text);

	assert_in_range(length, 2 * 6 * PAYMENT_KEY_MAX_BYTES, OUTCOME_MAX_BYTES);

	json_t *json = json_loadb(text, length, 0, NULL);

	assert_non_null(json);
	assert_int_equal(json_string_length(json_object_get(json, "firstPaymentKey")),
		PAYMENT_KEY_MAX_BYTES);
	assert_true(json_integer_value(json_object_get(json, "memberId")) == INT64_MIN);
	json_decref(json);
}

static void time_is(int64_t us, const char *expected)
{
	struct record r = example(VERDICT_FRESH, PAYMENT_CONFIRMED);

	r.decided_at_us = us;

	json_t *json = json_loads(encode(&r), 0, NULL);

	assert_string_equal(json_string_value(json_object_get(json, "decidedAt")), expected);
	json_decref(json);
}

static void decided_at_is_rfc_3339_with_microseconds(void **state)
{
	(void)state;
	time_is(0, "1970-01-01T00:00:00.000000Z");
	time_is(-1, "1969-12-31T23:59:59.999999Z");
	time_is(1, "1970-01-01T00:00:00.000001Z");
	time_is(INT64_C(951782400) * 1000000, "2000-02-29T00:00:00.000000Z");
	time_is(INT64_C(4107542399) * 1000000 + 999999, "2100-02-28T23:59:59.999999Z");
	time_is(INT64_C(4107542400) * 1000000, "2100-03-01T00:00:00.000000Z");
	/* RFC 3339 ends there; PostgreSQL's infinity does not. */
	time_is(INT64_C(-62167219200) * 1000000, "0000-01-01T00:00:00.000000Z");
	time_is(INT64_C(-62167219200) * 1000000 - 1, "0000-01-01T00:00:00.000000Z");
	time_is(INT64_MIN, "0000-01-01T00:00:00.000000Z");
	time_is(INT64_C(253402300799) * 1000000 + 999999, "9999-12-31T23:59:59.999999Z");
	time_is(INT64_C(253402300800) * 1000000, "9999-12-31T23:59:59.999999Z");
	time_is(INT64_MAX, "9999-12-31T23:59:59.999999Z");
}

/* The C library computes the same, on a day in every week of 10,000 years, in no time zone. */
static void decided_at_agrees_with_the_c_library(void **state)
{
	(void)state;
	for (int64_t s = INT64_C(-62167219200); s < INT64_C(253402300800);
		s += 604800 * 3 + 86399) {
		time_t t = (time_t)s;
		struct tm tm;
		char expected[64];
		char text[OUTCOME_MAX_BYTES];
		struct record r = example(VERDICT_FRESH, PAYMENT_CONFIRMED);

		r.decided_at_us = s * 1000000 + 123456;
		gmtime_r(&t, &tm);
		snprintf(expected, sizeof(expected), "\"%04d-%02d-%02dT%02d:%02d:%02d.123456Z\"",
			tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
			tm.tm_sec);

		size_t length = outcome_encode(&r, "t", 0, text);

		if (!memmem(text, length, expected, strlen(expected)))
			fail_msg("%s: %.*s", expected, (int)length, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fresh_decisions_say_what_is_left),
		cmocka_unit_test(replayed_decision_does_not_know_what_was_left),
		cmocka_unit_test(duplicate_repeats_the_first_status),
		cmocka_unit_test(conflict_names_the_payment_that_stands),
		cmocka_unit_test(refused_event_has_null_for_what_is_unreadable),
		cmocka_unit_test(only_what_has_an_order_is_due),
		cmocka_unit_test(strings_are_escaped),
		cmocka_unit_test(longest_outcome_fits),
		cmocka_unit_test(decided_at_is_rfc_3339_with_microseconds),
		cmocka_unit_test(decided_at_agrees_with_the_c_library),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
