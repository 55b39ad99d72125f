/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core/config.h"

/* Words about a key of config_table, for messages, --print-config and the manual. */

/* "batch.max_events" */
const char *config_key_name(const struct config_key *key);

enum { CONFIG_ALLOWED_BYTES = 80 };

/* What it takes: "1 to 64", "redis, database", "true, false", "1 to 249 bytes". Returns ret. */
const char *config_key_allowed(const struct config_key *key, char ret[CONFIG_ALLOWED_BYTES]);

/* Where the value in `c` was given: "etc/ticketpayd.conf:12", "--set", "default". Returns ret. */
enum { CONFIG_WHERE_BYTES = 96 };
const char *config_where(
	const struct config *c, const struct config_key *key, char ret[CONFIG_WHERE_BYTES]);

/* The same of a place that is not (yet) in a config. */
const char *config_place(const char *file, int line, char ret[CONFIG_WHERE_BYTES]);

/* The value of `name` among kafka.properties, or NULL. */
const char *config_property(const struct config *c, const char *name);

/* The fields of a config by the table. `key` has the type that the name says. */
static inline int64_t config_int(const struct config *c, const struct config_key *key)
{
	return *(const int64_t *)((const char *)c + key->field);
}

static inline bool config_bool(const struct config *c, const struct config_key *key)
{
	return *(const bool *)((const char *)c + key->field);
}

static inline const char *config_string(const struct config *c, const struct config_key *key)
{
	return *(char *const *)((const char *)c + key->field);
}

static inline const struct config_list *config_items(
	const struct config *c, const struct config_key *key)
{
	return (const struct config_list *)((const char *)c + key->field);
}
