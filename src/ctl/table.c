/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct table {
	size_t columns;
	char **cells; /* the headings first */
	size_t count, capacity;
	bool no_memory;
};

/* Columns on the terminal, near enough: code points. */
static size_t width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

void table_text(struct table *t, const char *text)
{
	if (t->count == t->capacity) {
		size_t capacity = t->capacity ? t->capacity * 2 : 64;
		char **grown = realloc(t->cells, capacity * sizeof(*grown));

		if (!grown) {
			t->no_memory = true;
			return;
		}
		t->cells = grown;
		t->capacity = capacity;
	}

	char *cell = strdup(text ? text : "-");

	if (!cell) {
		t->no_memory = true;
		return;
	}
	for (char *c = cell; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	t->cells[t->count++] = cell;
}

void table_number(struct table *t, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	table_text(t, value < 0 ? NULL : text);
}

struct table *table_new(const char *const *headings, size_t columns)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->columns = columns;
	for (size_t i = 0; i < columns; i++)
		table_text(t, headings[i]);
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
}

static bool right_aligned(const struct table *t, size_t column)
{
	return t->cells[column][0] == '>';
}

/* The text of a cell, a heading without its mark. */
static const char *cell_text(const struct table *t, size_t cell)
{
	return t->cells[cell] + (cell < t->columns && right_aligned(t, cell));
}

static void print_row(const struct table *t, size_t first, const size_t *widths)
{
	for (size_t c = 0; c < t->columns; c++) {
		const char *text = cell_text(t, first + c);
		int pad = (int)(widths[c] - width(text));
		bool last = c + 1 == t->columns;

		if (right_aligned(t, c))
			printf("%*s%s", pad, "", text);
		else
			printf("%s%*s", text, last ? 0 : pad, "");
		fputs(last ? "\n" : "  ", stdout);
	}
}

bool table_print(const struct table *t)
{
	CLEANUP(free_ptr) size_t *widths = calloc(t->columns, sizeof(*widths));

	if (!widths || t->no_memory)
		return false;

	for (size_t i = 0; i < t->count; i++) {
		size_t w = width(cell_text(t, i));

		if (w > widths[i % t->columns])
			widths[i % t->columns] = w;
	}
	for (size_t i = 0; i + t->columns <= t->count; i += t->columns)
		print_row(t, i, widths);
	return true;
}
