/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/arena.h"

/* The next `allocations_left` allocations succeed, one fails; -1: none. */
static int allocations_left = -1;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	if (allocations_left >= 0 && allocations_left-- == 0)
		return NULL;
	return __real_malloc(size);
}

static void pieces_are_aligned_and_do_not_overlap(void **state)
{
	enum { PIECES = 2000 };
	struct arena *a = arena_new();
	static unsigned char *pieces[PIECES];
	(void)state;

	assert_non_null(a);
	/* Over several chunks; each piece is filled with its own number. */
	for (size_t i = 0; i < PIECES; i++) {
		pieces[i] = arena_alloc(a, i);
		assert_non_null(pieces[i]);
		assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
		memset(pieces[i], (int)(i % 251), i);
	}
	for (size_t i = 0; i < PIECES; i++) {
		for (size_t j = 0; j < i; j++)
			assert_int_equal(pieces[i][j], i % 251);
	}
	arena_free(a);
}

static void piece_larger_than_a_chunk_is_whole(void **state)
{
	const size_t size = (size_t)3 * 1024 * 1024 + 1;
	struct arena *a = arena_new();
	char *before = arena_alloc(a, 10), *large = arena_alloc(a, size),
	     *after = arena_alloc(a, 10);
	(void)state;

	memset(large, 'l', size);
	memset(before, 'b', 10);
	memset(after, 'a', 10);
	assert_int_equal(large[0], 'l');
	assert_int_equal(large[size - 1], 'l');
	arena_free(a);
}

static void copy_is_terminated_and_none_stays_none(void **state)
{
	struct arena *a = arena_new();
	struct bytes b = {.data = "x", .length = 9};
	(void)state;

	assert_true(arena_copy(a, (struct bytes){0}, &b));
	assert_null(b.data);
	assert_int_equal(b.length, 0);
	assert_true(arena_copy(a, (struct bytes){"abc", 2}, &b));
	assert_int_equal(b.length, 2);
	assert_string_equal(b.data, "ab");
	assert_true(arena_copy(a, (struct bytes){"", 0}, &b));
	assert_non_null(b.data);
	assert_int_equal(b.length, 0);
	assert_string_equal(b.data, "");
	arena_free(a);
}

static void memory_of_one_chunk_serves_again_after_a_reset(void **state)
{
	struct arena *a = arena_new();
	(void)state;

	arena_reset(a); /* of an empty one */
	for (int round = 0; round < 3; round++) {
		/* Chunks, an oversized one on top. */
		for (int i = 0; i < 100; i++)
			assert_non_null(arena_alloc(a, 10000));
		assert_non_null(arena_alloc(a, 1000000));
		arena_reset(a);

		/* What is kept needs no allocation, and is one chunk only. */
		allocations_left = 0;
		assert_non_null(arena_alloc(a, 100000));
		assert_non_null(arena_alloc(a, 100000));
		assert_null(arena_alloc(a, 100000));
		allocations_left = -1;
	}
	arena_free(a);
}

static void no_memory_is_told_and_changes_nothing(void **state)
{
	struct arena *a = arena_new();
	struct bytes b = {.data = "kept", .length = 4};
	(void)state;

	allocations_left = 0;
	assert_null(arena_alloc(a, 1));
	allocations_left = 0;
	assert_false(arena_copy(a, (struct bytes){"abc", 3}, &b));
	allocations_left = -1;
	assert_string_equal(b.data, "kept");
	assert_null(arena_alloc(a, SIZE_MAX));
	assert_null(arena_alloc(a, SIZE_MAX / 2 + 1));
	assert_non_null(arena_alloc(a, 1));
	arena_free(a);
	arena_free(NULL);
}

static void bytes_are_ordered_as_collate_c(void **state)
{
	static const struct bytes ascending[] = {{NULL, 0}, BYTES_LITERAL("A"), BYTES_LITERAL("AA"),
		BYTES_LITERAL("B"), BYTES_LITERAL("_"), BYTES_LITERAL("a"), BYTES_LITERAL("\xff")};
	enum { COUNT = sizeof(ascending) / sizeof(ascending[0]) };
	(void)state;

	for (int i = 0; i < COUNT; i++) {
		for (int j = 0; j < COUNT; j++) {
			int c = bytes_compare(ascending[i], ascending[j]);

			assert_int_equal((c > 0) - (c < 0), (i > j) - (i < j));
			assert_int_equal(bytes_equal(ascending[i], ascending[j]), i == j);
		}
	}
	assert_true(bytes_equal((struct bytes){NULL, 0}, (struct bytes){"", 0}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_aligned_and_do_not_overlap),
		cmocka_unit_test(piece_larger_than_a_chunk_is_whole),
		cmocka_unit_test(copy_is_terminated_and_none_stays_none),
		cmocka_unit_test(memory_of_one_chunk_serves_again_after_a_reset),
		cmocka_unit_test(no_memory_is_told_and_changes_nothing),
		cmocka_unit_test(bytes_are_ordered_as_collate_c),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
