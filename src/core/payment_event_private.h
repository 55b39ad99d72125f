/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core/payment_event.h"

/* The two readers behind payment_event_decode(). */

/*
 * Read what nearly every producer sends: one flat object of plain strings and integers, every field
 * valid. Made for speed, and only ever says yes: what it does not take, payment_event_read_json()
 * judges. What it takes, that one takes as well, with the same event (tests/unit, tests/fuzz).
 *
 * event:   written only when taken; its strings point into `value`
 * returns: false: not taken, which says nothing about the value
 */
bool payment_event_read_plain(struct bytes value, struct payment_event *event);

/* The whole contract, by a JSON library. `event` is zeroed; parameters as payment_event_decode().
 */
enum refusal payment_event_read_json(struct bytes value, struct arena *arena,
	struct payment_event *event, const char **detail, bool *no_memory);
