/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "core/payment_event.h"

enum { EVENT_BYTES = 65536 };

#define WHOLE                                                                                      \
	"{\"orderId\":\"o-1\",\"paymentKey\":\"k 1\",\"amount\":10000,\"ticketTypeId\":7,"         \
	"\"memberId\":42,\"quantity\":2}"

struct decoded {
	struct arena *arena;
	char *value; /* what the event's strings may point into */
	struct payment_event event;
	const char *detail;
	bool no_memory;
	enum refusal refusal;
};

/* From a copy of exactly that length, so that a read behind it is seen. */
static struct decoded decode_bytes(const char *data, size_t length)
{
	struct decoded d = {.arena = arena_new(), .no_memory = true};

	d.value = malloc(length ? length : 1);
	assert_non_null(d.arena);
	assert_non_null(d.value);
	memcpy(d.value, data, length);
	d.refusal = payment_event_decode((struct bytes){d.value, length}, EVENT_BYTES, d.arena,
		&d.event, &d.detail, &d.no_memory);
	assert_false(d.no_memory);
	return d;
}

static void done(struct decoded *d)
{
	arena_free(d->arena);
	free(d->value);
}

static void expect(const char *text, size_t length, enum refusal refusal, const char *detail)
{
	struct decoded d = decode_bytes(text, length);

	if (d.refusal != refusal || strncmp(d.detail, detail, strlen(detail)) != 0)
		fail_msg("%.100s: %s, \"%s\"; not %s, \"%s\"", text, refusal_name(d.refusal),
			d.detail, refusal_name(refusal), detail);
	done(&d);
}

static void expect_text(const char *text, enum refusal refusal, const char *detail)
{
	expect(text, strlen(text), refusal, detail);
}

#define EXPECT(literal, refusal, detail) expect(literal, sizeof(literal) - 1, refusal, detail)

static void assert_bytes(struct bytes b, const char *text)
{
	assert_int_equal(b.length, strlen(text));
	assert_memory_equal(b.data, text, b.length);
}

static void whole_event_is_read(void **state)
{
	(void)state;

	struct decoded d = decode_bytes(WHOLE, sizeof(WHOLE) - 1);

	assert_int_equal(d.refusal, REFUSAL_NONE);
	assert_string_equal(d.detail, "");
	assert_int_equal(d.event.fields, EVENT_ALL);
	assert_bytes(d.event.order_id, "o-1");
	assert_bytes(d.event.payment_key, "k 1");
	assert_int_equal(d.event.amount_minor, 10000);
	assert_int_equal(d.event.ticket_type_id, 7);
	assert_int_equal(d.event.member_id, 42);
	assert_int_equal(d.event.quantity, 2);
	done(&d);
}

/* An event whose one field has another value, or none at all. */
static void with_field(const char *field, const char *value, char *ret, size_t size)
{
	static const char *const names[] = {
		"orderId", "paymentKey", "amount", "ticketTypeId", "memberId", "quantity"};
	static const char *const values[] = {"\"o\"", "\"k\"", "0", "1", "1", "1"};
	size_t n = (size_t)snprintf(ret, size, "{\"unknown\":[{}]");

	for (size_t i = 0; i < 6; i++) {
		const char *v = strcmp(names[i], field) == 0 ? value : values[i];

		if (v)
			n += (size_t)snprintf(ret + n, size - n, ",\"%s\":%s", names[i], v);
	}
	snprintf(ret + n, size - n, "}");
}

static const char *repeat(char c, size_t n)
{
	static char text[512];

	snprintf(text, sizeof(text), "\"");
	memset(text + 1, c, n);
	snprintf(text + 1 + n, sizeof(text) - 1 - n, "\"");
	return text;
}

static void field_case(const char *field, const char *value, const char *detail)
{
	char text[1024], begins[256];

	with_field(field, value, text, sizeof(text));
	snprintf(begins, sizeof(begins), "%s is %s; allowed: ", field, detail ? detail : "");
	if (detail)
		expect_text(text, REFUSAL_BAD_FIELD, begins);
	else
		expect_text(text, REFUSAL_NONE, "");
}

static void strings_are_held_to_their_rules(void **state)
{
	(void)state;

	for (int i = 0; i < 2; i++) {
		const char *field = i ? "paymentKey" : "orderId";

		field_case(field, NULL, "missing");
		field_case(field, "null", "null");
		field_case(field, "1", "a number");
		field_case(field, "1.0", "a number with a fraction or an exponent");
		field_case(field, "true", "true or false");
		field_case(field, "false", "true or false");
		field_case(field, "{}", "an object");
		field_case(field, "[]", "an array");
		field_case(field, "\"\"", "empty");
		field_case(field, "\"a\\n\"", "a string with other characters");
		field_case(field, "\"\\u007f\"", "a string with other characters");
		field_case(field, "\"\\u00e9\"", "a string with other characters");
		field_case(field, "\"\xc3\xa9\"", "a string with other characters");
		field_case(field, repeat('x', i ? 200 : 64), NULL);
		field_case(field, repeat('x', i ? 201 : 65), "too long");
	}
	field_case("orderId", "\"AZaz09_=.-\"", NULL);
	field_case("paymentKey", "\" !\\\"\\\\/~\"", NULL);
	field_case("paymentKey", "\"\\u0041\"", NULL);

	/* Every ASCII character, one by one. */
	for (int c = ' '; c <= '~'; c++) {
		bool allowed = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
			       (c >= 'a' && c <= 'z') || c == '_' || c == '=' || c == '.' ||
			       c == '-';
		char value[16];

		snprintf(value, sizeof(value), "\"\\u%04x\"", c);
		field_case("orderId", value, allowed ? NULL : "a string with other characters");
		field_case("paymentKey", value, NULL);
	}
}

static void integers_are_exact_and_in_range(void **state)
{
	static const struct {
		const char *field, *minimum, *below, *maximum, *above;
	} rules[] = {
		{"amount", "0", "-1", "1000000000000000", "1000000000000001"},
		{"ticketTypeId", "1", "0", "9223372036854775807", NULL},
		{"memberId", "1", "0", "9223372036854775807", NULL},
		{"quantity", "1", "0", "1000", "1001"},
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const char *field = rules[i].field;

		field_case(field, rules[i].minimum, NULL);
		field_case(field, rules[i].maximum, NULL);
		field_case(field, rules[i].below, "too small");
		field_case(field, "-9223372036854775808", "too small");
		if (rules[i].above) {
			field_case(field, rules[i].above, "too large");
			field_case(
				field, "4294967297", strcmp(field, "amount") ? "too large" : NULL);
		}
		field_case(field, "1e3", "a number with a fraction or an exponent");
		field_case(field, "1E0", "a number with a fraction or an exponent");
		field_case(field, "100.0", "a number with a fraction or an exponent");
		field_case(field, "\"1\"", "a string");
		field_case(field, "null", "null");
		field_case(field, "true", "true or false");
		field_case(field, "{}", "an object");
		field_case(field, "[1]", "an array");
		field_case(field, NULL, strcmp(field, "quantity") ? "missing" : NULL);
	}
	field_case("amount", "-0", NULL); /* exactly 0 */
	field_case("memberId", "-0", "too small");
	field_case("ticketTypeId", "9007199254740993", NULL);
}

static void large_integers_keep_their_last_digit(void **state)
{
	(void)state;

	char text[1024];

	with_field("memberId", "9007199254740993", text, sizeof(text)); /* no double holds it */

	struct decoded d = decode_bytes(text, strlen(text));

	assert_true(d.event.member_id == INT64_C(9007199254740993));
	done(&d);
}

static void quantity_left_out_is_one(void **state)
{
	(void)state;

	char text[1024];

	with_field("quantity", NULL, text, sizeof(text));

	struct decoded d = decode_bytes(text, strlen(text));

	assert_int_equal(d.refusal, REFUSAL_NONE);
	assert_int_equal(d.event.quantity, 1);
	assert_int_equal(d.event.fields, EVENT_ALL);
	done(&d);
}

static void first_failing_field_is_told_and_the_valid_ones_are_kept(void **state)
{
	(void)state;

	static const char text[] =
		"{\"quantity\":0,\"memberId\":\"x\",\"amount\":-5,\"orderId\":\"o\","
		"\"ticketTypeId\":3}";
	struct decoded d = decode_bytes(text, sizeof(text) - 1);

	assert_int_equal(d.refusal, REFUSAL_BAD_FIELD);
	assert_memory_equal(d.detail, "paymentKey is missing", 21);
	assert_int_equal(d.event.fields, EVENT_ORDER_ID | EVENT_TICKET_TYPE_ID);
	assert_bytes(d.event.order_id, "o");
	assert_int_equal(d.event.ticket_type_id, 3);
	assert_null(d.event.payment_key.data);
	done(&d);
}

static void empty_value_is_a_tombstone(void **state)
{
	(void)state;
	EXPECT("", REFUSAL_EMPTY_VALUE, "");

	struct decoded d = {.arena = arena_new()};

	assert_int_equal(payment_event_decode((struct bytes){0}, EVENT_BYTES, d.arena, &d.event,
				 &d.detail, &d.no_memory),
		REFUSAL_EMPTY_VALUE);
	assert_int_equal(d.event.fields, 0);
	done(&d);
}

static void long_value_is_not_looked_at(void **state)
{
	(void)state;

	struct arena *a = arena_new();
	struct payment_event e;
	const char *detail;
	bool no_memory;
	struct bytes value = BYTES_LITERAL(WHOLE);

	assert_int_equal(payment_event_decode(value, value.length, a, &e, &detail, &no_memory),
		REFUSAL_NONE);
	assert_int_equal(payment_event_decode(value, value.length - 1, a, &e, &detail, &no_memory),
		REFUSAL_TOO_LARGE);
	assert_int_equal(e.fields, 0);
	assert_non_null(strstr(detail, "limits.event_bytes"));
	/* Not touched at all: this address is nobody's. */
	value = (struct bytes){(const char *)16, (size_t)1 << 40};
	assert_int_equal(payment_event_decode(value, EVENT_BYTES, a, &e, &detail, &no_memory),
		REFUSAL_TOO_LARGE);
	arena_free(a);
}

static void what_is_no_json_object_is_bad_json(void **state)
{
	static const char *const texts[] = {" ", "{", "}", "{}}", "{} x", "{\"a\":1,}", "{a:1}",
		"{'a':1}", "{\"a\" 1}", "{\"a\":}", "{\"a\":01}", "{\"a\":+1}", "{\"a\":.5}",
		"{\"a\":1.}", "{\"a\":1e}", "{\"a\":-}", "{\"a\":0x1}", "{\"a\":NaN}",
		"{\"a\":Infinity}", "{\"a\":nul}", "{\"a\":True}", "{\"a\":[1,]}", "{\"a\":[}",
		"{\"a\":\"b}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":\"\t\"}",
		"{\"a\":1} /* c */", "{\"a\":1}{}", "[]", "[{}]", "\"s\"", "1", "null", "true",
		"\xef\xbb\xbf{}", "\xff\xfe{\0}\0", "{}\xef\xbb\xbf"};
	(void)state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		expect_text(texts[i], REFUSAL_BAD_JSON, "");
	expect_text("[]", REFUSAL_BAD_JSON, "the JSON is an array, not an object");
	expect_text("{} x", REFUSAL_BAD_JSON, "bytes after the end of the JSON");
	expect_text("{\"a\"", REFUSAL_BAD_JSON, "the JSON ends too early, at byte ");
	expect_text(" \r\n\t{} \r\n\t", REFUSAL_BAD_FIELD,
		"orderId is missing"); /* white space is fine */

	/* Every truncation of a good event. */
	for (size_t n = 1; n < sizeof(WHOLE) - 1; n++)
		expect(WHOLE, n, REFUSAL_BAD_JSON, "");
}

static void nul_is_refused_everywhere(void **state)
{
	(void)state;
	EXPECT("{\"a\":1\0}", REFUSAL_BAD_JSON, "a NUL at byte 6"); /* jansson would not see it */
	EXPECT("{\"a\":true\0}", REFUSAL_BAD_JSON, "a NUL");
	EXPECT("{\"a\":\"\0\"}", REFUSAL_BAD_JSON, "a NUL");
	EXPECT("{\"a\":\"\\\0\"}", REFUSAL_BAD_JSON, "a NUL");
	EXPECT("{}\0", REFUSAL_BAD_JSON, "a NUL");
	EXPECT("\0", REFUSAL_BAD_JSON, "a NUL");
	EXPECT("{\"a\":\"\\u0000\"}", REFUSAL_BAD_JSON, "an escaped NUL");
	EXPECT("{\"a\\u0000\":1}", REFUSAL_BAD_JSON, "an escaped NUL");

	/* After every byte of a good event. */
	for (size_t i = 0; i < sizeof(WHOLE); i++) {
		char text[sizeof(WHOLE)];

		memcpy(text, WHOLE, i);
		text[i] = '\0';
		memcpy(text + i + 1, &WHOLE[i], sizeof(WHOLE) - 1 - i);
		expect(text, sizeof(text), REFUSAL_BAD_JSON, "a NUL");
	}
}

static void bad_utf8_is_refused(void **state)
{
	static const char *const parts[] = {"\xff", "\xc3", "\xc3(", "\xa9", "\xc0\xaf",
		"\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80",
		"\xe2\x82"};
	(void)state;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		char text[64];

		snprintf(text, sizeof(text), "{\"a\":\"%s\"}", parts[i]);
		expect_text(text, REFUSAL_BAD_JSON, "not valid UTF-8");
		snprintf(text, sizeof(text), "{\"%s\":1}", parts[i]);
		expect_text(text, REFUSAL_BAD_JSON, "not valid UTF-8");
	}
	expect_text("{\"a\":\"\\ud800\"}", REFUSAL_BAD_JSON, "");
	expect_text("{\"a\":\"\\udc00\"}", REFUSAL_BAD_JSON, "");
	expect_text("{\"a\":\"\\ud800\\ud800\"}", REFUSAL_BAD_JSON, "");
	expect_text("{\"a\":\"\\ud83d\\ude00\xf0\x9f\x98\x80\"}", REFUSAL_BAD_FIELD, "orderId");
}

static void duplicate_keys_are_refused_at_any_depth(void **state)
{
	(void)state;
	expect_text("{\"a\":1,\"a\":1}", REFUSAL_DUPLICATE_KEY, "a key stands twice");
	expect_text("{\"a\":1,\"\\u0061\":1}", REFUSAL_DUPLICATE_KEY, "");
	expect_text("{\"x\":[{\"y\":{\"a\":1,\"a\":1}}]}", REFUSAL_DUPLICATE_KEY, "");
	expect_text("{\"orderId\":\"o\",\"orderId\":\"o\"}", REFUSAL_DUPLICATE_KEY, "");
	expect_text("{\"\":1,\"\":1}", REFUSAL_DUPLICATE_KEY, "");
	expect_text("{\"a\":{\"a\":1},\"b\":{\"a\":1}}", REFUSAL_BAD_FIELD, "orderId");
}

static void nest(char *text, int depth, char open, char closing)
{
	int n = sprintf(text, "{\"a\":");

	for (int i = 1; i < depth; i++)
		n += sprintf(text + n, open == '[' ? "[" : "{\"a\":");
	n += sprintf(text + n, "1");
	for (int i = 1; i < depth; i++)
		text[n++] = closing;
	strcpy(text + n, "}");
}

static void nesting_ends_at_sixteen_levels(void **state)
{
	(void)state;

	char text[4096];

	for (int i = 0; i < 2; i++) {
		nest(text, 16, i ? '[' : '{', i ? ']' : '}');
		expect_text(text, REFUSAL_BAD_FIELD, "orderId");
		nest(text, 17, i ? '[' : '{', i ? ']' : '}');
		expect_text(text, REFUSAL_BAD_JSON, "nested deeper than 16 levels");
	}
	memset(text, '[', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	expect_text(text, REFUSAL_BAD_JSON, "nested deeper than 16 levels at byte 16");

	/* Brackets inside strings are text, also behind escapes. */
	expect_text(
		"{\"a\":\"[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[\\\\\"}", REFUSAL_BAD_FIELD, "orderId");
	/* Many in a row are not deep. */
	expect_text("{\"a\":[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]}",
		REFUSAL_BAD_FIELD, "orderId");
}

static void numbers_that_nothing_holds_are_bad_json(void **state)
{
	static const char *const numbers[] = {"9223372036854775808", "-9223372036854775809",
		"123456789012345678901234567890", "1e400", "-1e400", "1E+309"};
	(void)state;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		char text[1024];

		with_field("memberId", numbers[i], text, sizeof(text));
		expect_text(text, REFUSAL_BAD_JSON, "a number that neither");
		snprintf(text, sizeof(text), "{\"unknown\":{\"n\":[%s]}}", numbers[i]);
		expect_text(text, REFUSAL_BAD_JSON, "a number that neither");
	}
	expect_text(
		"{\"n\":[9223372036854775807,1e308,1e-400,-0.0]}", REFUSAL_BAD_FIELD, "orderId");
}

static void detail_is_one_short_line_without_the_payload(void **state)
{
	static const char *const texts[] = {"{\"SECRET\":SECRET}", "{\"SECRET\":1,\"SECRET\":2}",
		"{\"orderId\":\"SECRET!\"}", "\"SECRET\"", "{\"a\":\"SECRET\\u0000\"}"};
	(void)state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct decoded d = decode_bytes(texts[i], strlen(texts[i]));

		assert_int_not_equal(d.refusal, REFUSAL_NONE);
		assert_null(strstr(d.detail, "SECRET"));
		done(&d);
	}
}

static void check_sane(const struct decoded *d)
{
	const struct payment_event *e = &d->event;

	if (d->refusal == REFUSAL_NONE) {
		assert_string_equal(d->detail, "");
		assert_int_equal(e->fields, EVENT_ALL);
	} else {
		assert_true(d->detail[0] != '\0');
	}
	for (const char *p = d->detail; *p; p++)
		assert_true(*p >= ' ' && *p <= '~');
	if (d->refusal == REFUSAL_BAD_FIELD)
		assert_int_not_equal(e->fields, EVENT_ALL);
	else if (d->refusal != REFUSAL_NONE)
		assert_int_equal(e->fields, 0);
	if (e->fields & EVENT_ORDER_ID)
		assert_in_range(e->order_id.length, 1, ORDER_ID_MAX_BYTES);
	if (e->fields & EVENT_PAYMENT_KEY)
		assert_in_range(e->payment_key.length, 1, PAYMENT_KEY_MAX_BYTES);
	if (e->fields & EVENT_AMOUNT)
		assert_true(e->amount_minor >= 0 && e->amount_minor <= AMOUNT_MAX_MINOR);
	if (e->fields & EVENT_TICKET_TYPE_ID)
		assert_true(e->ticket_type_id >= 1);
	if (e->fields & EVENT_MEMBER_ID)
		assert_true(e->member_id >= 1);
	if (e->fields & EVENT_QUANTITY)
		assert_in_range(e->quantity, 1, QUANTITY_MAX);
}

/* xorshift64: the same mutations in every run. */
static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void mutated_events_never_break_the_decoder(void **state)
{
	static const char pieces[] = "{}[]\",:\\0123456789eE+-.tfn \n\0\xff\xc3\xa9u";
	uint64_t x = UINT64_C(0x9e3779b97f4a7c15);
	unsigned seen[REFUSAL_DB_REJECTED + 1] = {0};
	(void)state;

	for (int round = 0; round < 50000; round++) {
		char text[256];
		size_t length = sizeof(WHOLE) - 1;

		memcpy(text, WHOLE, length);
		for (uint64_t n = next_random(&x) % 4; n > 0; n--) {
			size_t at = next_random(&x) % length;

			switch (next_random(&x) % 4) {
			case 0: /* replace by what JSON is made of */
				text[at] = pieces[next_random(&x) % (sizeof(pieces) - 1)];
				break;
			case 1: /* flip a bit */
				text[at] = (char)(text[at] ^ (1 << next_random(&x) % 8));
				break;
			case 2: /* cut out */
				memmove(text + at, text + at + 1, length - at - 1);
				length = length > 2 ? length - 1 : length;
				break;
			case 3: /* repeat a part */
				if (length + 20 < sizeof(text) && at + 20 < length) {
					memmove(text + at + 20, text + at, length - at);
					length += 20;
				}
				break;
			}
		}

		struct decoded d = decode_bytes(text, length);

		check_sane(&d);
		seen[d.refusal]++;
		done(&d);
	}
	assert_true(seen[REFUSAL_NONE] > 1000);
	assert_true(seen[REFUSAL_BAD_JSON] > 1000);
	assert_true(seen[REFUSAL_BAD_FIELD] > 1000);
	assert_true(seen[REFUSAL_DUPLICATE_KEY] > 10);
}

static void same_content_means_all_six_fields(void **state)
{
	const struct payment_event a = {.order_id = BYTES_LITERAL("o"),
		.payment_key = BYTES_LITERAL("k"),
		.amount_minor = 1,
		.ticket_type_id = 2,
		.member_id = 3,
		.quantity = 4};
	struct payment_event b[7];
	(void)state;

	for (int i = 0; i < 7; i++)
		b[i] = a;
	assert_true(payment_event_same_content(&a, &b[0]));
	b[0].fields = EVENT_ALL; /* not content */
	assert_true(payment_event_same_content(&a, &b[0]));
	b[1].order_id = (struct bytes)BYTES_LITERAL("p");
	b[2].payment_key = (struct bytes)BYTES_LITERAL("kk");
	b[3].amount_minor = 2;
	b[4].ticket_type_id = 3;
	b[5].member_id = 4;
	b[6].quantity = 5;
	for (int i = 1; i < 7; i++)
		assert_false(payment_event_same_content(&a, &b[i]));
}

static void names_of_statuses_and_refusals_are_the_contracts(void **state)
{
	static const char *const statuses[] = {"CONFIRMED", "SOLD_OUT", "UNKNOWN_TICKET_TYPE"};
	static const char *const refusals[] = {"NONE", "EMPTY_VALUE", "TOO_LARGE", "BAD_JSON",
		"DUPLICATE_KEY", "BAD_FIELD", "ORDER_CONFLICT", "DB_REJECTED"};
	enum payment_status s;
	(void)state;

	for (int i = 0; i < PAYMENT_STATUS_COUNT; i++) {
		assert_string_equal(payment_status_name((enum payment_status)i), statuses[i]);
		assert_true(
			payment_status_parse((struct bytes){statuses[i], strlen(statuses[i])}, &s));
		assert_int_equal(s, i);
	}
	for (int i = 0; i <= REFUSAL_DB_REJECTED; i++)
		assert_string_equal(refusal_name((enum refusal)i), refusals[i]);
	assert_false(payment_status_parse((struct bytes)BYTES_LITERAL("CONFIRMED "), &s));
	assert_false(payment_status_parse((struct bytes)BYTES_LITERAL("CONFIRME"), &s));
	assert_false(payment_status_parse((struct bytes){0}, &s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_event_is_read),
		cmocka_unit_test(strings_are_held_to_their_rules),
		cmocka_unit_test(integers_are_exact_and_in_range),
		cmocka_unit_test(large_integers_keep_their_last_digit),
		cmocka_unit_test(quantity_left_out_is_one),
		cmocka_unit_test(first_failing_field_is_told_and_the_valid_ones_are_kept),
		cmocka_unit_test(empty_value_is_a_tombstone),
		cmocka_unit_test(long_value_is_not_looked_at),
		cmocka_unit_test(what_is_no_json_object_is_bad_json),
		cmocka_unit_test(nul_is_refused_everywhere),
		cmocka_unit_test(bad_utf8_is_refused),
		cmocka_unit_test(duplicate_keys_are_refused_at_any_depth),
		cmocka_unit_test(nesting_ends_at_sixteen_levels),
		cmocka_unit_test(numbers_that_nothing_holds_are_bad_json),
		cmocka_unit_test(detail_is_one_short_line_without_the_payload),
		cmocka_unit_test(mutated_events_never_break_the_decoder),
		cmocka_unit_test(same_content_means_all_six_fields),
		cmocka_unit_test(names_of_statuses_and_refusals_are_the_contracts),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
