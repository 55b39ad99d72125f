/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

/* A table of text with aligned columns, for a terminal. */
struct table;

/* headings: `columns` of them, static; one that begins with '>' is of a right-aligned column. */
struct table *table_new(const char *const *headings, size_t columns);
void table_free(struct table *t);
DEFINE_CLEANUP(struct table *, table_free)

/* The next cell, row by row; NULL shows as "-". Bytes that a terminal might obey are replaced. */
void table_text(struct table *t, const char *text);
/* below 0: "-" */
void table_number(struct table *t, int64_t value);

/* To stdout; false: memory ran out on the way, nothing is printed. */
bool table_print(const struct table *t);
