/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "workload.h"

/*
 * Work that is dealt to threads: each has a share of its own, `size` bytes, zeroed. What is named
 * here is called with each share, open() and close() one after the other, the rest in threads that
 * begin together.
 */
struct share_kind {
	size_t size;
	void (*open)(void *share, const struct workload *w, int number); /* from 0 */
	void (*prepare)(void *share);                                    /* NULL: nothing to do */
	void (*work)(void *share);                                       /* what is measured */
	void (*close)(void *share);
	int64_t (*rows)(const struct workload *w); /* of all shares; NULL: a row an event */
};

/* The main() of a program that does one thing with the events it is told of, over --connections;
 * prints rows, seconds from the first beginning to the last end, and the rate, as JSON. */
int shares_main(int argc, char **argv, const char *usage, const struct share_kind *kind);
