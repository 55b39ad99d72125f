/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core/record.h"

/* The longest outcome: two strings with every byte escaped, ten numbers and the topic's name. */
enum { OUTCOME_MAX_BYTES = 4096 };

/* Is anything to be published of this decided record? (Not of BAD_JSON, a tombstone, ...) */
bool outcome_due(const struct record *r);

/*
 * Encode what became of a decided record as the value for topic payment-outcome (README, "The
 * outcome"); its key is r->event.order_id.
 *
 * r:       outcome_due(); the strings as validated by the decoder
 * topic:   of the record, at most 249 characters of A-Za-z0-9._-
 * ret:     OUTCOME_MAX_BYTES bytes; not terminated
 * returns: the length
 */
size_t outcome_encode(
	const struct record *r, const char *topic, int32_t partition, char ret[OUTCOME_MAX_BYTES]);
