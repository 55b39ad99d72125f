/* SPDX-License-Identifier: Apache-2.0 */
#include "core/conninfo.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/bytes.h"

#define HOLDS_SECRET "holds a password or another secret"

/* Keywords of libpq 15 to 18 whose value is a secret itself, not the name of a file. */
static bool is_secret(struct bytes keyword)
{
	static const char *const names[] = {"password", "sslpassword", "oauth_client_secret",
		"scram_client_key", "scram_server_key"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (bytes_equal(keyword, (struct bytes){names[i], strlen(names[i])}))
			return true;
	}
	return false;
}

static bool is_space(char c)
{
	return isspace((unsigned char)c);
}

static const char *skip_spaces(const char *p)
{
	while (is_space(*p))
		p++;
	return p;
}

/* Behind the value that begins at p, plain or 'quoted'; NULL: its quote is not closed. */
static const char *skip_value(const char *p)
{
	bool quoted = *p == '\'';

	for (p += quoted; *p; p++) {
		if (quoted ? *p == '\'' : is_space(*p))
			return p + quoted;
		if (*p == '\\' && p[1])
			p++;
	}
	return quoted ? NULL : p;
}

/* As libpq's conninfo_parse() reads it. */
static const char *words_wrong(const char *p)
{
	for (p = skip_spaces(p); *p; p = skip_spaces(p)) {
		struct bytes keyword = {.data = p};

		while (*p && *p != '=' && !is_space(*p))
			p++;
		keyword.length = (size_t)(p - keyword.data);
		p = skip_spaces(p);
		if (*p != '=' || keyword.length == 0)
			return "is neither words of the form key=value nor a postgresql:// URI";
		if (is_secret(keyword))
			return HOLDS_SECRET;
		p = skip_value(skip_spaces(p + 1));
		if (!p)
			return "has a quote that is not closed";
	}
	return NULL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Keywords of a URI may be percent-encoded; longer ones than any of libpq's are cut. */
static bool is_secret_encoded(const char *p, const char *end)
{
	char decoded[32];
	struct bytes keyword = {.data = decoded};

	while (p < end && keyword.length < sizeof(decoded)) {
		int c = (unsigned char)*p++;

		if (c == '%' && end - p >= 2 && hex_digit(p[0]) >= 0 && hex_digit(p[1]) >= 0) {
			c = hex_digit(p[0]) * 16 + hex_digit(p[1]);
			p += 2;
		}
		decoded[keyword.length++] = (char)c;
	}
	return is_secret(keyword);
}

/* As libpq's conninfo_uri_parse(): [user[:password]@][hosts][/dbname][?key=value[&...]] */
static const char *uri_wrong(const char *p)
{
	size_t length = strcspn(p, "@/");

	if (p[length] == '@') {
		if (memchr(p, ':', length))
			return HOLDS_SECRET;
		p += length + 1;
	}

	for (p = strchr(p, '?'); p; p = strchr(p, '&')) {
		p++;
		if (is_secret_encoded(p, p + strcspn(p, "=&")))
			return HOLDS_SECRET;
	}
	return NULL;
}

const char *conninfo_wrong(const char *conninfo)
{
	static const char *const schemes[] = {"postgresql://", "postgres://"};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t length = strlen(schemes[i]);

		if (strncmp(conninfo, schemes[i], length) == 0)
			return uri_wrong(conninfo + length);
	}
	return words_wrong(conninfo);
}
