/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka_fixture.h"

#include "base/clock.h"
#include "io/kafka_member.h"

/* Who of the group has which partitions, and hears of it. */

static const struct source_ops *const ops = &kafka_source_ops;

/* Poll all members until each had its ASSIGNED, and count what they have. */
static size_t settle(struct kafka_source **members, size_t count, size_t *ret_counts)
{
	int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;
	struct error err = {0};
	size_t total = 0;

	while (clock_monotonic_us() < deadline_us) {
		total = 0;
		for (size_t i = 0; i < count; i++) {
			struct source_event e = poll_once(members[i], 20, &err);

			if (e.kind == SOURCE_REVOKED) {
				assert_false(e.lost);
				ret_counts[i] = 0;
			}
			if (e.kind == SOURCE_ASSIGNED)
				ret_counts[i] = e.partition_count + 1;
			total += ret_counts[i] > 0;
		}
		if (total == count)
			break;
	}
	assert_int_equal(total, count);
	total = 0;
	for (size_t i = 0; i < count; i++)
		total += --ret_counts[i];
	return total;
}

static void members_share_and_the_leavers_part_comes_back(void **state)
{
	struct names n = make_topics(3);
	struct kafka_settings settings = settings_of(&n);
	struct kafka_source *m[4];
	size_t counts[4] = {0};

	(void)state;
	m[0] = join(&settings);
	expect_assigned(m[0], 3);
	for (int i = 1; i < 4; i++)
		m[i] = join(&settings);
	(void)expect(m[0], SOURCE_REVOKED);

	/* Four members, three partitions: the fourth is told of its empty part. The newcomers may
	 * have met in several rounds; wait until one leaves all four told. */
	size_t total = 0;

	for (int round = 0; round < 4 && total != 3; round++)
		total = settle(m, 4, counts);
	assert_int_equal(total, 3);
	for (int i = 0; i < 4; i++)
		assert_true(counts[i] <= 1);

	for (int i = 1; i < 4; i++)
		kafka_source_free(m[i]);
	(void)expect(m[0], SOURCE_REVOKED);

	int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;
	struct error err = {0};
	size_t mine = 0;

	while (mine != 3 && clock_monotonic_us() < deadline_us) {
		struct source_event e = poll_once(m[0], 50, &err);

		if (e.kind == SOURCE_ASSIGNED)
			mine = e.partition_count;
	}
	assert_int_equal(mine, 3);
	kafka_source_free(m[0]);
}

static void a_static_member_comes_back_without_a_rebalance(void **state)
{
	struct names n = make_topics(2);
	struct kafka_settings a = settings_of(&n), b = settings_of(&n);
	struct kafka_source *m[2];
	struct error err = {0};
	size_t counts[2] = {0};

	(void)state;
	a.instance = "host-a";
	b.instance = "host-b";
	m[0] = join(&a);
	expect_assigned(m[0], 2);
	m[1] = join(&b);
	(void)expect(m[0], SOURCE_REVOKED);
	assert_int_equal(settle(m, 2, counts), 2);
	assert_int_equal(counts[0], 1);

	kafka_source_free(m[1]);
	m[1] = join(&b);

	/* It has its one partition back, and the other member has heard of nothing. */
	int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;
	bool assigned = false;

	while (!assigned && clock_monotonic_us() < deadline_us) {
		struct source_event e = poll_once(m[1], 20, &err);

		if (e.kind == SOURCE_ASSIGNED) {
			assert_int_equal(e.partition_count, 1);
			assigned = true;
		}
		assert_int_equal(poll_once(m[0], 20, &err).kind, SOURCE_NOTHING);
	}
	assert_true(assigned);
	kafka_source_free(m[0]);
	kafka_source_free(m[1]);
}

/* What a broker says when an offset commit of our own, older session is still on its way. */
static void fenced(struct kafka_source *s)
{
	assert_int_equal(
		rd_kafka_test_fatal_error(s->rk, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, "pretended"),
		0);
}

static void a_member_that_its_own_lost_session_fences_joins_anew(void **state)
{
	struct names n = make_topics(1);
	struct kafka_settings settings = settings_of(&n);
	struct error err = {0};

	(void)state;
	produce(n.topic, 0, 0, 3);
	settings.instance = "host";

	struct kafka_source *s = join(&settings);

	expect_assigned(s, 1);
	assign_at(s, 0, 0);
	for (int64_t offset = 0; offset < 3; offset++)
		expect_record(s, 0, offset);
	s->lost_us = clock_monotonic_us();
	fenced(s);
	assert_true(expect(s, SOURCE_REVOKED).lost);
	assert_false(ops->owns(s, 0));
	expect_assigned(s, 1);
	assign_at(s, 0, 1);
	expect_record(s, 0, 1);
	expect_record(s, 0, 2);
	assert_int_equal(ops->commit_wait(s, 0, 3, &err), RESULT_OK);

	/* Without such a cause it is another one's doing. */
	fenced(s);
	(void)expect(s, SOURCE_OTHER_TOOK_NAME);
	kafka_source_free(s);
}

static void the_second_of_one_name_drives_the_first_out(void **state)
{
	struct names n = make_topics(1);
	struct kafka_settings settings = settings_of(&n);
	struct error err = {0};

	(void)state;
	settings.instance = "host";

	struct kafka_source *first = join(&settings);

	expect_assigned(first, 1);

	struct kafka_source *second = join(&settings);
	int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;
	bool driven_out = false, taken = false;

	while ((!driven_out || !taken) && clock_monotonic_us() < deadline_us) {
		struct source_event e = poll_once(first, 20, &err);

		driven_out = driven_out || e.kind == SOURCE_OTHER_TOOK_NAME;
		e = poll_once(second, 20, &err);
		taken = taken || e.kind == SOURCE_ASSIGNED;
		assert_int_not_equal(e.kind, SOURCE_OTHER_TOOK_NAME);
	}
	assert_true(driven_out);
	assert_true(taken);
	assert_false(ops->owns(first, 0));
	assert_int_equal(ops->commit(first, 0, 1, &err), RESULT_FENCED);
	assert_int_equal(poll_once(first, 0, &err).kind, SOURCE_OTHER_TOOK_NAME);
	assert_true(ops->owns(second, 0));
	kafka_source_free(first);
	kafka_source_free(second);
}

static void who_does_not_poll_loses_the_partitions(void **state)
{
	struct names n = make_topics(1);
	struct kafka_settings settings = settings_of(&n);
	char *list[] = {(char[]){"session.timeout.ms=6000"}, (char[]){"max.poll.interval.ms=6000"}};
	struct error err = {0};

	(void)state;
	settings.properties = (struct config_list){.items = list, .count = 2};

	struct kafka_source *s = join(&settings);
	int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;
	struct position p = {0};

	expect_assigned(s, 1);
	assign_at(s, 0, 0);
	while (ops->owns(s, 0) && clock_monotonic_us() < deadline_us)
		(void)!waker_wait(NULL, -1, 0, clock_monotonic_us() + 50000);
	assert_false(ops->owns(s, 0));
	/* Nothing may pretend that it is still ours. */
	assert_int_equal(ops->assign(s, &p, 1, &err), RESULT_FENCED);
	assert_int_equal(ops->commit(s, 0, 1, &err), RESULT_FENCED);
	assert_false(ops->owns(s, 0));

	struct source_event e = {0};

	while (e.kind != SOURCE_REVOKED && clock_monotonic_us() < deadline_us)
		e = poll_once(s, 50, &err);
	assert_int_equal(e.kind, SOURCE_REVOKED);
	assert_true(e.lost);
	expect_assigned(s, 1);
	kafka_source_free(s);
}

static void new_partitions_are_found(void **state)
{
	struct names n;
	struct kafka_source *s = fetching(&n, 1, 0);
	struct error err = {0};
	int32_t partitions = 0;

	(void)state;
	expect_record(s, 0, 0);
	grow_topic(n.topic, 3);
	assert_false(expect(s, SOURCE_REVOKED).lost);
	expect_assigned(s, 3);
	await_partitions(n.topic, 3);
	produce(n.topic, 2, 0, 1);
	assign_at(s, 2, 0);
	expect_record(s, 2, 0);
	assert_int_equal(ops->check(s, &partitions, &err), RESULT_OK);
	assert_int_equal(partitions, 3);
	kafka_source_free(s);
}

static void close_with_a_record_in_hand_is_quick(void **state)
{
	struct names n;
	struct kafka_source *s = fetching(&n, 10, 0);
	int64_t start_us = clock_monotonic_us();

	(void)state;
	expect_record(s, 0, 0);
	ops->close(s);
	kafka_source_free(s);
	assert_true(clock_monotonic_us() - start_us < 3 * SECOND_US);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_share_and_the_leavers_part_comes_back),
		cmocka_unit_test(a_static_member_comes_back_without_a_rebalance),
		cmocka_unit_test(a_member_that_its_own_lost_session_fences_joins_anew),
		cmocka_unit_test(the_second_of_one_name_drives_the_first_out),
		cmocka_unit_test(who_does_not_poll_loses_the_partitions),
		cmocka_unit_test(new_partitions_are_found),
		cmocka_unit_test(close_with_a_record_in_hand_is_quick),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, kafka_fixture_setup, kafka_fixture_teardown);
}
