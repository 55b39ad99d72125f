/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/bytes.h"
#include "base/cleanup.h"

/*
 * Memory that is handed out piece by piece and taken back all at once: what a batch keeps of its
 * records. Pieces stay where they are until the reset.
 */
struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a);
DEFINE_CLEANUP(struct arena *, arena_free)

/* Aligned for any type; NULL when memory is out. */
void *arena_alloc(struct arena *a, size_t size);

/* A copy with a terminating NUL that does not count; a NULL `data` stays NULL. On failure false. */
bool arena_copy(struct arena *a, struct bytes from, struct bytes *ret);

/* Everything handed out is gone; the memory of one chunk is kept for the next round. */
void arena_reset(struct arena *a);
