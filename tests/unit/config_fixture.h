/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core/config_key.h"

/* After ours: cmocka has a macro fail(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* What the tests of the configuration share. Nothing here allocates but config_new(). */
#define A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* A directory of the program's own, and a file in it that the cases may write. */
struct scratch {
	char directory[32], path[64];
};
extern struct scratch scratch;

int scratch_setup(void **state);
int scratch_teardown(void **state);

struct config *defaults(void);
/* name: as "lock.wait_ms" */
const struct config_key *find(const char *name);
/* Every key has the same value in both. */
void assert_same(const struct config *a, const struct config *b);

/* xorshift64: the same values in every run. */
uint64_t next_random(uint64_t *x);
