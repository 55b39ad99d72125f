/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config.h"

#include <inttypes.h>
#include <string.h>

#include "core/config_key.h"

enum { COMMENT_COLUMNS = 88 };

/* Break text into comment lines at its spaces. */
static void print_comment(FILE *out, const char *text)
{
	while (*text) {
		size_t length = strlen(text);

		if (length > COMMENT_COLUMNS) {
			length = COMMENT_COLUMNS;
			while (length > 1 && text[length] != ' ')
				length--;
		}
		fprintf(out, "\t# %.*s\n", (int)length, text);
		text += length;
		text += strspn(text, " ");
	}
}

static void print_string(FILE *out, const char *s)
{
	putc('"', out);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putc('\\', out);
		putc(*s, out);
	}
	putc('"', out);
}

/* May "NAME=VALUE" be shown? What config_check() refuses may hold a secret. */
static bool printable(const char *item)
{
	char name[100];
	size_t length = strcspn(item, "=");

	if (!item[length] || length >= sizeof(name))
		return false;
	memcpy(name, item, length);
	name[length] = '\0';
	return config_property_allowed(name, NULL) == RESULT_OK;
}

/*
 * A secret item stays out of the list, as a comment: a file that -c accepts must not make "***" a
 * password. Comments come first, for a comma behind one would be part of it.
 */
static void print_list(FILE *out, const struct config_key *key, const struct config_list *list)
{
	const char *separator = "";

	fputs("[", out);
	for (size_t i = 0; i < list->count; i++) {
		const char *item = list->items[i], *value = strchr(item, '=');

		if (key->secret && !printable(item))
			fprintf(out, "\n\t\t# \"%.*s=***\" may be secret and is left out",
				value ? (int)(value - item) : 0, item);
	}
	for (size_t i = 0; i < list->count; i++) {
		if (key->secret && !printable(list->items[i]))
			continue;
		fprintf(out, "%s\n\t\t", separator);
		print_string(out, list->items[i]);
		separator = ",";
	}
	fputs(list->count ? "\n\t]" : " ]", out);
}

static void print_value(FILE *out, const struct config *c, const struct config_key *key)
{
	switch (key->type) {
	case CONFIG_STRING:
		print_string(out, config_string(c, key));
		break;
	case CONFIG_INT:
		fprintf(out, "%" PRId64, config_int(c, key));
		break;
	case CONFIG_BOOL:
		fputs(config_bool(c, key) ? "true" : "false", out);
		break;
	case CONFIG_ENUM:
		print_string(out, key->values[config_int(c, key)]);
		break;
	case CONFIG_LIST:
		print_list(out, key, config_items(c, key));
		break;
	}
}

/* The name of a file may hold anything, and a comment ends with the line. */
static void print_where(FILE *out, const struct config *c, const struct config_key *key)
{
	char where[CONFIG_WHERE_BYTES];

	config_where(c, key, where);
	for (char *p = where; *p; p++) {
		if ((unsigned char)*p < ' ')
			*p = '?';
	}
	fprintf(out, "\t# from: %s\n", where);
}

void config_print(const struct config *c, FILE *out)
{
	const char *section = NULL;

	fputs("# The settings of ticketpayd as they are in effect.\n", out);
	for (const struct config_key *k = config_table; k->section; k++) {
		char allowed[CONFIG_ALLOWED_BYTES], line[128];

		if (!section || strcmp(section, k->section) != 0) {
			fprintf(out, "%s\n%s = {\n", section ? "};\n" : "", k->section);
			section = k->section;
		} else {
			putc('\n', out);
		}
		print_comment(out, k->help);
		snprintf(line, sizeof(line), "allowed: %s%s", config_key_allowed(k, allowed),
			k->reloadable ? "; taken by a reload" : "");
		print_comment(out, line);
		print_where(out, c, k);
		fprintf(out, "\t%s = ", k->name);
		print_value(out, c, k);
		fputs(";\n", out);
	}
	fputs("};\n", out);
}
