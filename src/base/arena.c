/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

enum { CHUNK_BYTES = 256 * 1024 };

struct chunk {
	struct chunk *next;
	size_t size, used;
	alignas(max_align_t) char data[];
};

struct arena {
	struct chunk *chunks; /* the newest first; pieces come from it alone */
};

struct arena *arena_new(void)
{
	return calloc(1, sizeof(struct arena));
}

static void chunks_free(struct chunk *c)
{
	while (c) {
		struct chunk *next = c->next;

		free(c);
		c = next;
	}
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	chunks_free(a->chunks);
	free(a);
}

static struct chunk *chunk_add(struct arena *a, size_t at_least)
{
	size_t size = at_least > CHUNK_BYTES ? at_least : CHUNK_BYTES;
	struct chunk *c = malloc(sizeof(*c) + size);

	if (!c)
		return NULL;
	c->next = a->chunks;
	c->size = size;
	c->used = 0;
	a->chunks = c;
	return c;
}

void *arena_alloc(struct arena *a, size_t size)
{
	size_t align = alignof(max_align_t);

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + align - 1) & ~(align - 1);

	struct chunk *c = a->chunks;

	if (!c || c->size - c->used < size)
		c = chunk_add(a, size);
	if (!c)
		return NULL;

	void *p = c->data + c->used;

	c->used += size;
	return p;
}

bool arena_copy(struct arena *a, struct bytes from, struct bytes *ret)
{
	if (!from.data) {
		*ret = (struct bytes){0};
		return true;
	}

	char *p = arena_alloc(a, from.length + 1);

	if (!p)
		return false;
	if (from.length)
		memcpy(p, from.data, from.length);
	p[from.length] = '\0';
	*ret = (struct bytes){.data = p, .length = from.length};
	return true;
}

void arena_reset(struct arena *a)
{
	struct chunk *keep = NULL, *c = a->chunks;

	/* One ordinary chunk is worth keeping; an oversized one would hold its memory for ever. */
	while (c) {
		struct chunk *next = c->next;

		if (!keep && c->size == CHUNK_BYTES) {
			keep = c;
			keep->next = NULL;
			keep->used = 0;
		} else {
			free(c);
		}
		c = next;
	}
	a->chunks = keep;
}
