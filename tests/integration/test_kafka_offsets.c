/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka_fixture.h"

#include "base/clock.h"
#include "io/kafka_admin.h"

/* Offsets, timestamps and commits, as the server has them. */

static const struct source_ops *const ops = &kafka_source_ops;

static void offsets_and_timestamps_are_the_servers(void **state)
{
	struct names n;
	struct kafka_source *s = fetching(&n, 0, 0);
	struct error err = {0};
	struct source_offsets o = offsets_of(s, 0);
	const int64_t begin_ms = clock_realtime_ms() - 60000; /* within the retention time */
	int64_t ms = 0;

	(void)state;
	assert_int_equal(o.low, 0);
	assert_int_equal(o.high, 0);
	assert_int_equal(o.committed, -1);
	assert_int_equal(ops->timestamp_at(s, 0, 0, &ms, &err), RESULT_OK);
	assert_int_equal(ms, TIMESTAMP_END);

	for (int i = 0; i < 10; i++)
		assert_int_equal(rd_kafka_producev(kafka.helper, RD_KAFKA_V_TOPIC(n.topic),
					 RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_VALUE((void *)"v", 1),
					 RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
					 RD_KAFKA_V_TIMESTAMP(begin_ms + i), RD_KAFKA_V_END),
			0);
	assert_int_equal(rd_kafka_flush(kafka.helper, 20000), 0);
	delete_records_before(n.topic, 0, 4);
	o = offsets_of(s, 0);
	assert_int_equal(o.low, 4);
	assert_int_equal(o.high, 10);

	assert_int_equal(ops->timestamp_at(s, 0, 9, &ms, &err), RESULT_OK);
	assert_int_equal(ms, begin_ms + 9);
	assert_int_equal(ops->timestamp_at(s, 0, 4, &ms, &err), RESULT_OK);
	assert_int_equal(ms, begin_ms + 4);
	assert_int_equal(ops->timestamp_at(s, 0, 3, &ms, &err), RESULT_OK);
	assert_int_equal(ms, TIMESTAMP_NONE);
	assert_int_equal(ops->timestamp_at(s, 0, 10, &ms, &err), RESULT_OK);
	assert_int_equal(ms, TIMESTAMP_END);
	assert_int_equal(ops->timestamp_at(s, 0, 11, &ms, &err), RESULT_OK);
	assert_int_equal(ms, TIMESTAMP_NONE);
	kafka_source_free(s);
}

static void commits_are_answered_and_seen_without_joining(void **state)
{
	struct names n;
	struct kafka_source *s = fetching(&n, 10, 0);
	struct kafka_settings settings = settings_of(&n);
	struct kafka_admin *admin = NULL;
	struct source_offsets o;
	struct error err = {0};
	int32_t partitions = 0;

	(void)state;
	assert_int_equal(ops->commit(s, 0, 3, &err), RESULT_OK);

	int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;
	struct source_event e = {0};

	while (e.kind != SOURCE_COMMIT && clock_monotonic_us() < deadline_us)
		e = poll_once(s, 50, &err);
	assert_int_equal(e.kind, SOURCE_COMMIT);
	assert_false(e.failed);
	assert_int_equal(e.partition, 0);
	assert_int_equal(offsets_of(s, 0).committed, 3);
	assert_int_equal(ops->commit_wait(s, 0, 2, &err), RESULT_OK); /* back: progress seek */

	assert_int_equal(kafka_admin_open(&settings, &admin, &err), RESULT_OK);
	assert_int_equal(kafka_admin_partitions(admin, n.topic, &partitions, &err), RESULT_OK);
	assert_int_equal(partitions, 1);
	assert_int_equal(kafka_admin_offsets(admin, n.topic, 0, &o, &err), RESULT_OK);
	assert_int_equal(o.committed, 2);
	assert_int_equal(o.high, 10);
	assert_int_equal(
		kafka_admin_partitions(admin, "no-such-topic", &partitions, &err), RESULT_REJECT);
	kafka_admin_free(admin);

	/* Still the only member: nothing was rebalanced by the questions. */
	assert_true(ops->owns(s, 0));
	for (int i = 0; i < 20; i++)
		assert_int_not_equal(poll_once(s, 20, &err).kind, SOURCE_REVOKED);
	kafka_source_free(s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offsets_and_timestamps_are_the_servers),
		cmocka_unit_test(commits_are_answered_and_seen_without_joining),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, kafka_fixture_setup, kafka_fixture_teardown);
}
