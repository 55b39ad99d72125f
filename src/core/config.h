/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/error.h"

/*
 * The settings, from one table (config.c) that also makes the checks, the messages, --print-config
 * and the manual's list. io/config_file.c reads the file; nothing here knows libconfig.
 */
enum lock_provider { LOCK_PROVIDER_REDIS, LOCK_PROVIDER_DATABASE };
enum lock_scope { LOCK_SCOPE_STOCK, LOCK_SCOPE_TRANSACTION };
enum lock_fallback { LOCK_FALLBACK_DATABASE, LOCK_FALLBACK_WAIT };
enum start_at { START_EARLIEST, START_LATEST };

/* A list of "NAME=VALUE" strings. */
struct config_list {
	char **items;
	size_t count;
};

struct config {
	struct {
		char *brokers, *topic, *group, *outcome_topic;
		char *instance; /* "": the host's name; "none": a dynamic member */
		int64_t workers;
		int64_t start; /* enum start_at */
		struct config_list properties;
		char *properties_file; /* "": none */
	} kafka;
	struct {
		char *conninfo, *passfile;
		bool prepare;
		int64_t transaction_timeout_ms, connect_timeout_ms;
	} database;
	struct {
		int64_t provider, scope; /* enum lock_provider, enum lock_scope */
		char *redis, *redis_user, *redis_password_file;
		int64_t redis_timeout_ms;
		char *key_prefix;
		int64_t wait_ms, lease_ms;
		int64_t fallback; /* enum lock_fallback */
	} lock;
	struct {
		int64_t max_events, max_bytes, linger_ms;
	} batch;
	struct {
		int64_t event_bytes, breaker, stop_ms;
	} limits;
	struct {
		int64_t level; /* enum log_level */
	} log;
	struct {
		char *textfile;
	} metrics;

	struct config_origin *origins; /* one per key of the table: where its value comes from */
};

enum config_type { CONFIG_STRING, CONFIG_INT, CONFIG_BOOL, CONFIG_ENUM, CONFIG_LIST };

/* One key. The table ends with section == NULL. */
struct config_key {
	const char *section, *name;
	enum config_type type;
	size_t field;                    /* offsetof(struct config, ...) */
	const char *default_text;        /* as one would write it after --set; a list: "" is empty */
	int64_t minimum, maximum;        /* CONFIG_INT: value; CONFIG_STRING: length in bytes */
	const char *const *values;       /* CONFIG_ENUM: the names, NULL at the end; index = value */
	bool secret;                     /* --print-config shows "***" for what is secret in it */
	bool reloadable;                 /* taken by SIGHUP, without a restart */
	const char *help;                /* one line for the manual and --print-config */
};

extern const struct config_key config_table[];

/* Where a value was given, for messages: "FILE:LINE", "--set", "default". */
struct config_origin {
	char *file; /* NULL: not from a file */
	int line;   /* 0 with file NULL: the default; -1: --set */
};

/* All defaults; NULL when memory is out. */
struct config *config_new(void);
void config_free(struct config *c);
DEFINE_CLEANUP(struct config *, config_free)

/* The key `section.name`, or NULL; *nearest (may be NULL) gets the closest known name, or NULL. */
const struct config_key *config_find(const char *section, const char *name, const char **nearest);

/*
 * Set one key from text, typed by the table: 5000, true, redis, 127.0.0.1:6379. A list gets one item
 * added per call (the first one replaces the default).
 *
 * where: NULL file and line -1: --set
 * fails: FATAL, text "etc/ticketpayd.conf:12: batch.max_events: 0 is below 1 (allowed: 1 to 20000)"
 */
enum result config_set(struct config *c, const struct config_key *key, const char *text,
	const char *file, int line, struct error *err) MUST_CHECK;

/* "section.key=value", as given to --set. */
enum result config_set_argument(struct config *c, const char *argument, struct error *err) MUST_CHECK;

/* The rules between keys: time budgets, lengths, the properties' allow-list. FATAL, named as above. */
enum result config_check(const struct config *c, struct error *err) MUST_CHECK;

/*
 * A reload: exchange with `from` what can change while running. What cannot is left as it is.
 *
 * ret_restart: names it, "kafka.topic, lock.scope"; "" when nothing of it differs; always written
 * fails:       FATAL when what can change does not fit to what stays; then nothing has changed
 */
enum { CONFIG_RESTART_BYTES = 400 };
enum result config_reload(struct config *c, struct config *from,
	char ret_restart[CONFIG_RESTART_BYTES], struct error *err) MUST_CHECK;

/* A file that -c accepts, secrets masked, each key with its help and where its value comes from. */
void config_print(const struct config *c, FILE *out);

/*
 * May this librdkafka property be passed through? RESULT_OK, or FATAL with the reason: it would break
 * a guarantee (named), is set by a key of ours (named), or is not on the list.
 */
enum result config_property_allowed(const char *name, struct error *err) MUST_CHECK;
