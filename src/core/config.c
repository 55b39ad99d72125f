/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "core/config_key.h"

/* config_origin.line without a file. */
enum { LINE_DEFAULT = 0, LINE_SET = -1 };

/* ---- memory ---------------------------------------------------------------------------------- */

static size_t key_count(void)
{
	size_t n = 0;

	while (config_table[n].section)
		n++;
	return n;
}

static char **string_field(struct config *c, const struct config_key *key)
{
	return (char **)((char *)c + key->field);
}

static struct config_list *list_field(struct config *c, const struct config_key *key)
{
	return (struct config_list *)((char *)c + key->field);
}

static void list_clear(struct config_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct config_list){0};
}

void config_free(struct config *c)
{
	if (!c)
		return;

	for (const struct config_key *k = config_table; k->section; k++) {
		if (k->type == CONFIG_STRING)
			free(*string_field(c, k));
		else if (k->type == CONFIG_LIST)
			list_clear(list_field(c, k));
		if (c->origins)
			free(c->origins[k - config_table].file);
	}
	free(c->origins);
	free(c);
}

/* ---- where a value comes from ---------------------------------------------------------------- */

const char *config_place(const char *file, int line, char ret[CONFIG_WHERE_BYTES])
{
	enum { FILE_BYTES = CONFIG_WHERE_BYTES - 16 };

	if (file) {
		/* The end of a long path says more than its beginning. */
		size_t length = strlen(file);
		bool cut = length > FILE_BYTES;

		snprintf(ret, CONFIG_WHERE_BYTES, "%s%s:%d", cut ? "..." : "",
			cut ? file + length - FILE_BYTES + 3 : file, line);
	} else {
		snprintf(ret, CONFIG_WHERE_BYTES, "%s", line == LINE_SET ? "--set" : "default");
	}
	return ret;
}

const char *config_where(
	const struct config *c, const struct config_key *key, char ret[CONFIG_WHERE_BYTES])
{
	const struct config_origin *o = &c->origins[key - config_table];

	return config_place(o->file, o->line, ret);
}

/* ---- values ---------------------------------------------------------------------------------- */

/* What is being set and where it was given. */
struct setting {
	struct config *config;
	const struct config_key *key;
	const char *text;
	const char *file;
	int line;
};

/* "FILE:12: batch.max_events: TEXT is below 1 (allowed: 1 to 20000)" */
__attribute__((format(printf, 3, 4))) static enum result breach(
	const struct setting *s, struct error *err, const char *format, ...)
{
	char where[CONFIG_WHERE_BYTES], allowed[CONFIG_ALLOWED_BYTES], what[120];
	va_list ap;

	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	return fail(err, RESULT_FATAL, EINVAL, "%s: %s: %s (allowed: %s)",
		config_place(s->file, s->line, where), config_key_name(s->key), what,
		config_key_allowed(s->key, allowed));
}

static enum result no_memory(struct error *err)
{
	return fail(err, RESULT_FATAL, ENOMEM, "no memory for the settings");
}

static enum result set_int(const struct setting *s, struct error *err)
{
	size_t digits = strspn(s->text + (s->text[0] == '-'), "0123456789");
	char *end;

	errno = 0;

	long long n = strtoll(s->text, &end, 10);

	if (digits == 0 || *end || end != s->text + (s->text[0] == '-') + digits)
		return breach(s, err, "\"%.40s\" is not an integer", s->text);
	/* strtoll() itself goes to the nearest bound on ERANGE. */
	if (n < s->key->minimum)
		return breach(s, err, "%.40s is below %" PRId64, s->text, s->key->minimum);
	if (n > s->key->maximum)
		return breach(s, err, "%.40s is above %" PRId64, s->text, s->key->maximum);
	*(int64_t *)((char *)s->config + s->key->field) = n;
	return RESULT_OK;
}

static enum result set_bool(const struct setting *s, struct error *err)
{
	bool *field = (bool *)((char *)s->config + s->key->field);

	if (strcmp(s->text, "true") == 0)
		*field = true;
	else if (strcmp(s->text, "false") == 0)
		*field = false;
	else
		return breach(s, err, "\"%.40s\" is neither true nor false", s->text);
	return RESULT_OK;
}

static enum result set_enum(const struct setting *s, struct error *err)
{
	for (int64_t i = 0; s->key->values[i]; i++) {
		if (*s->text && strcmp(s->text, s->key->values[i]) == 0) {
			*(int64_t *)((char *)s->config + s->key->field) = i;
			return RESULT_OK;
		}
	}
	return breach(s, err, "\"%.40s\" is not one of the values", s->text);
}

/* No setting needs control characters; without them values are safe in messages and comments. */
static enum result check_text(const struct setting *s, struct error *err)
{
	int64_t length = (int64_t)strlen(s->text);

	if (length == 0 && s->key->minimum > 0)
		return breach(s, err, "is empty");
	if (length < s->key->minimum)
		return breach(s, err, "is %" PRId64 " bytes long", length);
	if (length > s->key->maximum)
		return breach(s, err, "is %" PRId64 " bytes long", length);
	for (const char *p = s->text; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return breach(s, err, "holds a control character, byte %td", p - s->text);
	}
	return RESULT_OK;
}

static enum result set_string(const struct setting *s, struct error *err)
{
	enum result r = check_text(s, err);

	if (r != RESULT_OK)
		return r;

	char **field = string_field(s->config, s->key);
	char *copy = strdup(s->text);

	if (!copy)
		return no_memory(err);
	free(*field);
	*field = copy;
	return RESULT_OK;
}

/* Bytes of NAME in "NAME=VALUE". */
static size_t name_length(const char *item)
{
	return strcspn(item, "=");
}

static char **find_item(const struct config_list *list, const char *name, size_t length)
{
	for (size_t i = 0; i < list->count; i++) {
		if (name_length(list->items[i]) == length &&
			memcmp(list->items[i], name, length) == 0)
			return &list->items[i];
	}
	return NULL;
}

/* --set adds an item to those of the file, or takes the place of the one with the same name. */
static enum result set_item(const struct setting *s, struct error *err)
{
	enum result r = check_text(s, err);

	if (r != RESULT_OK)
		return r;

	struct config_list *list = list_field(s->config, s->key);
	size_t length = name_length(s->text);
	char **same = find_item(list, s->text, length);

	/* The line to blame, not a payload: names of properties are no secret. */
	if (same && s->file)
		return breach(
			s, err, "%.*s stands there twice", length > 60 ? 60 : (int)length, s->text);

	CLEANUP(free_ptr) char *copy = strdup(s->text);

	if (!copy)
		return no_memory(err);
	if (same) {
		free(*same);
		*same = TAKE(copy);
		return RESULT_OK;
	}

	char **items = realloc(list->items, (list->count + 1) * sizeof(*items));

	if (!items)
		return no_memory(err);
	items[list->count++] = TAKE(copy);
	list->items = items;
	return RESULT_OK;
}

static enum result set_value(const struct setting *s, struct error *err)
{
	switch (s->key->type) {
	case CONFIG_STRING:
		return set_string(s, err);
	case CONFIG_INT:
		return set_int(s, err);
	case CONFIG_BOOL:
		return set_bool(s, err);
	case CONFIG_ENUM:
		return set_enum(s, err);
	case CONFIG_LIST:
		return set_item(s, err);
	}
	return RESULT_FATAL;
}

struct config *config_new(void)
{
	CLEANUP(config_free_ptr) struct config *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->origins = calloc(key_count(), sizeof(*c->origins));
	if (!c->origins)
		return NULL;

	for (const struct config_key *k = config_table; k->section; k++) {
		const struct setting s = {.config = c, .key = k, .text = k->default_text};

		if (k->type == CONFIG_LIST && !*k->default_text)
			continue;
		/* A default that breaks its own rule fails every test; here it means no memory. */
		if (set_value(&s, NULL) != RESULT_OK)
			return NULL;
	}
	return TAKE(c);
}

enum result config_set(struct config *c, const struct config_key *key, const char *text,
	const char *file, int line, struct error *err)
{
	const struct setting s = {c, key, text, file, line};
	struct config_origin *origin = &c->origins[key - config_table];
	CLEANUP(free_ptr) char *name = file ? strdup(file) : NULL;

	if (file && !name)
		return no_memory(err);

	enum result r = set_value(&s, err);

	if (r != RESULT_OK)
		return r;
	free(origin->file);
	origin->file = TAKE(name);
	origin->line = line;
	return RESULT_OK;
}

enum result config_set_argument(struct config *c, const char *argument, struct error *err)
{
	size_t length = strcspn(argument, "=");
	char name[64];
	const char *nearest = NULL;

	if (!argument[length])
		return fail(err, RESULT_FATAL, EINVAL,
			"--set: \"%.60s\" is not of the form section.key=value", argument);
	if (length >= sizeof(name))
		return fail(err, RESULT_FATAL, EINVAL, "--set: %.60s...: there is no such key",
			argument);
	memcpy(name, argument, length);
	name[length] = '\0';

	char *dot = strchr(name, '.');

	if (!dot)
		return fail(err, RESULT_FATAL, EINVAL, "--set: %s is not of the form section.key",
			name);
	*dot = '\0';

	const struct config_key *key = config_find(name, dot + 1, &nearest);

	if (!key)
		return fail(err, RESULT_FATAL, EINVAL, "--set: %s.%s: there is no such key%s%s%s",
			name, dot + 1, nearest ? ", did you mean " : "", nearest ? nearest : "",
			nearest ? "?" : "");
	return config_set(c, key, argument + length + 1, NULL, LINE_SET, err);
}

/* ---- properties ------------------------------------------------------------------------------ */

const char *config_property(const struct config *c, const char *name)
{
	size_t length = strlen(name);
	char **item = find_item(&c->kafka.properties, name, length);

	return item && (*item)[length] == '=' ? *item + length + 1 : NULL;
}
