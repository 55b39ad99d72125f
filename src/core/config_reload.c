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

void config_reload(
	struct config *c, const struct config *from, char ret_restart[CONFIG_RESTART_BYTES])
{
	size_t used = 0;

	ret_restart[0] = '\0';
	for (const struct config_key *key = config_table; key->section; key++) {
		if (same_value(c, from, key))
			continue;
		if (key->reloadable) {
			assert(key->type == CONFIG_INT || key->type == CONFIG_ENUM);
			*(int64_t *)((char *)c + key->field) = config_int(from, key);
			continue;
		}
		used += (size_t)snprintf(ret_restart + used, CONFIG_RESTART_BYTES - used, "%s%s",
			used ? ", " : "", config_key_name(key));
		if (used >= CONFIG_RESTART_BYTES)
			used = CONFIG_RESTART_BYTES - 1; /* cut; there are more than enough named */
	}
}
