/* SPDX-License-Identifier: Apache-2.0 */
#include "core/payment_event_private.h"

#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

/*
 * jansson reads the JSON; what it does not do the way the contract wants is done around it:
 *
 * - it forgets a NUL byte that follows a number, so scan() refuses NUL first;
 * - its own depth limit is 2048, ours is 16;
 * - it takes some failed allocations for a syntax error, and drops a byte of a token when the
 *   token's buffer could not grow. A good event would become a dead letter or another event, so
 *   every allocation it makes is watched and one that fails voids the answer. (A byte dropped at
 * the end of a number makes it abort by an assert of its own; nothing is decided then either.)
 *
 * A byte order mark is no JSON (RFC 8259, 8.1). "-0" is an integer by its grammar and exactly 0, so
 * it is a valid amount. Of a value with a duplicate key and a syntax error, the earlier one counts.
 */

enum { NESTING_MAX = 16, DETAIL_MAX_BYTES = 200 };

/* Set by an allocation of jansson's that failed in this thread; there is no other way to hear it.
 */
static _Thread_local bool allocation_failed;

static void *watched_malloc(size_t size)
{
	void *p = malloc(size);

	if (!p)
		allocation_failed = true;
	return p;
}

static void watch_allocations(void)
{
	json_set_alloc_funcs(watched_malloc, free);
}

/* What a decoding needs everywhere. */
struct decoder {
	struct arena *arena;
	struct payment_event *event;
	const char **detail;
	bool *no_memory;
};

__attribute__((format(printf, 3, 4))) static enum refusal refuse(
	const struct decoder *d, enum refusal r, const char *format, ...)
{
	char *text = arena_alloc(d->arena, DETAIL_MAX_BYTES);
	va_list ap;

	if (!text) {
		*d->no_memory = true;
		return r;
	}
	va_start(ap, format);
	vsnprintf(text, DETAIL_MAX_BYTES, format, ap);
	va_end(ap);
	*d->detail = text;
	return r;
}

/* Look for NUL, and at brackets outside of strings; jansson judges the rest. */
static enum refusal scan(const struct decoder *d, struct bytes value)
{
	const char *nul = memchr(value.data, '\0', value.length);
	bool in_string = false;
	int depth = 0;

	if (nul)
		return refuse(d, REFUSAL_BAD_JSON, "a NUL at byte %td", nul - value.data);

	for (size_t i = 0; i < value.length; i++) {
		char c = value.data[i];

		if (in_string && c == '\\')
			i++; /* whatever is escaped does not end the string */
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '{' || c == '['))
			depth++;
		else if (!in_string && (c == '}' || c == ']'))
			depth--;
		if (depth > NESTING_MAX)
			return refuse(d, REFUSAL_BAD_JSON,
				"nested deeper than %d levels at byte %zu", NESTING_MAX, i);
	}
	return REFUSAL_NONE;
}

/* jansson's own text may quote the payload, so ours is made from its code. */
static enum refusal refuse_json(const struct decoder *d, const json_error_t *e)
{
	const char *what = "not valid JSON";

	switch (json_error_code(e)) {
	case json_error_duplicate_key:
		return refuse(d, REFUSAL_DUPLICATE_KEY,
			"a key stands twice in one object, at byte %d", e->position);
	case json_error_invalid_utf8:
		what = "not valid UTF-8";
		break;
	case json_error_premature_end_of_input:
		what = "the JSON ends too early";
		break;
	case json_error_end_of_input_expected:
		what = "bytes after the end of the JSON";
		break;
	case json_error_null_character:
	case json_error_null_byte_in_key:
		what = "an escaped NUL";
		break;
	case json_error_numeric_overflow:
		what = "a number that neither a 64-bit integer nor a double can hold";
		break;
	default: /* jansson's enum: what is left is syntax */
		break;
	}
	return refuse(d, REFUSAL_BAD_JSON, "%s, at byte %d", what, e->position);
}

/* What is wrong with a field; NULL: nothing. */
typedef const char *read_fn(const struct decoder *d, const json_t *value);

static const char *type_text(const json_t *value)
{
	if (!value)
		return "missing";

	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "a number";
	case JSON_REAL:
		return "a number with a fraction or an exponent";
	case JSON_TRUE:
	case JSON_FALSE:
		return "true or false";
	case JSON_NULL:
		return "null";
	}
	return "?";
}

static const char *read_string(const struct decoder *d, const json_t *value, size_t maximum,
	bool (*allowed)(unsigned char c), struct bytes *ret)
{
	if (!json_is_string(value))
		return type_text(value);

	struct bytes s = {json_string_value(value), json_string_length(value)};

	if (s.length == 0)
		return "empty";
	if (s.length > maximum)
		return "too long";
	for (size_t i = 0; i < s.length; i++) {
		if (!allowed((unsigned char)s.data[i]))
			return "a string with other characters";
	}
	if (!arena_copy(d->arena, s, ret))
		*d->no_memory = true;
	return NULL;
}

static const char *read_integer(const json_t *value, int64_t minimum, int64_t maximum, int64_t *ret)
{
	if (!json_is_integer(value))
		return type_text(value);

	int64_t n = json_integer_value(value);

	if (n < minimum)
		return "too small";
	if (n > maximum)
		return "too large";
	*ret = n;
	return NULL;
}

static bool order_id_character(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '=' || c == '.' || c == '-';
}

static bool printable_ascii(unsigned char c)
{
	return c >= ' ' && c <= '~';
}

static const char *read_order_id(const struct decoder *d, const json_t *value)
{
	return read_string(d, value, ORDER_ID_MAX_BYTES, order_id_character, &d->event->order_id);
}

static const char *read_payment_key(const struct decoder *d, const json_t *value)
{
	return read_string(
		d, value, PAYMENT_KEY_MAX_BYTES, printable_ascii, &d->event->payment_key);
}

static const char *read_amount(const struct decoder *d, const json_t *value)
{
	return read_integer(value, 0, AMOUNT_MAX_MINOR, &d->event->amount_minor);
}

static const char *read_ticket_type_id(const struct decoder *d, const json_t *value)
{
	return read_integer(value, 1, INT64_MAX, &d->event->ticket_type_id);
}

static const char *read_member_id(const struct decoder *d, const json_t *value)
{
	return read_integer(value, 1, INT64_MAX, &d->event->member_id);
}

static const char *read_quantity(const struct decoder *d, const json_t *value)
{
	int64_t n = 1;
	const char *wrong = value ? read_integer(value, 1, QUANTITY_MAX, &n) : NULL;

	if (!wrong)
		d->event->quantity = (int32_t)n;
	return wrong;
}

/* In the order in which the contract names them: the first that fails is the one told. */
static const struct {
	const char *name;
	enum event_field bit;
	read_fn *read;
	const char *rule;
} fields[] = {
	{"orderId", EVENT_ORDER_ID, read_order_id,
		"a string of 1 to 64 characters of A-Z a-z 0-9 _ = . -"},
	{"paymentKey", EVENT_PAYMENT_KEY, read_payment_key,
		"a string of 1 to 200 printable ASCII characters"},
	{"amount", EVENT_AMOUNT, read_amount, "an integer from 0 to 1000000000000000"},
	{"ticketTypeId", EVENT_TICKET_TYPE_ID, read_ticket_type_id,
		"an integer from 1 to 9223372036854775807"},
	{"memberId", EVENT_MEMBER_ID, read_member_id, "an integer from 1 to 9223372036854775807"},
	{"quantity", EVENT_QUANTITY, read_quantity, "an integer from 1 to 1000, or left out for 1"},
};

static enum refusal read_fields(const struct decoder *d, const json_t *object)
{
	enum refusal refusal = REFUSAL_NONE;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const char *wrong = fields[i].read(d, json_object_get(object, fields[i].name));

		if (!wrong)
			d->event->fields |= fields[i].bit;
		else if (refusal == REFUSAL_NONE)
			refusal = refuse(d, REFUSAL_BAD_FIELD, "%s is %s; allowed: %s",
				fields[i].name, wrong, fields[i].rule);
	}
	return refusal;
}

static enum refusal decode(const struct decoder *d, struct bytes value)
{
	enum refusal refusal = scan(d, value);

	if (refusal != REFUSAL_NONE)
		return refusal;

	json_error_t error;
	/* DECODE_ANY only to say "not an object" instead of "syntax". */
	json_auto_t *root = json_loadb(
		value.data, value.length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);

	if (allocation_failed) {
		*d->no_memory = true;
		return REFUSAL_BAD_JSON;
	}
	if (!root)
		return refuse_json(d, &error);
	if (!json_is_object(root))
		return refuse(
			d, REFUSAL_BAD_JSON, "the JSON is %s, not an object", type_text(root));
	return read_fields(d, root);
}

enum refusal payment_event_read_json(struct bytes value, struct arena *arena,
	struct payment_event *event, const char **detail, bool *no_memory)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const struct decoder d = {arena, event, detail, no_memory};

	pthread_once(&once, watch_allocations);
	allocation_failed = false;
	return decode(&d, value);
}
