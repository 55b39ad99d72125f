/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "core/config_key.h"
#include "core/conninfo.h"

/* The rules that a single value of its type cannot break; config_set() knows the others. */

#define FIELD(f) offsetof(struct config, f)

/* librdkafka's default; a property may change it. */
#define MAX_POLL_INTERVAL "max.poll.interval.ms"
enum { MAX_POLL_INTERVAL_MS = 300000 };

static const struct config_key *key_of(size_t field)
{
	const struct config_key *k = config_table;

	while (k->section && k->field != field)
		k++;
	return k;
}

/* "FILE:12: section.key: " and what is wrong. */
__attribute__((format(printf, 4, 5))) static enum result breach(
	const struct config *c, size_t field, struct error *err, const char *format, ...)
{
	const struct config_key *key = key_of(field);
	char where[CONFIG_WHERE_BYTES], what[sizeof(err->text)];
	va_list ap;

	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	return fail(err, RESULT_FATAL, EINVAL, "%s: %s: %s", config_where(c, key, where),
		config_key_name(key), what);
}

/* Which of two that do not fit was given last: --set comes after the file, that after the default.
 */
static size_t later(const struct config *c, size_t a, size_t b)
{
	const struct config_origin *o[] = {
		&c->origins[key_of(a) - config_table], &c->origins[key_of(b) - config_table]};
	int rank[2];

	for (int i = 0; i < 2; i++)
		rank[i] = o[i]->file ? 1 : o[i]->line ? 2 : 0;
	return rank[1] > rank[0] ? b : a;
}

/* The value of `low` must be below that of `high`. */
static enum result check_below(const struct config *c, size_t low, size_t high, struct error *err)
{
	int64_t n[] = {config_int(c, key_of(low)), config_int(c, key_of(high))};
	char where[CONFIG_WHERE_BYTES];

	if (n[0] < n[1])
		return RESULT_OK;
	if (later(c, low, high) == low)
		return breach(c, low, err, "%" PRId64 " is not below %s = %" PRId64 " (%s)", n[0],
			config_key_name(key_of(high)), n[1], config_where(c, key_of(high), where));
	return breach(c, high, err, "%" PRId64 " is not above %s = %" PRId64 " (%s)", n[1],
		config_key_name(key_of(low)), n[0], config_where(c, key_of(low), where));
}

/* ---- Kafka ----------------------------------------------------------------------------------- */

static bool name_characters(const char *s)
{
	return !s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")];
}

static enum result check_topic(const struct config *c, size_t field, struct error *err)
{
	const char *name = config_string(c, key_of(field));

	if (!name_characters(name))
		return breach(c, field, err,
			"\"%.60s\" is no topic name (allowed: A-Z a-z 0-9 . _ -)", name);
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return breach(
			c, field, err, "\"%s\" is no topic name (allowed: all but . and ..)", name);
	return RESULT_OK;
}

static enum result check_kafka_names(const struct config *c, struct error *err)
{
	enum result r = check_topic(c, FIELD(kafka.topic), err);

	if (r == RESULT_OK)
		r = check_topic(c, FIELD(kafka.outcome_topic), err);
	if (r != RESULT_OK)
		return r;
	if (strcmp(c->kafka.topic, c->kafka.outcome_topic) == 0)
		return breach(c, later(c, FIELD(kafka.outcome_topic), FIELD(kafka.topic)), err,
			"\"%.60s\" is both kafka.topic and kafka.outcome_topic; outcomes need a topic "
			"of their own",
			c->kafka.topic);
	if (!name_characters(c->kafka.instance))
		return breach(c, FIELD(kafka.instance), err,
			"\"%.60s\" is no instance name (allowed: A-Z a-z 0-9 . _ -)",
			c->kafka.instance);
	return RESULT_OK;
}

static enum result check_properties(const struct config *c, struct error *err)
{
	const struct config_list *list = &c->kafka.properties;

	for (size_t i = 0; i < list->count; i++) {
		const char *item = list->items[i];
		size_t length = strcspn(item, "=");
		char name[100];
		struct error why = {0};

		/* Without "=" it may be anything, a password too: not to be quoted. */
		if (!item[length] || length == 0)
			return breach(c, FIELD(kafka.properties), err,
				"item %zu is not of the form NAME=VALUE", i + 1);
		if (length >= sizeof(name))
			return breach(c, FIELD(kafka.properties), err,
				"the name of item %zu is too long for a property", i + 1);
		memcpy(name, item, length);
		name[length] = '\0';
		if (config_property_allowed(name, &why) != RESULT_OK)
			return breach(c, FIELD(kafka.properties), err, "%s", why.text);
	}
	return RESULT_OK;
}

/* A worker that is in a transaction or connects does not poll Kafka. */
static enum result check_max_poll_interval(const struct config *c, struct error *err)
{
	static const size_t waits[] = {
		FIELD(database.transaction_timeout_ms), FIELD(database.connect_timeout_ms)};
	const char *text = config_property(c, MAX_POLL_INTERVAL);
	int64_t interval_ms = MAX_POLL_INTERVAL_MS;
	char *end;

	if (text) {
		errno = 0;
		interval_ms = strtoll(text, &end, 10);
		if (end == text || *end || errno)
			return breach(c, FIELD(kafka.properties), err,
				MAX_POLL_INTERVAL " is not an integer");
	}

	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		int64_t wait_ms = config_int(c, key_of(waits[i]));

		if (wait_ms < interval_ms)
			continue;
		if (text && later(c, FIELD(kafka.properties), waits[i]) == FIELD(kafka.properties))
			return breach(c, FIELD(kafka.properties), err,
				MAX_POLL_INTERVAL " = %" PRId64 " is not above %s = %" PRId64,
				interval_ms, config_key_name(key_of(waits[i])), wait_ms);
		return breach(c, waits[i], err,
			"%" PRId64 " is not below " MAX_POLL_INTERVAL " = %" PRId64
			" (kafka.properties can raise it)",
			wait_ms, interval_ms);
	}
	return RESULT_OK;
}

/* ---- database and lock ----------------------------------------------------------------------- */

static enum result check_conninfo(const struct config *c, struct error *err)
{
	const char *wrong = conninfo_wrong(c->database.conninfo);

	if (wrong)
		return breach(c, FIELD(database.conninfo), err,
			"%s (allowed: key=value words or a URI, no secrets; a password belongs into "
			"the file that database.passfile names)",
			wrong);
	return RESULT_OK;
}

static bool port_number(const char *s)
{
	char *end;
	long port = strtol(s, &end, 10);

	return *s >= '0' && *s <= '9' && !*end && port >= 1 && port <= 65535;
}

/* host:port, [IPv6]:port, or the path of a socket, which fits into sockaddr_un.sun_path. */
static bool redis_address(const char *s)
{
	enum { SOCKET_PATH_MAX_BYTES = 107, HOST_MAX_BYTES = 255 };

	if (*s == '/')
		return strlen(s) <= SOCKET_PATH_MAX_BYTES;

	const char *colon = strrchr(s, ':');
	size_t length = colon ? (size_t)(colon - s) : 0;

	if (length == 0 || !port_number(colon + 1) || strchr(s, ' '))
		return false;
	if (length > 2 && s[0] == '[' && s[length - 1] == ']')
		return length - 2 <= HOST_MAX_BYTES;
	return length <= HOST_MAX_BYTES && strcspn(s, "[]:") == length;
}

static enum result check_lock_names(const struct config *c, struct error *err)
{
	/* Not quoted: it may be a URL with a password. */
	if (!redis_address(c->lock.redis))
		return breach(c, FIELD(lock.redis), err,
			"no address of a server (allowed: host:port, [IPv6]:port, or the path of a "
			"socket of at most 107 bytes)");

	for (const char *p = c->lock.key_prefix; *p; p++) {
		/* Braces would end the part of the key that Redis Cluster hashes. */
		if (*p <= ' ' || *p > '~' || *p == '{' || *p == '}')
			return breach(c, FIELD(lock.key_prefix), err,
				"byte %td is not allowed (allowed: printable ASCII but space, { and })",
				p - c->lock.key_prefix);
	}
	return RESULT_OK;
}

/* In scope "stock" the wait for the lock, with its last answer, is part of the transaction. */
static enum result check_lock_times(const struct config *c, struct error *err)
{
	if (c->lock.provider != LOCK_PROVIDER_REDIS)
		return RESULT_OK;

	size_t field = FIELD(database.transaction_timeout_ms);
	enum result r = check_below(c, field, FIELD(lock.lease_ms), err);

	if (r != RESULT_OK || c->lock.scope != LOCK_SCOPE_STOCK ||
		c->lock.wait_ms + c->lock.redis_timeout_ms < c->database.transaction_timeout_ms)
		return r;

	field = later(c, later(c, FIELD(lock.wait_ms), FIELD(lock.redis_timeout_ms)), field);
	return breach(c, field, err,
		"lock.wait_ms + lock.redis_timeout_ms = %" PRId64
		" is not below database.transaction_timeout_ms = %" PRId64
		", as lock.scope \"stock\" needs",
		c->lock.wait_ms + c->lock.redis_timeout_ms, c->database.transaction_timeout_ms);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static enum result check_batch(const struct config *c, struct error *err)
{
	/* max_bytes may equal event_bytes: one event fits. */
	if (c->batch.max_bytes >= c->limits.event_bytes)
		return RESULT_OK;
	return check_below(c, FIELD(limits.event_bytes), FIELD(batch.max_bytes), err);
}

static enum result check_stop(const struct config *c, struct error *err)
{
	enum result r =
		check_below(c, FIELD(database.transaction_timeout_ms), FIELD(limits.stop_ms), err);

	if (r == RESULT_OK)
		r = check_below(c, FIELD(database.connect_timeout_ms), FIELD(limits.stop_ms), err);
	return r;
}

enum result config_check(const struct config *c, struct error *err)
{
	static enum result (*const rules[])(const struct config *, struct error *) = {
		check_kafka_names,
		check_properties,
		check_conninfo,
		check_lock_names,
		check_lock_times,
		check_max_poll_interval,
		check_batch,
		check_stop,
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		enum result r = rules[i](c, err);

		if (r != RESULT_OK)
			return r;
	}
	return RESULT_OK;
}
