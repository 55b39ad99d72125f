/* SPDX-License-Identifier: Apache-2.0 */
#include "core/payment_event.h"

#include <stdio.h>

#include "core/payment_event_private.h"

static const char too_large_format[] =
	"the value has %zu bytes, more than limits.event_bytes = %zu";

static const char *too_large(struct arena *arena, size_t length, size_t event_bytes)
{
	enum { SIZE = sizeof(too_large_format) + 2 * 20 };
	char *text = arena_alloc(arena, SIZE);

	if (text)
		snprintf(text, SIZE, too_large_format, length, event_bytes);
	return text;
}

enum refusal payment_event_decode(struct bytes value, size_t event_bytes, struct arena *arena,
	struct payment_event *event, const char **detail, bool *no_memory)
{
	enum refusal refusal;

	*event = (struct payment_event){0};
	*detail = "";
	*no_memory = false;

	if (!value.data || value.length == 0) {
		*detail = "the value is empty (a tombstone)";
		return REFUSAL_EMPTY_VALUE;
	}
	if (value.length > event_bytes) {
		*detail = too_large(arena, value.length, event_bytes);
		*no_memory = !*detail;
		refusal = REFUSAL_TOO_LARGE;
	} else if (payment_event_read_plain(value, event)) {
		return REFUSAL_NONE;
	} else {
		refusal = payment_event_read_json(value, arena, event, detail, no_memory);
	}
	if (*no_memory) {
		*event = (struct payment_event){0};
		*detail = "";
		refusal = REFUSAL_BAD_JSON;
	}
	return refusal;
}

bool payment_event_same_content(const struct payment_event *a, const struct payment_event *b)
{
	return bytes_equal(a->order_id, b->order_id) &&
	       bytes_equal(a->payment_key, b->payment_key) && a->amount_minor == b->amount_minor &&
	       a->ticket_type_id == b->ticket_type_id && a->member_id == b->member_id &&
	       a->quantity == b->quantity;
}
