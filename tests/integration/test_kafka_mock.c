/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka_fixture.h"

#include <string.h>

#include <librdkafka/rdkafka_mock.h>

#include "base/clock.h"

/*
 * What cannot be done to a real broker from outside (stop it, make it answer with an error) is done
 * to librdkafka's mock cluster.
 */

static const struct source_ops *const ops = &kafka_source_ops;

struct mock {
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;
	struct names names;
	struct kafka_settings settings;
};

/* A cluster of one broker, and a member that has the only partition of its topic. */
static struct kafka_source *mock_start(struct mock *m)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	(void)rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
	m->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
	m->cluster = rd_kafka_mock_cluster_new(m->rk, 1);
	assert_non_null(m->cluster);
	make_names(&m->names);
	assert_int_equal(rd_kafka_mock_topic_create(m->cluster, m->names.topic, 1, 1), 0);
	assert_int_equal(rd_kafka_mock_topic_create(m->cluster, m->names.outcomes, 1, 1), 0);
	m->settings = settings_of(&m->names);
	m->settings.brokers = rd_kafka_mock_cluster_bootstraps(m->cluster);

	struct kafka_source *s = join(&m->settings);

	expect_assigned(s, 1);
	return s;
}

static void mock_stop(struct mock *m)
{
	rd_kafka_mock_cluster_destroy(m->cluster);
	rd_kafka_destroy(m->rk);
}

static void an_outage_is_said_again_and_again_until_it_is_over(void **state)
{
	struct mock mock;
	struct kafka_source *s = mock_start(&mock);
	struct error err = {0};

	(void)state;
	assign_at(s, 0, 0);
	assert_int_equal(rd_kafka_mock_broker_set_down(mock.cluster, 1), 0);
	kafka.lines = 0;

	int64_t start_us = clock_monotonic_us();
	int said = 0;

	while (said < 4 && clock_monotonic_us() < start_us + PATIENCE_US) {
		struct source_event e = poll_once(s, 50, &err);

		if (e.kind == SOURCE_UNREACHABLE) {
			assert_non_null(strstr(err.text, "no Kafka broker answers"));
			said++;
		}
	}
	assert_int_equal(said, 4);
	assert_true(clock_monotonic_us() - start_us >= 3 * SECOND_US); /* not a flood */
	assert_true(kafka.lines < 20);                                 /* nor in the journal */

	struct source_offsets o;

	assert_int_equal(ops->offsets(s, 0, &o, &err), RESULT_RETRY);

	/* Over: it is quiet, nothing was recorded meanwhile. */
	assert_int_equal(rd_kafka_mock_broker_set_up(mock.cluster, 1), 0);
	start_us = clock_monotonic_us();

	int64_t last_us = start_us;

	while (clock_monotonic_us() < last_us + 3 * SECOND_US) {
		if (poll_once(s, 50, &err).kind == SOURCE_UNREACHABLE)
			last_us = clock_monotonic_us();
		assert_true(last_us < start_us + 5 * SECOND_US);
	}
	kafka_source_free(s);
	mock_stop(&mock);
}

static void a_refused_commit_is_told_and_made_again_at_revoke(void **state)
{
	struct mock mock;
	struct kafka_source *s = mock_start(&mock);
	struct error err = {0};

	(void)state;
	rd_kafka_mock_push_request_errors(mock.cluster, 8 /* OffsetCommit */, 1,
		RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
	assert_int_equal(ops->commit(s, 0, 5, &err), RESULT_OK);

	struct source_event e = expect(s, SOURCE_COMMIT);

	assert_true(e.failed);
	assert_int_equal(e.partition, 0);
	assert_non_null(strstr(kafka.expected_err.text, "offset 5 of partition 0"));

	/* Leaving revokes. (Once a member joins, this broker takes no commits, unlike a real one.)
	 */
	kafka_source_free(s);
	s = open_source(&mock.settings);
	assert_int_equal(offsets_of(s, 0).committed, 5);
	kafka_source_free(s);
	mock_stop(&mock);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_outage_is_said_again_and_again_until_it_is_over),
		cmocka_unit_test(a_refused_commit_is_told_and_made_again_at_revoke),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, kafka_fixture_setup, kafka_fixture_teardown);
}
