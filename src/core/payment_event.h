/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "core/record.h"

/*
 * Read the value of a record strictly, by the event contract (README, "The event").
 *
 * value:       data NULL is a tombstone
 * event_bytes: limits.event_bytes; a longer value is TOO_LARGE and is not looked at
 * arena:       gets the detail, and strings that do not stand in the value as they are
 * event:       written always; `fields` names what is valid, also in a refused event; its strings
 *              point into the arena or into `value`
 * detail:      why, for people: one line of ASCII, no payload; "" with REFUSAL_NONE
 * returns:     REFUSAL_NONE, or the first rule it breaks
 * thread:      any; no state
 *
 * No memory for a copy counts as BAD_JSON of nobody: *no_memory is set and the caller must not
 * believe the answer.
 */
enum refusal payment_event_decode(struct bytes value, size_t event_bytes, struct arena *arena,
	struct payment_event *event, const char **detail, bool *no_memory);

/* Are the six fields equal? Both whole. */
bool payment_event_same_content(const struct payment_event *a, const struct payment_event *b);
