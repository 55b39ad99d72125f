/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* A run of bytes that somebody else owns; not terminated. data == NULL: there is none. */
struct bytes {
	const char *data;
	size_t length;
};

#define BYTES_LITERAL(s) ((struct bytes){.data = (s), .length = sizeof(s) - 1})

/* As memcmp() orders, the shorter first: what COLLATE "C" does. */
static inline int bytes_compare(struct bytes a, struct bytes b)
{
	size_t n = a.length < b.length ? a.length : b.length;
	int c = n ? memcmp(a.data, b.data, n) : 0;

	return c ? c : (a.length > b.length) - (a.length < b.length);
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}
