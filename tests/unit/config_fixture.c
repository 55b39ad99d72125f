/* SPDX-License-Identifier: Apache-2.0 */
#include "config_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct scratch scratch;

int scratch_setup(void **state)
{
	(void)state;
	strcpy(scratch.directory, "/tmp/test_config.XXXXXX");
	if (!mkdtemp(scratch.directory))
		return -1;
	snprintf(scratch.path, sizeof(scratch.path), "%s/a.conf", scratch.directory);
	return 0;
}

int scratch_teardown(void **state)
{
	(void)state;
	(void)unlink(scratch.path);
	return rmdir(scratch.directory);
}

struct config *defaults(void)
{
	struct config *c = config_new();

	assert_non_null(c);
	return c;
}

const struct config_key *find(const char *name)
{
	char section[32];
	const char *dot = strchr(name, '.');
	const struct config_key *key;

	snprintf(section, sizeof(section), "%.*s", (int)(dot - name), name);
	key = config_find(section, dot + 1, NULL);
	assert_non_null(key);
	return key;
}

static bool same_value(const struct config *a, const struct config *b, const struct config_key *key)
{
	const struct config_list *la, *lb;

	switch (key->type) {
	case CONFIG_STRING:
		return strcmp(config_string(a, key), config_string(b, key)) == 0;
	case CONFIG_INT:
	case CONFIG_ENUM:
		return config_int(a, key) == config_int(b, key);
	case CONFIG_BOOL:
		return config_bool(a, key) == config_bool(b, key);
	case CONFIG_LIST:
		la = config_items(a, key);
		lb = config_items(b, key);
		if (la->count != lb->count)
			return false;
		for (size_t i = 0; i < la->count; i++) {
			if (strcmp(la->items[i], lb->items[i]) != 0)
				return false;
		}
		return true;
	}
	return false;
}

void assert_same(const struct config *a, const struct config *b)
{
	for (const struct config_key *k = config_table; k->section; k++) {
		if (!same_value(a, b, k))
			fail_msg("%s is another", config_key_name(k));
	}
}

uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}
