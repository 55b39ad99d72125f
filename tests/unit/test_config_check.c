/* SPDX-License-Identifier: Apache-2.0 */
#include "config_fixture.h"

#include <stdio.h>
#include <string.h>

#include "core/conninfo.h"

/* ---- rules between keys ---------------------------------------------------------------------- */

struct check_case {
	const char *in_file[4]; /* given at f:1, f:2, ... */
	const char *set[3];     /* then by --set */
	const char *message;    /* NULL: valid */
};

static void apply(struct config *c, const struct check_case *t)
{
	struct error err = {0};

	for (int i = 0; i < 4 && t->in_file[i]; i++) {
		char name[64];
		const char *equals = strchr(t->in_file[i], '=');

		snprintf(name, sizeof(name), "%.*s", (int)(equals - t->in_file[i]), t->in_file[i]);
		if (config_set(c, find(name), equals + 1, "f", i + 1, &err) != RESULT_OK)
			fail_msg("%s", err.text);
	}
	for (int i = 0; i < 3 && t->set[i]; i++) {
		if (config_set_argument(c, t->set[i], &err) != RESULT_OK)
			fail_msg("%s", err.text);
	}
}

static void check_cases(const struct check_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct config *c = defaults();
		struct error err = {0};
		enum result r;

		apply(c, &cases[i]);
		r = config_check(c, &err);
		if (!cases[i].message && r != RESULT_OK)
			fail_msg("case %zu: %s", i, err.text);
		if (cases[i].message) {
			if (r != RESULT_FATAL)
				fail_msg("case %zu passes, without \"%s\"", i, cases[i].message);
			if (strncmp(err.text, cases[i].message, strlen(cases[i].message)) != 0)
				fail_msg("case %zu: \"%s\" is not \"%s\"", i, err.text,
					cases[i].message);
		}
		config_free(c);
	}
}

#define CHECK_CASES(cases) check_cases(cases, sizeof(cases) / sizeof((cases)[0]))

static void time_budgets_fit_into_each_other(void **state)
{
	static const struct check_case cases[] = {
		{{"database.transaction_timeout_ms=5999"}, {0}, NULL},
		{{"database.transaction_timeout_ms=6000"}, {0},
			"f:1: database.transaction_timeout_ms: 6000 is not below lock.lease_ms = 6000 "
			"(default)"},
		{{"lock.lease_ms=4001"}, {0}, NULL},
		{{"lock.lease_ms=4000"}, {0},
			"f:1: lock.lease_ms: 4000 is not above database.transaction_timeout_ms = 4000 "
			"(default)"},
		/* Whoever came last is to blame. */
		{{"database.transaction_timeout_ms=5000"}, {"lock.lease_ms=5000"},
			"--set: lock.lease_ms: 5000 is not above database.transaction_timeout_ms = 5000 "
			"(f:1)"},
		{{"lock.lease_ms=5000"}, {"database.transaction_timeout_ms=5001"},
			"--set: database.transaction_timeout_ms: 5001 is not below lock.lease_ms = 5000 "
			"(f:1)"},
		/* No lease without Redis. */
		{{"database.transaction_timeout_ms=6000", "lock.provider=database"}, {0}, NULL},

		{{"lock.wait_ms=3499"}, {0}, NULL},
		{{"lock.wait_ms=3500"}, {0},
			"f:1: lock.wait_ms: lock.wait_ms + lock.redis_timeout_ms = 4000 is not below "
			"database.transaction_timeout_ms = 4000, as lock.scope \"stock\" needs"},
		{{"lock.wait_ms=2000"}, {"lock.redis_timeout_ms=2000"},
			"--set: lock.redis_timeout_ms: "},
		{{"database.transaction_timeout_ms=1500"}, {0},
			"f:1: database.transaction_timeout_ms: lock.wait_ms + "},
		{{"lock.wait_ms=5000", "lock.scope=transaction"}, {0}, NULL},
		{{"lock.wait_ms=5000", "lock.provider=database"}, {0}, NULL},

		{{"database.transaction_timeout_ms=300000", "lock.lease_ms=600000",
			 "limits.stop_ms=600000"},
			{0},
			"f:1: database.transaction_timeout_ms: 300000 is not below "
			"max.poll.interval.ms = 300000 (kafka.properties can raise it)"},
		{{"database.transaction_timeout_ms=299999", "lock.lease_ms=600000",
			 "limits.stop_ms=600000"},
			{0}, NULL},
		{{"database.transaction_timeout_ms=300000", "lock.lease_ms=600000",
			 "limits.stop_ms=600000"},
			{"kafka.properties=max.poll.interval.ms=300001"}, NULL},
		{{"kafka.properties=max.poll.interval.ms=4000"}, {0},
			"f:1: kafka.properties: max.poll.interval.ms = 4000 is not above "
			"database.transaction_timeout_ms = 4000"},
		{{"kafka.properties=max.poll.interval.ms=3000",
			 "database.transaction_timeout_ms=2000"},
			{0},
			"f:1: kafka.properties: max.poll.interval.ms = 3000 is not above "
			"database.connect_timeout_ms = 3000"},
		{{"kafka.properties=max.poll.interval.ms=x"}, {0},
			"f:1: kafka.properties: max.poll.interval.ms is not an integer"},
		{{"kafka.properties=max.poll.interval.ms="}, {0},
			"f:1: kafka.properties: max.poll.interval.ms is not an integer"},
		{{"kafka.properties=max.poll.interval.ms=9999999999999999999"}, {0},
			"f:1: kafka.properties: max.poll.interval.ms is not an integer"},

		{{"limits.stop_ms=4001"}, {0}, NULL},
		{{"limits.stop_ms=4000"}, {0},
			"f:1: limits.stop_ms: 4000 is not above database.transaction_timeout_ms = 4000 "
			"(default)"},
		{{"database.connect_timeout_ms=15000"}, {0},
			"f:1: database.connect_timeout_ms: 15000 is not below limits.stop_ms = 15000 "
			"(default)"},

		{{"limits.event_bytes=65537"}, {"batch.max_bytes=65536"},
			"--set: batch.max_bytes: 65536 is not above limits.event_bytes = 65537 (f:1)"},
		{{"limits.event_bytes=65536", "batch.max_bytes=65536"}, {0}, NULL},
	};
	(void)state;
	CHECK_CASES(cases);
}

static void names_and_addresses_are_valid(void **state)
{
	static const struct check_case cases[] = {
		{{"kafka.topic=a b"}, {0},
			"f:1: kafka.topic: \"a b\" is no topic name (allowed: A-Z a-z 0-9 . _ -)"},
		{{"kafka.topic=."}, {0}, "f:1: kafka.topic: \".\" is no topic name"},
		{{"kafka.outcome_topic=.."}, {0},
			"f:1: kafka.outcome_topic: \"..\" is no topic name"},
		{{"kafka.outcome_topic=caf\xc3\xa9"}, {0}, "f:1: kafka.outcome_topic: "},
		{{"kafka.topic=Az09._-"}, {0}, NULL},
		{{"kafka.topic=x", "kafka.outcome_topic=x"}, {0},
			"f:2: kafka.outcome_topic: \"x\" is both kafka.topic and kafka.outcome_topic"},
		{{"kafka.topic=payment-outcome"}, {0}, "f:1: kafka.topic: "},
		{{"kafka.instance=Host-1.example_org"}, {0}, NULL},
		{{"kafka.instance=a/b"}, {0}, "f:1: kafka.instance: \"a/b\" is no instance name"},

		{{"lock.redis=localhost:1"}, {0}, NULL},
		{{"lock.redis=[::1]:65535"}, {0}, NULL},
		{{"lock.redis=/run/redis/redis.sock"}, {0}, NULL},
		{{"lock.redis=localhost"}, {0}, "f:1: lock.redis: no address of a server"},
		{{"lock.redis=localhost:"}, {0}, "f:1: lock.redis: "},
		{{"lock.redis=:6379"}, {0}, "f:1: lock.redis: "},
		{{"lock.redis=h:0"}, {0}, "f:1: lock.redis: "},
		{{"lock.redis=h:65536"}, {0}, "f:1: lock.redis: "},
		{{"lock.redis=h:-1"}, {0}, "f:1: lock.redis: "},
		{{"lock.redis=h: 1"}, {0}, "f:1: lock.redis: "},
		{{"lock.redis=h:1x"}, {0}, "f:1: lock.redis: "},
		{{"lock.redis=h h:1"}, {0}, "f:1: lock.redis: "},
		{{"lock.redis=::1:6379"}, {0}, "f:1: lock.redis: "},
		{{"lock.redis=[]:6379"}, {0}, "f:1: lock.redis: "},
		{{"lock.redis=/" A50 A50 "aaaaaa"}, {0}, NULL},
		{{"lock.redis=/" A50 A50 "aaaaaaa"}, /* 108 */
			{0}, "f:1: lock.redis: "},

		{{"lock.key_prefix=a:b/c"}, {0}, NULL},
		{{"lock.key_prefix=a{b"}, {0}, "f:1: lock.key_prefix: byte 1 is not allowed"},
		{{"lock.key_prefix=a}"}, {0}, "f:1: lock.key_prefix: "},
		{{"lock.key_prefix=a b"}, {0}, "f:1: lock.key_prefix: "},
		{{"lock.key_prefix=\xc3\xa9"}, {0}, "f:1: lock.key_prefix: "},
	};
	(void)state;
	CHECK_CASES(cases);
}

static void properties_are_of_the_list(void **state)
{
	static const struct check_case cases[] = {
		{{"kafka.properties=security.protocol=SASL_SSL",
			 "kafka.properties=session.timeout.ms=6000"},
			{0}, NULL},
		{{"kafka.properties=enable.auto.commit=true"}, {0},
			"f:1: kafka.properties: enable.auto.commit"},
		{{"kafka.properties=nonsense"}, {0},
			"f:1: kafka.properties: item 1 is not of the form NAME=VALUE"},
		{{"kafka.properties==xyz"}, {0},
			"f:1: kafka.properties: item 1 is not of the form NAME=VALUE"},
		{{"kafka.properties=" A50 A50 "=1"}, {0},
			"f:1: kafka.properties: the name of item 1 is too long for a property"},
		{{0}, {"kafka.properties=debug=all", "kafka.properties=plugin.library.paths=/x"},
			"--set: kafka.properties: plugin.library.paths"},
	};
	(void)state;
	CHECK_CASES(cases);
}

static void conninfo_holds_no_secret(void **state)
{
	static const char *const fine[] = {"dbname=tickets", "host=a port=5432", "", "  ",
		"host = a  dbname = 'b c'", "dbname='password=x'", "user=a\\ password=b",
		"dbname='it\\'s password=x'", "passfile=/etc/x", "dbname=\\",
		"dbname=", "dbname=''", "host=passwordhost", "postgresql://", "postgres://host",
		"postgresql://u@host:5432/db",
		"postgresql://h1:1,h2:2/db?target_session_attrs=read-write&sslmode=require",
		"postgresql:///db?host=/run&passfile=x", "postgresql://h/db?",
		"postgresql://h/db?a", "postgresql://h/db?x=password=y",
		"postgresql://h/?passw%6frdx=y"};
	static const char *const secret[] = {"password=x", "dbname=a password=x", "password = 'x'",
		"dbname='a' password='x'", "dbname='a'password=x", "sslpassword=x",
		"scram_client_key=x", "scram_server_key=x", "oauth_client_secret=x",
		"a=b\tpassword=", "postgres://u:p@host/db", "postgresql://u:p@",
		"postgresql://:p@host", "postgresql://host/db?password=x",
		"postgresql://host/db?a=b&password=x", "postgresql://host/db?p%61ssword=x",
		"postgresql://host?sslpassword=x", "postgresql://host?%70%61%73%73%77%6F%72%64=x"};
	static const char *const malformed[] = {"tickets", "=x", "dbname", "a=b c", "dbname='a",
		"dbname='a\\'", "dbname='", "a = b = c", "http://u:p@h"};
	(void)state;

	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		if (conninfo_wrong(fine[i]))
			fail_msg("%s: %s", fine[i], conninfo_wrong(fine[i]));
	}
	for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++) {
		if (!conninfo_wrong(secret[i]))
			fail_msg("%s passes", secret[i]);
		assert_string_equal(
			conninfo_wrong(secret[i]), "holds a password or another secret");
	}
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
		if (!conninfo_wrong(malformed[i]))
			fail_msg("%s passes", malformed[i]);
		assert_null(strstr(conninfo_wrong(malformed[i]), "secret"));
	}

	static const struct check_case cases[] = {
		{{"database.conninfo=dbname=a password=hunter2"}, {0},
			"f:1: database.conninfo: holds a password or another secret (allowed: "},
	};

	CHECK_CASES(cases);
}

static void no_message_repeats_a_secret(void **state)
{
	static const char *const arguments[] = {"database.conninfo=password=HUNTER2",
		"database.conninfo=postgres://u:HUNTER2@h", "database.conninfo=HUNTER2",
		"kafka.properties=sasl.password=HUNTER2", "kafka.properties=HUNTER2",
		"lock.redis=redis://:HUNTER2@h:6379"};
	(void)state;

	for (size_t i = 0; i < sizeof(arguments) / sizeof(arguments[0]); i++) {
		struct config *c = defaults();
		struct error err = {0};

		assert_int_equal(config_set_argument(c, arguments[i], &err), RESULT_OK);
		assert_int_equal(config_check(c, &err), RESULT_FATAL);
		assert_null(strstr(err.text, "HUNTER2"));
		config_free(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_budgets_fit_into_each_other),
		cmocka_unit_test(names_and_addresses_are_valid),
		cmocka_unit_test(properties_are_of_the_list),
		cmocka_unit_test(conninfo_holds_no_secret),
		cmocka_unit_test(no_message_repeats_a_secret),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
