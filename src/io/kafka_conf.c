/* SPDX-License-Identifier: Apache-2.0 */
#include "io/kafka_conf.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "core/kafka_properties.h"
#include "io/secret_file.h"

DEFINE_CLEANUP(rd_kafka_conf_t *, rd_kafka_conf_destroy)
DEFINE_CLEANUP(FILE *, fclose)

struct setting {
	const char *name, *value;
};

static const struct setting common[] = {
	{"client.id", "ticketpayd"},
	{"allow.auto.create.topics", "false"},
	{"socket.nagle.disable", "true"},
	{"log.connection.close", "false"}, /* idle connections are closed by brokers all the time */
	/* Back within 5 s of a repair, also when the old connections are black holes. */
	{"reconnect.backoff.ms", "50"},
	{"reconnect.backoff.max.ms", "1000"},
	{"socket.connection.setup.timeout.ms", "5000"},
	{"socket.timeout.ms", "10000"},
	{"topic.metadata.refresh.interval.ms", "10000"},
	{NULL, NULL},
};

static const struct setting consumer[] = {
	{"enable.auto.commit", "false"},
	{"enable.auto.offset.store", "false"},
	{"auto.offset.reset", "error"},
	{"isolation.level", "read_committed"},
	{"enable.partition.eof", "false"},
	{"partition.assignment.strategy", "range"},
	{"session.timeout.ms", "10000"},
	{"heartbeat.interval.ms",
		"1000"}, /* a member hears of a rebalance with its next heartbeat */
	{"fetch.wait.max.ms",
		"100"}, /* a new record is answered at once; but a seek waits for it */
	{"fetch.min.bytes", "1"},
	{"fetch.max.bytes", "4194304"},
	{"fetch.error.backoff.ms", "100"},
	{NULL, NULL},
};

/* Before 2.2 a full queue is not looked at for a whole second, so it must hold more than a second
 * of peak; the bytes bound what three workers take with long records. */
static const struct setting long_queue[] = {
	{"queued.min.messages", "100000"},
	{"queued.max.messages.kbytes", "20480"},
	{NULL, NULL},
};

/* Since 2.2 that time is a setting, and the queue may be short. */
static const struct setting short_queue[] = {
	{"fetch.queue.backoff.ms", "5"},
	{"queued.min.messages", "2000"},
	{"queued.max.messages.kbytes", "4096"},
	{NULL, NULL},
};

static const struct setting reader[] = {
	{"enable.partition.eof", "true"},
	{"queued.min.messages", "1"},
	{"fetch.wait.max.ms", "10"},
	{"fetch.max.bytes", "65536"},
	{"fetch.message.max.bytes", "65536"},
	{"message.max.bytes", "65536"}, /* fetch.max.bytes may not be below it */
	{NULL, NULL},
};

static const struct setting producer[] = {
	{"enable.idempotence", "true"},
	{"acks", "all"},
	{"partitioner", "murmur2_random"},
	{"message.timeout.ms", "0"}, /* never expires: the delivery is waited for */
	/* Outcomes of batches that follow each other go together, which halves what they cost the
	 * broker; kafka_sink sends at once when no other batch waits. */
	{"linger.ms", "5"},
	/* Larger than any batch and what overlaps it; a full queue is only a BUSY. */
	{"queue.buffering.max.messages", "100000"},
	{"queue.buffering.max.kbytes", "65536"},
	{NULL, NULL},
};

static enum result set(
	rd_kafka_conf_t *conf, const char *name, const char *value, struct error *err)
{
	char text[256];

	if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) == RD_KAFKA_CONF_OK)
		return RESULT_OK;
	return fail(err, RESULT_FATAL, 0, "%s: %s", name, text);
}

static enum result set_all(rd_kafka_conf_t *conf, const struct setting *settings, struct error *err)
{
	for (const struct setting *s = settings; s->name; s++) {
		enum result r = set(conf, s->name, s->value, err);

		if (r != RESULT_OK)
			return r;
	}
	return RESULT_OK;
}

/*
 * Pass one property through to the clients that know it.
 * where: "kafka.properties" or "FILE:LINE"
 */
static enum result pass(rd_kafka_conf_t *conf, enum kafka_role role, const char *name,
	const char *value, bool from_file, const char *where, struct error *err)
{
	unsigned side = role == KAFKA_ROLE_PRODUCER ? KAFKA_SIDE_PRODUCER : KAFKA_SIDE_CONSUMER;
	const struct kafka_property *property = NULL;
	struct error why = {0};
	enum result r = from_file ? kafka_property_find(name, &property, &why)
				  : config_property_allowed(name, &why);

	if (r == RESULT_OK && !property)
		r = kafka_property_find(name, &property, &why);
	if (r != RESULT_OK)
		return fail(err, r, 0, "%s: %s", where, why.text);
	if (!(property->sides & side))
		return RESULT_OK;

	r = set(conf, name, value, &why);
	if (r == RESULT_OK)
		return RESULT_OK;
	if (property->secret) /* the library quotes what it refuses */
		return fail(err, r, 0, "%s: %s: librdkafka does not accept the value", where, name);
	return fail(err, r, 0, "%s: %s", where, why.text);
}

static char *trim(char *text)
{
	while (isspace((unsigned char)*text))
		text++;

	size_t n = strlen(text);

	while (n > 0 && isspace((unsigned char)text[n - 1]))
		text[--n] = '\0';
	return text;
}

/* Pass "NAME=VALUE" through; blanks around both do not count. `line` is written to. */
static enum result pass_line(rd_kafka_conf_t *conf, enum kafka_role role, char *line,
	bool from_file, const char *where, struct error *err)
{
	char *equals = strchr(line, '=');

	if (!equals) /* it may be a password in the wrong place: not quoted */
		return fail(err, RESULT_FATAL, 0, "%s: not of the form NAME=VALUE", where);
	*equals = '\0';
	return pass(conf, role, trim(line), trim(equals + 1), from_file, where, err);
}

static enum result pass_list(rd_kafka_conf_t *conf, enum kafka_role role,
	const struct config_list *list, struct error *err)
{
	for (size_t i = 0; i < list->count; i++) {
		CLEANUP(free_ptr) char *line = strdup(list->items[i]);

		if (!line)
			return fail(err, RESULT_FATAL, ENOMEM, "no memory for kafka.properties");

		enum result r = pass_line(conf, role, line, false, "kafka.properties", err);

		if (r != RESULT_OK)
			return r;
	}
	return RESULT_OK;
}

static enum result pass_lines(rd_kafka_conf_t *conf, enum kafka_role role, FILE *file,
	const char *path, struct error *err)
{
	char line[8192], where[160];
	enum result r = RESULT_OK;

	for (int number = 1; r == RESULT_OK && fgets(line, sizeof(line), file); number++) {
		char *text = trim(line);

		snprintf(where, sizeof(where), "%.140s:%d", path, number);
		if (!strchr(line, '\n') && strlen(line) == sizeof(line) - 1)
			r = fail(err, RESULT_FATAL, 0, "%s: the line is too long", where);
		else if (*text && *text != '#')
			r = pass_line(conf, role, text, true, where, err);
	}
	explicit_bzero(line, sizeof(line));
	if (r == RESULT_OK && ferror(file))
		return fail(err, RESULT_FATAL, errno, "cannot read %s: %s", path, strerror(errno));
	return r;
}

static enum result pass_file(
	rd_kafka_conf_t *conf, enum kafka_role role, const char *name, struct error *err)
{
	char path[PATH_MAX];
	struct error why = {0};
	enum result r = secret_path(name, path, &why);

	if (r != RESULT_OK)
		return fail(err, r, why.code, "kafka.properties_file: %s", why.text);

	CLEANUP(fclose_ptr) FILE *file = fopen(path, "re");

	if (!file)
		return fail(err, RESULT_FATAL, errno, "kafka.properties_file: cannot read %s: %s",
			path, strerror(errno));
	setvbuf(file, NULL, _IONBF, 0); /* no second copy of the secrets in freed memory */
	return pass_lines(conf, role, file, path, err);
}

static enum result set_names(rd_kafka_conf_t *conf, const struct kafka_settings *s,
	enum kafka_role role, struct error *err)
{
	enum result r = set(conf, "bootstrap.servers", s->brokers, err);

	if (r != RESULT_OK || role == KAFKA_ROLE_PRODUCER)
		return r;
	r = set(conf, "group.id", s->group, err);
	if (r != RESULT_OK || role != KAFKA_ROLE_MEMBER || !*s->instance)
		return r;

	/* The worker comes first: static members sort by id when partitions are dealt out, so that
	 * two daemons share them instead of one taking all. */
	char id[300];

	if (snprintf(id, sizeof(id), "ticketpayd-%d-%s", s->worker, s->instance) >= (int)sizeof(id))
		return fail(err, RESULT_FATAL, 0, "kafka.instance is too long");
	return set(conf, "group.instance.id", id, err);
}

enum result kafka_conf_new(const struct kafka_settings *s, enum kafka_role role,
	struct rd_kafka_conf_s **ret, struct error *err)
{
	CLEANUP(rd_kafka_conf_destroy_ptr) rd_kafka_conf_t *conf = rd_kafka_conf_new();
	enum result r = set_all(conf, common, err);

	if (r == RESULT_OK)
		r = set_all(conf, role == KAFKA_ROLE_PRODUCER ? producer : consumer, err);
	if (r == RESULT_OK && role != KAFKA_ROLE_PRODUCER)
		r = set_all(conf, rd_kafka_version() < 0x02020000 ? long_queue : short_queue, err);
	if (r == RESULT_OK && *s->properties_file)
		r = pass_file(conf, role, s->properties_file, err);
	if (r == RESULT_OK)
		r = pass_list(conf, role, &s->properties, err);
	if (r == RESULT_OK && role == KAFKA_ROLE_READER)
		r = set_all(conf, reader, err);
	if (r == RESULT_OK)
		r = set_names(conf, s, role, err);
	if (r != RESULT_OK)
		return r;

	*ret = TAKE(conf);
	return RESULT_OK;
}

enum result kafka_conf_check(const struct kafka_settings *s, struct error *err)
{
	const enum kafka_role roles[] = {KAFKA_ROLE_MEMBER, KAFKA_ROLE_READER, KAFKA_ROLE_PRODUCER};

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		CLEANUP(rd_kafka_conf_destroy_ptr) rd_kafka_conf_t *conf = NULL;
		enum result r = kafka_conf_new(s, roles[i], &conf, err);

		if (r != RESULT_OK)
			return r;
	}
	return RESULT_OK;
}
