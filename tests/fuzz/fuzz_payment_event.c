/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdint.h>

#include "../unit/event_pair.h"

/* libFuzzer's entry: whatever the bytes, the decoder holds, and its two readers agree. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_free_ptr) struct arena *arena = arena_new();
	struct bytes value = {.data = (const char *)data, .length = size};
	struct payment_event event;
	const char *detail = NULL;
	bool no_memory = false;
	enum refusal refusal =
		payment_event_decode(value, 4096, arena, &event, &detail, &no_memory);

	if (event_pair_agree(value.data, size) && size <= 4096)
		assert(refusal == REFUSAL_NONE && event.fields == EVENT_ALL);
	assert(!no_memory && (refusal == REFUSAL_NONE) == !*detail);
	return 0;
}
