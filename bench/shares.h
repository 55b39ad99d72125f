/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "workload.h"

/*
 * Work that is dealt to threads which begin together.
 *
 * shares:  `count` things of `size` bytes, one for each thread
 * returns: seconds from the first beginning to the last end
 */
double shares_run(void *shares, size_t count, size_t size, void (*work)(void *share));

/* The result, a line of JSON. */
void shares_print(int64_t events, double seconds);

/* The main() of a program that does one thing with the events it is told of. */
int shares_main(int argc, char **argv, const char *usage, void (*body)(const struct workload *w));
