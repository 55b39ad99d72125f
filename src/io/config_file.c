/* SPDX-License-Identifier: Apache-2.0 */
#include "io/config_file.h"

#include <errno.h>
#include <inttypes.h>
#include <libconfig.h>
#include <stdarg.h>
#include <string.h>

#include "core/config_key.h"
#include "io/config_scan.h"

/* libconfig counts lines in 16 bits: a file of this size cannot have more. */
enum { FILE_MAX_BYTES = 65535 };

DEFINE_CLEANUP(FILE *, fclose)

/* A file being read. */
struct reader {
	struct config *config;
	const char *path;
	struct error *err;
};

/* "FILE:12: NAME: " and what is wrong; an empty section is that of a setting outside of all. */
__attribute__((format(printf, 5, 6))) static enum result breach(const struct reader *r,
	const config_setting_t *at, const char *section, const char *name, const char *format, ...)
{
	char where[CONFIG_WHERE_BYTES], what[160];
	va_list ap;

	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	return fail(r->err, RESULT_FATAL, EINVAL, "%s: %.60s%s%.60s: %s",
		config_place(r->path, (int)config_setting_source_line(at), where), section,
		*section ? "." : "", name, what);
}

static enum result wrong_type(
	const struct reader *r, const config_setting_t *at, const struct config_key *key)
{
	static const char *const expected[] = {
		[CONFIG_STRING] = "a string in quotes",
		[CONFIG_INT] = "an integer without quotes",
		[CONFIG_BOOL] = "true or false without quotes",
		[CONFIG_ENUM] = "a name in quotes",
		[CONFIG_LIST] = "a list of strings, [ \"NAME=VALUE\", ... ]",
	};
	char allowed[CONFIG_ALLOWED_BYTES];

	return breach(r, at, key->section, key->name, "must be %s (allowed: %s)",
		expected[key->type], config_key_allowed(key, allowed));
}

/* config_set() takes text, as from --set, but here the type was written down: 5 is not "5". */
static const char *value_text(
	const config_setting_t *at, enum config_type type, char *buffer, size_t size)
{
	int is = config_setting_type(at);

	switch (type) {
	case CONFIG_STRING:
	case CONFIG_ENUM:
	case CONFIG_LIST:
		return is == CONFIG_TYPE_STRING ? config_setting_get_string(at) : NULL;
	case CONFIG_INT:
		if (is != CONFIG_TYPE_INT && is != CONFIG_TYPE_INT64)
			return NULL;
		snprintf(buffer, size, "%lld",
			is == CONFIG_TYPE_INT ? config_setting_get_int(at)
					      : config_setting_get_int64(at));
		return buffer;
	case CONFIG_BOOL:
		if (is != CONFIG_TYPE_BOOL)
			return NULL;
		return config_setting_get_bool(at) ? "true" : "false";
	}
	return NULL;
}

/* at: the value or one item of the list `whole`, whose line is the one to name */
static enum result read_value(const struct reader *r, const config_setting_t *at,
	const config_setting_t *whole, const struct config_key *key)
{
	char buffer[32];
	const char *text = value_text(at, key->type, buffer, sizeof(buffer));

	if (!text)
		return wrong_type(r, whole, key);
	return config_set(
		r->config, key, text, r->path, (int)config_setting_source_line(whole), r->err);
}

static enum result read_key(const struct reader *r, const config_setting_t *at, const char *section)
{
	const char *name = config_setting_name(at), *nearest;
	const struct config_key *key = config_find(section, name, &nearest);

	if (!key)
		return breach(r, at, section, name, "there is no such key%s%s%s",
			nearest ? ", did you mean " : "", nearest ? nearest : "",
			nearest ? "?" : "");
	if (key->type != CONFIG_LIST)
		return read_value(r, at, at, key);
	if (!config_setting_is_array(at) && !config_setting_is_list(at))
		return wrong_type(r, at, key);

	/* Items have lines too, but the last one has that of the bracket behind it. */
	for (int i = 0; i < config_setting_length(at); i++) {
		enum result result =
			read_value(r, config_setting_get_elem(at, (unsigned)i), at, key);

		if (result != RESULT_OK)
			return result;
	}
	return RESULT_OK;
}

static bool section_exists(const char *name)
{
	for (const struct config_key *k = config_table; k->section; k++) {
		if (strcmp(k->section, name) == 0)
			return true;
	}
	return false;
}

static enum result read_section(const struct reader *r, const config_setting_t *at)
{
	const char *name = config_setting_name(at), *nearest;
	bool known = section_exists(name);

	if (config_setting_is_group(at)) {
		/* Keys of an unknown section are named one by one: their place may be guessed. */
		if (!known && config_setting_length(at) == 0)
			return breach(r, at, "", name, "there is no such section");
		for (int i = 0; i < config_setting_length(at); i++) {
			enum result result =
				read_key(r, config_setting_get_elem(at, (unsigned)i), name);

			if (result != RESULT_OK)
				return result;
		}
		return RESULT_OK;
	}

	if (known)
		return breach(r, at, "", name, "must be a section: %s = { key = value; };", name);
	(void)config_find("", name, &nearest); /* for its guess: no key is outside of a section */
	return breach(r, at, "", name, "a setting outside of all sections%s%s%s",
		nearest ? ", did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
}

/* The whole file with a newline at its end: libconfig 1.5 knows no comment without one. */
static enum result load(const char *path, char **ret, struct error *err)
{
	CLEANUP(fclose_ptr) FILE *file = fopen(path, "re");

	if (!file)
		return fail(err, RESULT_FATAL, errno, "%.100s: cannot be read: %s", path,
			strerror(errno));

	CLEANUP(free_ptr) char *text = malloc(FILE_MAX_BYTES + 2);

	if (!text)
		return fail(err, RESULT_FATAL, ENOMEM, "no memory for the settings");

	size_t length = fread(text, 1, FILE_MAX_BYTES + 1, file);

	if (ferror(file))
		return fail(err, RESULT_FATAL, errno, "%.100s: cannot be read: %s", path,
			strerror(errno));
	if (length > FILE_MAX_BYTES)
		return fail(err, RESULT_FATAL, EFBIG, "%.100s: has more than %d bytes", path,
			FILE_MAX_BYTES);
	text[length++] = '\n';
	text[length] = '\0';

	enum result result = config_scan(text, length, path, err);

	if (result == RESULT_OK)
		*ret = TAKE(text);
	return result;
}

enum result config_file_read(struct config *c, const char *path, struct error *err)
{
	const struct reader r = {c, path, err};
	CLEANUP(free_ptr) char *text = NULL;
	enum result result = load(path, &text, err);

	if (result != RESULT_OK)
		return result;

	CLEANUP(config_destroy) config_t file;

	config_init(&file);
	if (!config_read_string(&file, text)) {
		char where[CONFIG_WHERE_BYTES];

		return fail(err, RESULT_FATAL, EINVAL,
			"%s: %s (allowed: section = { key = value; }; with strings in quotes)",
			config_place(path, config_error_line(&file), where),
			config_error_text(&file));
	}

	const config_setting_t *root = config_root_setting(&file);

	for (int i = 0; i < config_setting_length(root) && result == RESULT_OK; i++)
		result = read_section(&r, config_setting_get_elem(root, (unsigned)i));
	return result;
}

enum result config_file_load(const char *path, bool optional, const char *const *sets,
	size_t set_count, struct config **ret, struct error *err)
{
	CLEANUP(config_free_ptr) struct config *c = config_new();
	struct error why = {0};

	if (!c)
		return fail(err, RESULT_FATAL, ENOMEM, "no memory for the settings");

	enum result r = config_file_read(c, path, &why);

	if (r != RESULT_OK && optional && why.code == ENOENT)
		r = RESULT_OK;
	for (size_t i = 0; i < set_count && r == RESULT_OK; i++)
		r = config_set_argument(c, sets[i], &why);
	if (r == RESULT_OK)
		r = config_check(c, &why);
	if (r == RESULT_OK)
		*ret = TAKE(c);
	else if (err)
		*err = why;
	return r;
}
