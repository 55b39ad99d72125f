/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config_key.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "core/log.h"

/* Indexed by their enum in config.h and log.h; an empty name is a value that nobody can choose. */
static const char *const starts[] = {
	[START_EARLIEST] = "earliest", [START_LATEST] = "latest", NULL};
static const char *const providers[] = {
	[LOCK_PROVIDER_REDIS] = "redis", [LOCK_PROVIDER_DATABASE] = "database", NULL};
static const char *const scopes[] = {
	[LOCK_SCOPE_STOCK] = "stock", [LOCK_SCOPE_TRANSACTION] = "transaction", NULL};
static const char *const fallbacks[] = {
	[LOCK_FALLBACK_DATABASE] = "database", [LOCK_FALLBACK_WAIT] = "wait", NULL};
static const char *const levels[] = {
	"",
	"",
	"",
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_NOTICE] = "notice",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
	NULL,
};

/* One literal holds "section.name", so that config_key_name() needs no memory. */
#define KEY(s, n)                                                                                  \
	.section = #s, .name = &(#s "." #n)[sizeof(#s)], .field = offsetof(struct config, s.n)
#define STRING(text, low, high)                                                                    \
	.type = CONFIG_STRING, .default_text = (text), .minimum = (low), .maximum = (high)
#define INT(text, low, high)                                                                       \
	.type = CONFIG_INT, .default_text = (text), .minimum = (low), .maximum = (high)
#define BOOL(text) .type = CONFIG_BOOL, .default_text = (text)
#define ENUM(text, names) .type = CONFIG_ENUM, .default_text = (text), .values = (names)
#define LIST(low, high) .type = CONFIG_LIST, .default_text = "", .minimum = (low), .maximum = (high)

enum { PATH_MAX_BYTES = 4095 };

const struct config_key config_table[] = {
	{KEY(kafka, brokers), STRING("127.0.0.1:9092", 1, 4095),
		.help = "Brokers to ask first: host:port, separated by commas."},
	{KEY(kafka, topic), STRING("payment-completed", 1, 249),
		.help = "Topic of the payment events. It must exist; one database serves one topic."},
	{KEY(kafka, group), STRING("ticketpayd", 1, 200),
		.help = "Consumer group. Another name starts from the beginning: a full replay."},
	{KEY(kafka, outcome_topic), STRING("payment-outcome", 1, 249),
		.help = "Topic for what became of each order. It must exist."},
	{KEY(kafka, instance), STRING("", 0, 200),
		.help = "Name of this daemon in the group, different for each; \"\" is the host's "
			"name, \"none\" a dynamic member, for hosts whose names do not last."},
	{KEY(kafka, workers), INT("3", 1, 64),
		.help = "Workers, each with connections of its own; as many as partitions is best."},
	{KEY(kafka, start), ENUM("earliest", starts),
		.help = "Where to begin while the group has no progress at all for the topic; "
			"partitions added later begin at earliest."},
	{KEY(kafka, properties), LIST(3, 4095), .secret = true,
		.help = "More librdkafka properties, \"NAME=VALUE\", from the list in ticketpayd.conf(5); "
			"secret ones go into kafka.properties_file."},
	{KEY(kafka, properties_file), STRING("", 0, PATH_MAX_BYTES),
		.help = "File with more librdkafka properties, one NAME=VALUE a line, such as "
			"sasl.password; without \"/\" in $CREDENTIALS_DIRECTORY; \"\" is none."},

	{KEY(database, conninfo), STRING("dbname=tickets", 1, 4095),
		.help = "PostgreSQL connection, as libpq takes it, without a password "
			"(database.passfile); several hosts find the writable one."},
	{KEY(database, passfile), STRING("", 0, PATH_MAX_BYTES),
		.help = "Password file in .pgpass format, readable by the daemon alone; without "
			"\"/\" in $CREDENTIALS_DIRECTORY; \"\" is libpq's default."},
	{KEY(database, prepare), BOOL("true"),
		.help = "Use prepared statements; false behind PgBouncer before 1.21 in "
			"transaction mode."},
	{KEY(database, transaction_timeout_ms), INT("4000", 100, 600000),
		.help = "Time for one whole transaction, its COMMIT included; below lock.lease_ms, "
			"limits.stop_ms and max.poll.interval.ms."},
	{KEY(database, connect_timeout_ms), INT("3000", 100, 60000),
		.help = "Time for one attempt to connect; connect_timeout in the conninfo has no "
			"effect."},

	{KEY(lock, provider), ENUM("redis", providers),
		.help = "What keeps workers from contending for the same stock row: a Redis lock, or "
			"PostgreSQL's row locks alone. Both are exact."},
	{KEY(lock, scope), ENUM("stock", scopes),
		.help = "Hold the Redis lock while the stock is decided, or for the whole "
			"transaction. The same for all daemons of one database."},
	{KEY(lock, redis), STRING("127.0.0.1:6379", 1, 270),
		.help = "Redis server: host:port, [IPv6]:port or the path of a socket."},
	{KEY(lock, redis_user), STRING("", 0, 255),
		.help = "User of Redis' access control; \"\" is the default user."},
	{KEY(lock, redis_password_file), STRING("", 0, PATH_MAX_BYTES),
		.help = "File whose first line is the Redis password; without \"/\" in "
			"$CREDENTIALS_DIRECTORY; \"\" is no password."},
	{KEY(lock, redis_timeout_ms), INT("500", 10, 60000),
		.help = "Time for one answer of Redis, and for connecting to it."},
	{KEY(lock, key_prefix), STRING("ticketpay", 1, 100),
		.help = "First part of the lock keys, one per database."},
	{KEY(lock, wait_ms), INT("1000", 0, 60000), .reloadable = true,
		.help = "How long to wait for another owner of the lock before lock.fallback; 0 "
			"tries once."},
	{KEY(lock, lease_ms), INT("6000", 100, 600000),
		.help = "Redis frees the lock after this time, should its owner be gone; above "
			"database.transaction_timeout_ms."},
	{KEY(lock, fallback), ENUM("database", fallbacks), .reloadable = true,
		.help = "When the lock is not had: go on under PostgreSQL's row locks, or hold the "
			"batch and try again."},

	{KEY(batch, max_events), INT("5000", 1, 100000), .reloadable = true,
		.help = "Most events of one transaction."},
	{KEY(batch, max_bytes), INT("4194304", 65536, 67108864), .reloadable = true,
		.help = "Most bytes of keys, values and headers of one transaction; at least "
			"limits.event_bytes."},
	{KEY(batch, linger_ms), INT("0", 0, 1000), .reloadable = true,
		.help = "How long to wait for more events. 0 follows the load: an event that finds "
			"us idle is taken at once, small batches that follow each other rest up to "
			"20 ms, and large ones grow by themselves."},

	{KEY(limits, event_bytes), INT("65536", 1024, 1048576), .reloadable = true,
		.help = "A longer value is a dead letter (TOO_LARGE); a letter keeps this many bytes."},
	{KEY(limits, breaker), INT("500", 0, 1000), .reloadable = true,
		.help = "Stop a partition when more than this many of its last 1000 records were "
			"refused, conflicting or of an unknown ticket type; 0 never does."},
	{KEY(limits, stop_ms), INT("15000", 1000, 600000), .reloadable = true,
		.help = "Time to finish when asked to stop; above database.transaction_timeout_ms, "
			"below the unit's TimeoutStopSec."},

	{KEY(log, level), ENUM("info", levels), .reloadable = true,
		.help = "Least important entries to log."},
	{KEY(metrics, textfile), STRING("", 0, PATH_MAX_BYTES),
		.help = "File for node_exporter's textfile collector, its name ending in .prom; \"\" "
			"is none."},
	{.section = NULL},
};

const char *config_key_name(const struct config_key *key)
{
	return key->name - strlen(key->section) - 1;
}

static void names_text(const char *const *values, char ret[CONFIG_ALLOWED_BYTES])
{
	size_t n = 0;

	ret[0] = '\0';
	for (; *values; values++) {
		if (**values)
			n += (size_t)snprintf(
				ret + n, CONFIG_ALLOWED_BYTES - n, "%s%s", n ? ", " : "", *values);
	}
}

const char *config_key_allowed(const struct config_key *key, char ret[CONFIG_ALLOWED_BYTES])
{
	switch (key->type) {
	case CONFIG_INT:
		snprintf(ret, CONFIG_ALLOWED_BYTES, "%" PRId64 " to %" PRId64, key->minimum,
			key->maximum);
		break;
	case CONFIG_STRING:
	case CONFIG_LIST:
		snprintf(ret, CONFIG_ALLOWED_BYTES, "%" PRId64 " to %" PRId64 " bytes",
			key->minimum, key->maximum);
		break;
	case CONFIG_BOOL:
		snprintf(ret, CONFIG_ALLOWED_BYTES, "true, false");
		break;
	case CONFIG_ENUM:
		names_text(key->values, ret);
		break;
	}
	return ret;
}
