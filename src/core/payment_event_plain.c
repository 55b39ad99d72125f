/* SPDX-License-Identifier: Apache-2.0 */
#include "core/payment_event_private.h"

/*
 * A reader of the plain case. Its one duty is never to take what the JSON library would refuse or
 * read otherwise; so whatever needs a thought (an escape, a byte beyond ASCII, a fraction, a sign,
 * 19 digits, nesting, a repeated key) is not taken.
 */
enum {
	DIGITS_MAX = 18,  /* so many always fit into 64 bits */
	UNKNOWN_MAX = 16, /* other keys: more are not compared with each other, but not taken */
};

enum {
	ORDER_ID = 1, /* what an orderId is made of */
	PLAIN = 2,    /* printable ASCII that needs no escape in a JSON string */
	SPACE = 4,    /* JSON's white space */
};

/* clang-format off */
#define P PLAIN
#define O (PLAIN | ORDER_ID)
#define S SPACE
static const unsigned char kinds[256] = {
	['\t'] = S, ['\n'] = S, ['\r'] = S, [' '] = P | S,
	['!'] = P, ['#'] = P, ['$'] = P, ['%'] = P, ['&'] = P, ['\''] = P, ['('] = P, [')'] = P,
	['*'] = P, ['+'] = P, [','] = P, ['-'] = O, ['.'] = O, ['/'] = P,
	['0' ... '9'] = O, [':'] = P, [';'] = P, ['<'] = P, ['='] = O, ['>'] = P, ['?'] = P,
	['@'] = P, ['A' ... 'Z'] = O, ['['] = P, [']'] = P, ['^'] = P, ['_'] = O, ['`'] = P,
	['a' ... 'z'] = O, ['{'] = P, ['|'] = P, ['}'] = P, ['~'] = P,
};
#undef P
#undef O
#undef S
/* clang-format on */

struct reader {
	const char *at, *end;
	struct bytes unknown[UNKNOWN_MAX];
	size_t unknown_count;
};

static bool is_space(char c)
{
	return kinds[(unsigned char)c] & SPACE;
}

static void skip_space(struct reader *r)
{
	while (r->at < r->end && is_space(*r->at))
		r->at++;
}

/* Is this character next, behind white space? Then it is behind us. */
static bool take(struct reader *r, char c)
{
	if (r->at < r->end && *r->at != c)
		skip_space(r);
	if (r->at == r->end || *r->at != c)
		return false;
	r->at++;
	return true;
}

/* Four at a time: this is where most of the time goes. */
static bool all_are(struct bytes text, unsigned of)
{
	const unsigned char *c = (const unsigned char *)text.data;
	size_t i = 0;

	for (; i + 4 <= text.length; i += 4)
		of &= kinds[c[i]] & kinds[c[i + 1]] & kinds[c[i + 2]] & kinds[c[i + 3]];
	for (; i < text.length; i++)
		of &= kinds[c[i]];
	return of;
}

/* What stands between a quote and the next one. Escapes are not read: see all_are(). */
static bool take_quoted(struct reader *r, struct bytes *ret)
{
	if (!take(r, '"'))
		return false;

	const char *end = memchr(r->at, '"', (size_t)(r->end - r->at));

	if (!end)
		return false;
	*ret = (struct bytes){.data = r->at, .length = (size_t)(end - r->at)};
	r->at = end + 1;
	return true;
}

static bool take_string(struct reader *r, unsigned of, struct bytes *ret)
{
	return take_quoted(r, ret) && all_are(*ret, of);
}

static bool take_integer(struct reader *r, int64_t *ret)
{
	int64_t n = 0;

	if (r->at < r->end && is_space(*r->at))
		skip_space(r);

	const char *from = r->at;

	while (r->at < r->end && *r->at >= '0' && *r->at <= '9' && r->at - from < DIGITS_MAX)
		n = n * 10 + (*r->at++ - '0');
	if (r->at == from || (*from == '0' && r->at - from > 1))
		return false;
	*ret = n;
	return true; /* a fraction or one digit more is where a comma should be */
}

static bool take_literal(struct reader *r, struct bytes literal)
{
	if ((size_t)(r->end - r->at) < literal.length ||
		memcmp(r->at, literal.data, literal.length) != 0)
		return false;
	r->at += literal.length;
	return true;
}

/* ---- fields ---------------------------------------------------------------------------------- */

static bool take_text(struct reader *r, unsigned of, size_t maximum, struct bytes *ret)
{
	return take_string(r, of, ret) && ret->length > 0 && ret->length <= maximum;
}

static bool take_number(struct reader *r, int64_t minimum, int64_t maximum, int64_t *ret)
{
	return take_integer(r, ret) && *ret >= minimum && *ret <= maximum;
}

static bool take_quantity(struct reader *r, int32_t *ret)
{
	int64_t n = 0;

	if (!take_number(r, 1, QUANTITY_MAX, &n))
		return false;
	*ret = (int32_t)n;
	return true;
}

/* The key of a field that is not ours: taken once, whatever its plain value is. */
static bool take_unknown(struct reader *r, struct bytes key)
{
	struct bytes text;
	int64_t n;

	if (!all_are(key, PLAIN))
		return false;
	for (size_t i = 0; i < r->unknown_count; i++) {
		if (bytes_equal(r->unknown[i], key))
			return false;
	}
	if (r->unknown_count == UNKNOWN_MAX)
		return false;
	r->unknown[r->unknown_count++] = key;

	skip_space(r);
	if (r->at == r->end)
		return false;
	switch (*r->at) {
	case '"':
		return take_string(r, PLAIN, &text);
	case 't':
		return take_literal(r, BYTES_LITERAL("true"));
	case 'f':
		return take_literal(r, BYTES_LITERAL("false"));
	case 'n':
		return take_literal(r, BYTES_LITERAL("null"));
	default:
		return take_integer(r, &n);
	}
}

static bool is(struct bytes key, const char *name, size_t length)
{
	return key.length == length && memcmp(key.data, name, length) == 0;
}
#define IS(key, literal) is((key), (literal), sizeof(literal) - 1)

static enum event_field field_of(struct bytes key)
{
	switch (key.length) {
	case 6:
		return IS(key, "amount") ? EVENT_AMOUNT : 0;
	case 7:
		return IS(key, "orderId") ? EVENT_ORDER_ID : 0;
	case 8:
		return IS(key, "memberId")   ? EVENT_MEMBER_ID
		       : IS(key, "quantity") ? EVENT_QUANTITY
					     : 0;
	case 10:
		return IS(key, "paymentKey") ? EVENT_PAYMENT_KEY : 0;
	case 12:
		return IS(key, "ticketTypeId") ? EVENT_TICKET_TYPE_ID : 0;
	default:
		return 0;
	}
}

static bool take_field(struct reader *r, struct payment_event *e, struct bytes key)
{
	enum event_field field = field_of(key);

	if (e->fields & field)
		return false; /* it stands twice */
	e->fields |= field;
	switch (field) {
	case EVENT_ORDER_ID:
		return take_text(r, ORDER_ID, ORDER_ID_MAX_BYTES, &e->order_id);
	case EVENT_PAYMENT_KEY:
		return take_text(r, PLAIN, PAYMENT_KEY_MAX_BYTES, &e->payment_key);
	case EVENT_AMOUNT:
		return take_number(r, 0, AMOUNT_MAX_MINOR, &e->amount_minor);
	case EVENT_TICKET_TYPE_ID:
		return take_number(r, 1, INT64_MAX, &e->ticket_type_id);
	case EVENT_MEMBER_ID:
		return take_number(r, 1, INT64_MAX, &e->member_id);
	case EVENT_QUANTITY:
		return take_quantity(r, &e->quantity);
	case EVENT_ALL:
		break;
	}
	return take_unknown(r, key);
}

bool payment_event_read_plain(struct bytes value, struct payment_event *event)
{
	struct reader r = {.at = value.data, .end = value.data + value.length};
	struct payment_event e = {.quantity = 1};
	struct bytes key;

	if (!take(&r, '{'))
		return false;
	do {
		if (!take_quoted(&r, &key) || !take(&r, ':') || !take_field(&r, &e, key))
			return false;
	} while (take(&r, ','));
	if (!take(&r, '}'))
		return false;
	skip_space(&r);
	e.fields |= EVENT_QUANTITY; /* may be left out */
	if (r.at != r.end || e.fields != EVENT_ALL)
		return false;
	*event = e;
	return true;
}
