/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/config.h"
#include "core/kafka_properties.h"

#include <cmocka.h> /* last: its macro fail() would hide ours */

static void refuses(const char *name, const char *reason)
{
	struct error err = {0};

	assert_int_equal(config_property_allowed(name, &err), RESULT_FATAL);
	assert_non_null(strstr(err.text, name));
	if (!strstr(err.text, reason))
		fail_msg("%s: \"%s\" does not say \"%s\"", name, err.text, reason);
}

static void ordinary_properties_pass(void **state)
{
	const char *const names[] = {"session.timeout.ms", "max.poll.interval.ms",
		"security.protocol", "ssl.ca.location", "sasl.mechanism", "sasl.username",
		"linger.ms", "fetch.wait.max.ms", "queued.min.messages", "compression.type",
		"client.rack", "debug"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct error err = {0};

		if (config_property_allowed(names[i], &err) != RESULT_OK)
			fail_msg("%s: %s", names[i], err.text);
	}
}

static void what_breaks_a_guarantee_is_refused_with_the_reason(void **state)
{
	(void)state;
	refuses("enable.auto.commit", "after its outcomes are published");
	refuses("enable.auto.offset.store", "after its outcomes are published");
	refuses("auto.offset.reset", "kafka.start");
	refuses("isolation.level", "aborted transactions");
	refuses("partition.assignment.strategy", "range");
	refuses("enable.idempotence", "idempotent");
	refuses("acks", "in-sync");
	refuses("message.timeout.ms", "never expires");
	refuses("transactional.id", "PostgreSQL decides");
	refuses("partitioner", "murmur2_random");
	refuses("allow.auto.create.topics", "wrong name");
	refuses("test.mock.num.brokers", "simulation");
}

static void foreign_code_is_refused(void **state)
{
	(void)state;
	refuses("plugin.library.paths", "foreign code");
	refuses("ssl.engine.location", "foreign code");
	refuses("ssl.providers", "foreign code");
	refuses("sasl.kerberos.kinit.cmd", "shell command");
}

static void keys_of_ours_name_the_key(void **state)
{
	(void)state;
	refuses("bootstrap.servers", "kafka.brokers");
	refuses("metadata.broker.list", "kafka.brokers");
	refuses("group.id", "kafka.group");
	refuses("group.instance.id", "kafka.instance");
	refuses("log_level", "log.level");
}

static void unknown_names_are_refused(void **state)
{
	(void)state;
	refuses("session.timeout", "ticketpayd.conf(5)");
	refuses("Session.Timeout.ms", "ticketpayd.conf(5)");
	refuses("no.such.thing", "ticketpayd.conf(5)");

	struct error err = {0};

	assert_int_equal(config_property_allowed("", &err), RESULT_FATAL);
}

static void secrets_belong_into_the_file(void **state)
{
	const char *const names[] = {"sasl.password", "ssl.key.password", "ssl.key.pem",
		"ssl.keystore.password", "sasl.oauthbearer.client.secret",
		"sasl.oauthbearer.config"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct kafka_property *p = NULL;
		struct error err = {0};

		refuses(names[i], "kafka.properties_file");
		assert_int_equal(kafka_property_find(names[i], &p, &err), RESULT_OK);
		assert_string_equal(p->name, names[i]);
		assert_true(p->secret);
	}
}

static void the_list_is_sorted_without_repeats_and_not_refused(void **state)
{
	(void)state;
	for (const struct kafka_property *p = kafka_properties; p->name; p++) {
		struct error err = {0};
		enum result r = config_property_allowed(p->name, &err);

		assert_int_equal(r, p->secret ? RESULT_FATAL : RESULT_OK);
		assert_int_not_equal(p->sides, 0);
		if (p[1].name && strcmp(p->name, p[1].name) >= 0)
			fail_msg("%s stands before %s", p->name, p[1].name);
	}
}

static void a_property_knows_its_side(void **state)
{
	const struct kafka_property *p = NULL;

	(void)state;
	assert_int_equal(kafka_property_find("session.timeout.ms", &p, NULL), RESULT_OK);
	assert_int_equal(p->sides, KAFKA_SIDE_CONSUMER);
	assert_int_equal(kafka_property_find("linger.ms", &p, NULL), RESULT_OK);
	assert_int_equal(p->sides, KAFKA_SIDE_PRODUCER);
	assert_int_equal(kafka_property_find("security.protocol", &p, NULL), RESULT_OK);
	assert_int_equal(p->sides, KAFKA_SIDE_BOTH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordinary_properties_pass),
		cmocka_unit_test(what_breaks_a_guarantee_is_refused_with_the_reason),
		cmocka_unit_test(foreign_code_is_refused),
		cmocka_unit_test(keys_of_ours_name_the_key),
		cmocka_unit_test(unknown_names_are_refused),
		cmocka_unit_test(secrets_belong_into_the_file),
		cmocka_unit_test(the_list_is_sorted_without_repeats_and_not_refused),
		cmocka_unit_test(a_property_knows_its_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
