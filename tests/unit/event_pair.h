/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/payment_event_private.h"

/*
 * Ask both readers of events, of a copy of exactly that length, so that a read behind it is seen.
 *
 * returns: does the plain reader take it? Aborts when the JSON library does not take it as well,
 *          with the same event.
 */
static inline bool event_pair_agree(const char *data, size_t length)
{
	CLEANUP(free_ptr) char *copy = malloc(length ? length : 1);
	CLEANUP(arena_free_ptr) struct arena *arena = arena_new();
	struct payment_event plain = {0}, json = {0};
	const char *detail = "";
	bool no_memory = false;

	if (!copy || !arena)
		abort();
	memcpy(copy, data, length);

	struct bytes value = {.data = copy, .length = length};

	if (!payment_event_read_plain(value, &plain))
		return false;
	if (payment_event_read_json(value, arena, &json, &detail, &no_memory) != REFUSAL_NONE ||
		no_memory || plain.fields != json.fields ||
		!payment_event_same_content(&plain, &json)) {
		fprintf(stderr, "the readers differ (%s) on: %.*s\n", detail, (int)length, data);
		abort();
	}
	return true;
}
