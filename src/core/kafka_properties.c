/* SPDX-License-Identifier: Apache-2.0 */
#include "core/kafka_properties.h"

#include <string.h>

#include "core/config.h"

#define C KAFKA_SIDE_CONSUMER
#define P KAFKA_SIDE_PRODUCER
#define CP KAFKA_SIDE_BOTH

const struct kafka_property kafka_properties[] = {
	{"api.version.request.timeout.ms", CP, false},
	{"batch.num.messages", P, false},
	{"batch.size", P, false},
	{"broker.address.family", CP, false},
	{"broker.address.ttl", CP, false},
	{"check.crcs", C, false},
	{"client.dns.lookup", CP, false},
	{"client.id", CP, false},
	{"client.rack", C, false},
	{"compression.codec", P, false},
	{"compression.level", P, false},
	{"compression.type", P, false},
	{"connections.max.idle.ms", CP, false},
	{"coordinator.query.interval.ms", C, false},
	{"debug", CP, false},
	{"enable.ssl.certificate.verification", CP, false},
	{"fetch.error.backoff.ms", C, false},
	{"fetch.max.bytes", C, false},
	{"fetch.message.max.bytes", C, false},
	{"fetch.min.bytes", C, false},
	{"fetch.queue.backoff.ms", C, false},
	{"fetch.wait.max.ms", C, false},
	{"heartbeat.interval.ms", C, false},
	{"https.ca.location", CP, false},
	{"linger.ms", P, false},
	{"max.partition.fetch.bytes", C, false},
	{"max.poll.interval.ms", C, false},
	{"message.max.bytes", P,
		false}, /* a consumer would only have to raise fetch.max.bytes with it */
	{"metadata.max.age.ms", CP, false},
	{"queue.buffering.max.kbytes", P, false},
	{"queue.buffering.max.messages", P, false},
	{"queue.buffering.max.ms", P, false},
	{"queued.max.messages.kbytes", C, false},
	{"queued.min.messages", C, false},
	{"receive.message.max.bytes", CP, false},
	{"reconnect.backoff.max.ms", CP, false},
	{"reconnect.backoff.ms", CP, false},
	{"request.timeout.ms", P, false},
	{"retry.backoff.max.ms", CP, false},
	{"retry.backoff.ms", P, false}, /* a consumer knows it only since 2.2 */
	{"sasl.kerberos.keytab", CP, false},
	{"sasl.kerberos.min.time.before.relogin", CP, false},
	{"sasl.kerberos.principal", CP, false},
	{"sasl.kerberos.service.name", CP, false},
	{"sasl.mechanism", CP, false},
	{"sasl.mechanisms", CP, false},
	{"sasl.oauthbearer.client.id", CP, false},
	{"sasl.oauthbearer.client.secret", CP, true},
	{"sasl.oauthbearer.config", CP, true},
	{"sasl.oauthbearer.extensions", CP, false},
	{"sasl.oauthbearer.method", CP, false},
	{"sasl.oauthbearer.scope", CP, false},
	{"sasl.oauthbearer.token.endpoint.url", CP, false},
	{"sasl.password", CP, true},
	{"sasl.username", CP, false},
	{"security.protocol", CP, false},
	{"session.timeout.ms", C, false},
	{"socket.blocking.max.ms", CP, false},
	{"socket.connection.setup.timeout.ms", CP, false},
	{"socket.keepalive.enable", CP, false},
	{"socket.max.fails", CP, false},
	{"socket.receive.buffer.bytes", CP, false},
	{"socket.send.buffer.bytes", CP, false},
	{"socket.timeout.ms", CP, false},
	{"ssl.ca.location", CP, false},
	{"ssl.ca.pem", CP, false},
	{"ssl.certificate.location", CP, false},
	{"ssl.certificate.pem", CP, false},
	{"ssl.cipher.suites", CP, false},
	{"ssl.crl.location", CP, false},
	{"ssl.curves.list", CP, false},
	{"ssl.endpoint.identification.algorithm", CP, false},
	{"ssl.key.location", CP, false},
	{"ssl.key.password", CP, true},
	{"ssl.key.pem", CP, true},
	{"ssl.keystore.location", CP, false},
	{"ssl.keystore.password", CP, true},
	{"ssl.sigalgs.list", CP, false},
	{"sticky.partitioning.linger.ms", P, false},
	{"topic.metadata.propagation.max.ms", CP, false},
	{"topic.metadata.refresh.fast.interval.ms", CP, false},
	{"topic.metadata.refresh.interval.ms", CP, false},
	{NULL, 0, false},
};

const struct kafka_refused_property kafka_refused_properties[] = {
	/* Keys of ours. */
	{"bootstrap.servers", "set kafka.brokers instead"},
	{"metadata.broker.list", "set kafka.brokers instead"},
	{"group.id", "set kafka.group instead"},
	{"group.instance.id", "set kafka.instance instead"},

	/* What is consumed, from where, and when it counts as done. */
	{"enable.auto.commit", "an offset is committed only after its outcomes are published"},
	{"auto.commit.enable", "an offset is committed only after its outcomes are published"},
	{"auto.commit.interval.ms", "offsets are never committed by a timer"},
	{"enable.auto.offset.store",
		"an offset is committed only after its outcomes are published"},
	{"offset.store.method", "the group's offsets are kept by Kafka"},
	{"offset.store.path", "the group's offsets are kept by Kafka"},
	{"offset.store.sync.interval.ms", "the group's offsets are kept by Kafka"},
	{"auto.offset.reset",
		"a lost position must stop the partition, never skip or repeat records by itself "
		"(kafka.start says where a new group begins)"},
	{"isolation.level", "records of aborted transactions would be booked as payments"},
	{"enable.partition.eof", "the daemon decides what the end of a partition means"},
	{"partition.assignment.strategy",
		"the workers' rebalances are made for the range assignor"},
	{"group.protocol", "the workers' rebalances are made for the classic group protocol"},
	{"group.protocol.type", "the workers' rebalances are made for the classic group protocol"},
	{"group.remote.assignor", "the workers' rebalances are made for the range assignor"},
	{"topic.blacklist", "the one topic is kafka.topic"},

	/* What is published, and that it arrives. */
	{"enable.idempotence", "outcomes are published by an idempotent producer"},
	{"enable.gapless.guarantee", "a failed outcome is published again by the daemon itself"},
	{"transactional.id",
		"outcomes are at-least-once; PostgreSQL decides, not a Kafka transaction"},
	{"transaction.timeout.ms", "the daemon uses no Kafka transaction"},
	{"acks", "an outcome counts as published when all in-sync replicas have it"},
	{"request.required.acks",
		"an outcome counts as published when all in-sync replicas have it"},
	{"message.timeout.ms", "an outcome never expires, its delivery is waited for"},
	{"delivery.timeout.ms", "an outcome never expires, its delivery is waited for"},
	{"retries", "an outcome never expires, its delivery is waited for"},
	{"message.send.max.retries", "an outcome never expires, its delivery is waited for"},
	{"max.in.flight", "an idempotent producer needs the library's own limit"},
	{"max.in.flight.requests.per.connection",
		"an idempotent producer needs the library's own limit"},
	{"queuing.strategy", "outcomes leave in the order of their decisions"},
	{"delivery.report.only.error",
		"an offset is committed only after every delivery was reported"},
	{"produce.offset.report", "the daemon does not look at an outcome's offset"},
	{"partitioner", "outcomes are partitioned as Java does (murmur2_random)"},
	{"partitioner_cb", "it is a function, not a text"},
	{"allow.auto.create.topics", "a topic made by accident hides a wrong name"},

	/* Code that is not ours. */
	{"plugin.library.paths", "it would load foreign code into the daemon"},
	{"interceptors", "it would load foreign code into the daemon"},
	{"ssl.engine.location", "it would load foreign code into the daemon"},
	{"ssl.engine.id", "it would load foreign code into the daemon"},
	{"ssl.providers", "it would load foreign code into the daemon"},
	{"sasl.kerberos.kinit.cmd", "it would run a shell command as the daemon"},
	{"enable.sasl.oauthbearer.unsecure.jwt", "unsigned tokens protect nothing"},

	/* What the adapter itself lives on. */
	{"enabled_events", "the daemon chooses how it hears from the library"},
	{"log_level", "set log.level instead"},
	{"log.queue", "the daemon chooses how it hears from the library"},
	{"statistics.interval.ms", "nobody would read the statistics; see metrics.textfile"},
	{"socket.nagle.disable", "it is true already: a delayed request delays an order"},
	{"internal.termination.signal", "the daemon owns its signals"},
	{"test.", "it would replace Kafka by a simulation"},
	{NULL, NULL},
};

static bool name_matches(const char *pattern, const char *name)
{
	size_t length = strlen(pattern);

	if (pattern[length - 1] == '.')
		return strncmp(pattern, name, length) == 0;
	return strcmp(pattern, name) == 0;
}

enum result kafka_property_find(
	const char *name, const struct kafka_property **ret, struct error *err)
{
	for (const struct kafka_property *p = kafka_properties; p->name; p++) {
		if (strcmp(p->name, name) == 0) {
			*ret = p;
			return RESULT_OK;
		}
	}

	for (const struct kafka_refused_property *p = kafka_refused_properties; p->name; p++) {
		if (name_matches(p->name, name))
			return fail(
				err, RESULT_FATAL, 0, "%.60s may not be set: %s", name, p->reason);
	}

	return fail(err, RESULT_FATAL, 0,
		"%.60s is not a property that is passed through to librdkafka (ticketpayd.conf(5) "
		"lists them)",
		name);
}

enum result config_property_allowed(const char *name, struct error *err)
{
	const struct kafka_property *p;
	enum result r = kafka_property_find(name, &p, err);

	if (r != RESULT_OK)
		return r;
	if (p->secret)
		return fail(err, RESULT_FATAL, 0,
			"%s is a secret: put it into the file that kafka.properties_file names",
			name);
	return RESULT_OK;
}
