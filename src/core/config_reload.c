/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/config_key.h"

static bool same_list(const struct config_list *a, const struct config_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	}
	return true;
}

static bool same_value(const struct config *a, const struct config *b, const struct config_key *key)
{
	switch (key->type) {
	case CONFIG_STRING:
		return strcmp(config_string(a, key), config_string(b, key)) == 0;
	case CONFIG_INT:
	case CONFIG_ENUM:
		return config_int(a, key) == config_int(b, key);
	case CONFIG_BOOL:
		return config_bool(a, key) == config_bool(b, key);
	case CONFIG_LIST:
		return same_list(config_items(a, key), config_items(b, key));
	}
	return true;
}

/* Values and where they come from, of all keys that can change while running. */
static void exchange(struct config *a, struct config *b)
{
	for (const struct config_key *key = config_table; key->section; key++) {
		if (!key->reloadable)
			continue;
		assert(key->type == CONFIG_INT || key->type == CONFIG_ENUM);

		int64_t *value_a = (int64_t *)((char *)a + key->field);
		int64_t *value_b = (int64_t *)((char *)b + key->field);
		struct config_origin *origin_a = &a->origins[key - config_table];
		struct config_origin *origin_b = &b->origins[key - config_table];
		struct config_origin origin = *origin_a;
		int64_t value = *value_a;

		*value_a = *value_b;
		*value_b = value;
		*origin_a = *origin_b;
		*origin_b = origin;
	}
}

enum result config_reload(struct config *c, struct config *from,
	char ret_restart[CONFIG_RESTART_BYTES], struct error *err)
{
	size_t used = 0;

	ret_restart[0] = '\0';
	for (const struct config_key *key = config_table; key->section; key++) {
		if (key->reloadable || same_value(c, from, key))
			continue;
		used += (size_t)snprintf(ret_restart + used, CONFIG_RESTART_BYTES - used, "%s%s",
			used ? ", " : "", config_key_name(key));
		if (used >= CONFIG_RESTART_BYTES)
			used = CONFIG_RESTART_BYTES - 1; /* cut; there are more than enough named */
	}

	exchange(c, from);

	/* `from` was whole in itself, but a part of it beside the rest of c may not be. */
	enum result r = config_check(c, err);

	if (r != RESULT_OK)
		exchange(c, from);
	return r;
}
