/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

/* What is found out before anything is fetched: topics, brokers, properties. */

static const struct source_ops *const ops = &kafka_source_ops;

static void a_missing_topic_is_named_with_its_cure(void **state)
{
	struct names n;
	struct error err = {0};
	int32_t partitions = -7;

	(void)state;
	make_names(&n);

	struct kafka_settings settings = settings_of(&n);
	struct kafka_source *s = open_source(&settings);

	assert_int_equal(ops->check(s, &partitions, &err), RESULT_RETRY);
	assert_non_null(strstr(err.text, n.topic));
	assert_non_null(strstr(err.text, "kafka-topics.sh"));
	assert_non_null(strstr(err.text, "--create"));

	/* A new topic is seen by the broker a moment after it was created. */
	int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;

	create_topic(n.topic, 3);
	while (!strstr(err.text, n.outcomes) && clock_monotonic_us() < deadline_us)
		assert_int_equal(ops->check(s, &partitions, &err), RESULT_RETRY);
	assert_non_null(strstr(err.text, n.outcomes));
	assert_int_equal(partitions, -7);

	create_topic(n.outcomes, 1);
	while (partitions != 3 && clock_monotonic_us() < deadline_us)
		(void)!ops->check(s, &partitions, &err);
	assert_int_equal(partitions, 3);
	kafka_source_free(s);
}

static void brokers_that_do_not_answer_are_named_in_time(void **state)
{
	struct names n;
	struct error err = {0};
	int32_t partitions;
	int64_t start_us = clock_monotonic_us();

	(void)state;
	make_names(&n);

	struct kafka_settings settings = settings_of(&n);

	settings.brokers = "127.0.0.1:1";

	struct kafka_source *s = open_source(&settings);

	assert_int_equal(ops->check(s, &partitions, &err), RESULT_RETRY);
	assert_non_null(strstr(err.text, "127.0.0.1:1"));
	assert_non_null(strstr(err.text, "refused"));
	kafka_source_free(s);
	assert_true(clock_monotonic_us() - start_us < 10 * SECOND_US);
}

static void a_woken_waker_ends_questions_at_once(void **state)
{
	struct names n;
	struct error err = {0};
	struct waker waker;
	struct source_offsets o;
	int32_t partitions;
	int64_t ms;

	(void)state;
	make_names(&n);
	assert_true(waker_init(&waker));
	waker_wake(&waker);

	struct kafka_settings settings = settings_of(&n);

	settings.brokers = "127.0.0.1:1";
	settings.waker = &waker;

	struct kafka_source *s = open_source(&settings);
	int64_t start_us = clock_monotonic_us();

	assert_int_equal(ops->check(s, &partitions, &err), RESULT_RETRY);
	assert_int_equal(ops->offsets(s, 0, &o, &err), RESULT_RETRY);
	assert_int_equal(ops->timestamp_at(s, 0, 0, &ms, &err), RESULT_RETRY);
	assert_true(clock_monotonic_us() - start_us < SECOND_US);
	kafka_source_free(s);
	waker_done(&waker);
}

static void conf_refuses(struct kafka_settings *s, const char *words)
{
	struct error err = {0};

	assert_int_equal(kafka_conf_check(s, &err), RESULT_FATAL);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
	assert_null(strstr(err.text, "hunter2"));
}

static void properties_are_checked_and_secrets_stay_unsaid(void **state)
{
	struct names n;
	char path[64];
	char *list[1];

	(void)state;
	make_names(&n);
	snprintf(path, sizeof(path), "/tmp/test-kafka-%ld.properties", (long)getpid());

	struct kafka_settings s = settings_of(&n);
	FILE *f = fopen(path, "w");

	fprintf(f,
		"# a comment\n\n sasl.password = hunter2 \nlinger.ms=3\nsession.timeout.ms=9000\n");
	fclose(f);
	s.properties_file = path;
	assert_int_equal(kafka_conf_check(&s, NULL), RESULT_OK);

	struct rd_kafka_conf_s *conf = NULL;
	char value[64];
	size_t size = sizeof(value);

	assert_int_equal(kafka_conf_new(&s, KAFKA_ROLE_MEMBER, &conf, NULL), RESULT_OK);
	assert_int_equal(rd_kafka_conf_get(conf, "sasl.password", value, &size), RD_KAFKA_CONF_OK);
	assert_string_equal(value, "hunter2");
	size = sizeof(value);
	assert_int_equal(
		rd_kafka_conf_get(conf, "session.timeout.ms", value, &size), RD_KAFKA_CONF_OK);
	assert_string_equal(value, "9000");
	size = sizeof(value);
	assert_int_equal(
		rd_kafka_conf_get(conf, "isolation.level", value, &size), RD_KAFKA_CONF_OK);
	assert_string_equal(value, "read_committed");
	rd_kafka_conf_destroy(conf);

	f = fopen(path, "w");
	fprintf(f, "linger.ms=3\nenable.auto.commit=true\n");
	fclose(f);
	conf_refuses(&s, ".properties:2: enable.auto.commit may not be set");

	f = fopen(path, "w");
	fprintf(f, "hunter2\n");
	fclose(f);
	conf_refuses(&s, ".properties:1: not of the form NAME=VALUE");

	unlink(path);
	conf_refuses(&s, "cannot read");

	s.properties_file = "";
	s.properties = (struct config_list){.items = list, .count = 1};
	list[0] = (char[]){"session.timeout.ms=soon"};
	conf_refuses(&s, "session.timeout.ms");
	list[0] = (char[]){"sasl.password=hunter2"};
	conf_refuses(&s, "kafka.properties_file");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_missing_topic_is_named_with_its_cure),
		cmocka_unit_test(brokers_that_do_not_answer_are_named_in_time),
		cmocka_unit_test(a_woken_waker_ends_questions_at_once),
		cmocka_unit_test(properties_are_checked_and_secrets_stay_unsaid),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, kafka_fixture_setup, kafka_fixture_teardown);
}
