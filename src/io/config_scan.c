/* SPDX-License-Identifier: Apache-2.0 */
#include "io/config_scan.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/config_key.h"

/*
 * libconfig 1.5 wraps integers over 32 bits: 4294967296 reads as 0. No key needs more than 9 digits
 * (7 in hexadecimal), which fit always. A leading zero means octal since 1.7 and nothing before.
 * Other traps: a comment that is not closed hides the rest of the file, a NUL ends it, "\x00" ends
 * a string, and an @include would leave us without the name of the file in messages.
 */
enum { DIGITS_MAX = 9, HEX_DIGITS_MAX = 7, NAME_MAX_BYTES = 40 };

struct scanner {
	const char *path;
	const char *at;
	int line;
	int depth;                    /* of braces */
	char section[NAME_MAX_BYTES]; /* the name before the outermost brace */
	char name[NAME_MAX_BYTES];    /* the last one seen */
};

__attribute__((format(printf, 4, 5))) static enum result breach(
	const struct scanner *s, int line, struct error *err, const char *format, ...)
{
	char where[CONFIG_WHERE_BYTES], key[2 * NAME_MAX_BYTES + 4] = "", what[120];
	va_list ap;

	if (s->name[0])
		snprintf(key, sizeof(key), "%s%s%s: ", s->depth ? s->section : "",
			s->depth ? "." : "", s->name);
	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	return fail(err, RESULT_FATAL, EINVAL, "%s: %s%s", config_place(s->path, line, where), key,
		what);
}

static enum result skip_comment(struct scanner *s, struct error *err)
{
	int first_line = s->line;
	const char *end = strstr(s->at + 2, "*/");

	if (!end)
		return breach(
			s, first_line, err, "the comment that begins here is not closed with */");
	for (; s->at < end; s->at++)
		s->line += *s->at == '\n';
	s->at = end + 2;
	return RESULT_OK;
}

static enum result skip_string(struct scanner *s, struct error *err)
{
	int first_line = s->line;

	for (s->at++; *s->at; s->at++) {
		if (*s->at == '"') {
			s->at++;
			return RESULT_OK;
		}
		if (strncasecmp(s->at, "\\x00", 4) == 0)
			return breach(s, s->line, err, "a string holds \\x00");
		if (*s->at == '\\' && s->at[1] && s->at[1] != '\n')
			s->at++;
		s->line += *s->at == '\n';
	}
	return breach(s, first_line, err, "the string that begins here is not closed");
}

static bool name_character(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '*';
}

static void take_name(struct scanner *s)
{
	size_t n = 0;

	for (; name_character(*s->at); s->at++) {
		if (n < sizeof(s->name) - 1)
			s->name[n++] = *s->at;
	}
	s->name[n] = '\0';
}

static enum result skip_number(struct scanner *s, struct error *err)
{
	bool hex = s->at[0] == '0' && (s->at[1] | ' ') == 'x';
	const char *digits = hex ? s->at + 2 : s->at;
	size_t length = strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789");

	if (length > (hex ? HEX_DIGITS_MAX : DIGITS_MAX))
		return breach(s, s->line, err, "a number of %zu digits (allowed: at most %d)",
			length, hex ? HEX_DIGITS_MAX : DIGITS_MAX);
	if (!hex && length > 1 && digits[0] == '0')
		return breach(s, s->line, err, "a number with a leading zero (allowed: without)");
	s->at = digits + length;
	/* The L of a 64-bit integer; it begins no name. */
	s->at += strspn(s->at, "L");
	return RESULT_OK;
}

static void enter_group(struct scanner *s)
{
	if (s->depth++ == 0)
		memcpy(s->section, s->name, sizeof(s->section));
	s->name[0] = '\0';
}

static void leave_group(struct scanner *s)
{
	if (s->depth > 0)
		s->depth--;
	s->name[0] = '\0';
}

enum result config_scan(const char *text, size_t length, const char *path, struct error *err)
{
	struct scanner s = {.path = path, .at = text, .line = 1};
	enum result r = RESULT_OK;

	while (r == RESULT_OK && *s.at) {
		char c = *s.at;

		if (c == '#' || (c == '/' && s.at[1] == '/'))
			s.at += strcspn(s.at, "\n");
		else if (c == '/' && s.at[1] == '*')
			r = skip_comment(&s, err);
		else if (c == '"')
			r = skip_string(&s, err);
		else if (isdigit((unsigned char)c))
			r = skip_number(&s, err);
		else if (isalpha((unsigned char)c) || c == '*')
			take_name(&s);
		else if (c == '@')
			r = breach(
				&s, s.line, err, "@include is not supported: one file holds all");
		else {
			if (c == '{')
				enter_group(&s);
			else if (c == '}')
				leave_group(&s);
			s.line += c == '\n';
			s.at++;
		}
	}
	if (r == RESULT_OK && s.at != text + length)
		r = breach(&s, s.line, err, "the file holds a NUL byte");
	return r;
}
