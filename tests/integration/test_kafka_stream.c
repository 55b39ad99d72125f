/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka_fixture.h"

#include <string.h>

#include "base/clock.h"

/* What is fetched: which records, from where, and as they were sent. */

static const struct source_ops *const ops = &kafka_source_ops;

static void nothing_is_fetched_before_assign(void **state)
{
	struct names n = make_topics(3);
	struct error err = {0};

	(void)state;
	produce(n.topic, 1, 0, 5);

	struct kafka_settings settings = settings_of(&n);
	struct kafka_source *s = join(&settings);

	expect_assigned(s, 3);
	for (int i = 0; i < 10; i++)
		assert_int_equal(poll_once(s, 50, &err).kind, SOURCE_NOTHING);

	/* A part of what the group gave us, from an offset in the middle; the rest stays ours. */
	assert_int_equal(ops->high_watermark(s, 1), -1);
	assign_at(s, 1, 3);
	expect_record(s, 1, 3);
	expect_record(s, 1, 4);
	assert_int_equal(ops->high_watermark(s, 1), 5);
	assert_true(ops->owns(s, 0));
	assert_false(ops->owns(s, 3));

	struct position stranger = {.partition = 9};

	assert_int_equal(ops->assign(s, &stranger, 1, &err), RESULT_FENCED);
	kafka_source_free(s);
}

static void a_record_arrives_byte_by_byte(void **state)
{
	struct names n = make_topics(1);
	const char value[] = "va\0lue", key[] = "k\0ey";
	const int64_t timestamp_ms = clock_realtime_ms() - 123; /* within the retention time */

	(void)state;
	assert_int_equal(
		rd_kafka_producev(kafka.helper, RD_KAFKA_V_TOPIC(n.topic), RD_KAFKA_V_PARTITION(0),
			RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, 4),
			RD_KAFKA_V_VALUE((void *)(uintptr_t)value, 6),
			RD_KAFKA_V_TIMESTAMP(timestamp_ms), RD_KAFKA_V_HEADER("a", "xyz", 3),
			RD_KAFKA_V_HEADER("null", NULL, 0), RD_KAFKA_V_HEADER("", "", 0),
			RD_KAFKA_V_END),
		0);
	/* A tombstone without a key, then an empty value that is none. */
	assert_int_equal(
		rd_kafka_producev(kafka.helper, RD_KAFKA_V_TOPIC(n.topic), RD_KAFKA_V_PARTITION(0),
			RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
		0);
	assert_int_equal(rd_kafka_producev(kafka.helper, RD_KAFKA_V_TOPIC(n.topic),
				 RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
				 RD_KAFKA_V_VALUE((void *)(uintptr_t)value, 0), RD_KAFKA_V_END),
		0);
	assert_int_equal(rd_kafka_flush(kafka.helper, 20000), 0);

	struct kafka_settings settings = settings_of(&n);
	struct kafka_source *s = join(&settings);

	expect_assigned(s, 1);
	assign_at(s, 0, 0);

	struct raw_record r = expect(s, SOURCE_RECORD).record;
	/* Three headers: a=xyz, null=null, (empty)=(empty); lengths are zigzag varints. */
	const char headers[] = "\x06\x02"
			       "a\x06xyz\x08null\x01\x00\x00";

	assert_int_equal(r.offset, 0);
	assert_int_equal(r.timestamp_ms, timestamp_ms);
	assert_int_equal(r.key.length, 4);
	assert_memory_equal(r.key.data, key, 4);
	assert_int_equal(r.value.length, 6);
	assert_memory_equal(r.value.data, value, 6);
	assert_int_equal(r.headers.length, sizeof(headers) - 1);
	assert_memory_equal(r.headers.data, headers, sizeof(headers) - 1);

	r = expect(s, SOURCE_RECORD).record;
	assert_null(r.value.data);
	assert_null(r.key.data);
	assert_null(r.headers.data);

	r = expect(s, SOURCE_RECORD).record;
	assert_non_null(r.value.data);
	assert_int_equal(r.value.length, 0);
	kafka_source_free(s);
}

/* The library loses the record behind a callback that yields while many are taken at once. */
static void an_answer_among_records_costs_none_of_them(void **state)
{
	enum { RECORDS = 5000, COMMITS = 50 };
	struct names n;
	struct kafka_source *s = fetching(&n, RECORDS, 0);
	int64_t deadline_us = clock_monotonic_us() + PATIENCE_US, next = 0;
	struct error err = {0};
	int answers = 0;

	(void)state;
	expect_record(s, 0, next++);
	while ((next < RECORDS || answers < COMMITS) && clock_monotonic_us() < deadline_us) {
		struct source_event e = poll_once(s, 0, &err);

		if (e.kind == SOURCE_RECORD) {
			assert_int_equal(e.record.offset, next);
			next++;
		}
		answers += e.kind == SOURCE_COMMIT;
		/* So that answers come at many places of the stream. */
		if (e.kind == SOURCE_RECORD && next % (RECORDS / COMMITS) == 0)
			assert_int_equal(ops->commit(s, 0, next, &err), RESULT_OK);
	}
	assert_int_equal(next, RECORDS);
	assert_int_equal(answers, COMMITS);
	kafka_source_free(s);
}

static void long_headers_keep_their_lengths(void **state)
{
	struct names n = make_topics(1);
	char big[300];

	(void)state;
	memset(big, 'x', sizeof(big));
	assert_int_equal(
		rd_kafka_producev(kafka.helper, RD_KAFKA_V_TOPIC(n.topic), RD_KAFKA_V_PARTITION(0),
			RD_KAFKA_V_VALUE((void *)"v", 1), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
			RD_KAFKA_V_HEADER("h", big, sizeof(big)), RD_KAFKA_V_END),
		0);
	assert_int_equal(rd_kafka_flush(kafka.helper, 20000), 0);

	struct kafka_settings settings = settings_of(&n);
	struct kafka_source *s = join(&settings);

	expect_assigned(s, 1);
	assign_at(s, 0, 0);

	struct bytes h = expect(s, SOURCE_RECORD).record.headers;

	/* 300 is 600 in zigzag: d8 04. */
	assert_int_equal(h.length, 5 + sizeof(big));
	assert_memory_equal(h.data, "\x02\x02h\xd8\x04", 5);
	assert_memory_equal(h.data + 5, big, sizeof(big));
	kafka_source_free(s);
}

static void seek_goes_exactly_there_again_and_again(void **state)
{
	const int64_t targets[] = {0, 999, 500, 501, 0, 1, 998, 3};
	struct names n;
	struct kafka_source *s = fetching(&n, 1000, 10);
	struct error err = {0};

	(void)state;
	expect_record(s, 0, 10);
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		assert_int_equal(ops->seek(s, 0, targets[i], &err), RESULT_OK);
		expect_record(s, 0, targets[i]);
		if (targets[i] < 999)
			expect_record(s, 0, targets[i] + 1);
	}

	/* At once, also before anything was fetched after an assign. */
	for (int i = 0; i < 20; i++) {
		assign_at(s, 0, 700);
		assert_int_equal(ops->seek(s, 0, 300 + i, &err), RESULT_OK);
		expect_record(s, 0, 300 + i);
	}
	kafka_source_free(s);
}

static void a_pause_neither_skips_nor_repeats(void **state)
{
	struct names n;
	struct kafka_source *s = fetching(&n, 2000, 0);
	struct error err = {0};

	(void)state;
	for (int offset = 0; offset < 1000; offset += 50) {
		for (int i = 0; i < 50; i++)
			expect_record(s, 0, offset + i);
		assert_int_equal(ops->pause(s, 0, true, &err), RESULT_OK);
		assert_int_equal(poll_once(s, 0, &err).kind, SOURCE_NOTHING);
		assert_int_equal(poll_once(s, 20, &err).kind, SOURCE_NOTHING);
		assert_int_equal(ops->pause(s, 0, false, &err), RESULT_OK);
		/* Twice is once. */
		assert_int_equal(ops->pause(s, 0, false, &err), RESULT_OK);
	}

	/* Right after an assign, before anything was fetched; and a seek while paused. */
	for (int i = 0; i < 10; i++) {
		assign_at(s, 0, 1000 + i);
		assert_int_equal(ops->pause(s, 0, true, &err), RESULT_OK);
		assert_int_equal(ops->pause(s, 0, false, &err), RESULT_OK);
		expect_record(s, 0, 1000 + i);
		assert_int_equal(ops->pause(s, 0, true, &err), RESULT_OK);
		assert_int_equal(ops->seek(s, 0, 1500 + i, &err), RESULT_OK);
		assert_int_equal(poll_once(s, 10, &err).kind, SOURCE_NOTHING);
		assert_int_equal(ops->pause(s, 0, false, &err), RESULT_OK);
		expect_record(s, 0, 1500 + i);
	}
	kafka_source_free(s);
}

static void assign_leaves_nothing_paused(void **state)
{
	struct names n;
	struct kafka_source *s = fetching(&n, 10, 0);
	struct error err = {0};

	(void)state;
	expect_record(s, 0, 0);
	assert_int_equal(ops->pause(s, 0, true, &err), RESULT_OK);
	assign_at(s, 0, 4);
	expect_record(s, 0, 4);

	/* Paused when it is revoked, and given to us again. */
	assert_int_equal(ops->pause(s, 0, true, &err), RESULT_OK);

	struct kafka_settings settings = settings_of(&n);
	struct kafka_source *second = join(&settings);

	assert_false(expect(s, SOURCE_REVOKED).lost);
	assert_false(ops->owns(s, 0));

	int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;
	size_t mine = 9;

	/* Both members have to poll for the group to settle; who gets the one partition is open. */
	while (mine == 9 && clock_monotonic_us() < deadline_us) {
		struct source_event e = poll_once(s, 20, &err);

		if (e.kind == SOURCE_ASSIGNED)
			mine = e.partition_count;
		(void)poll_once(second, 20, &err);
	}
	kafka_source_free(second);
	if (mine == 0) {
		(void)expect(s, SOURCE_REVOKED);
		expect_assigned(s, 1);
	} else {
		assert_int_equal(mine, 1);
		struct source_event e = expect(s, SOURCE_REVOKED); /* the second one left */

		assert_false(e.lost);
		expect_assigned(s, 1);
	}
	assign_at(s, 0, 7);
	expect_record(s, 0, 7);
	kafka_source_free(s);
}

static void a_position_out_of_range_is_said_and_mended_by_seek(void **state)
{
	struct names n;
	struct kafka_source *s = fetching(&n, 10, 5000);
	struct error err = {0};

	(void)state;
	assert_int_equal(expect(s, SOURCE_DISTURBED).partition, 0);
	assert_int_equal(ops->seek(s, 0, 6, &err), RESULT_OK);
	expect_record(s, 0, 6);
	kafka_source_free(s);
}

static void transaction_markers_are_gaps_and_aborted_records_unseen(void **state)
{
	struct names n = make_topics(1);
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char text[200];

	(void)state;
	assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", kafka.brokers, NULL, 0), 0);
	assert_int_equal(rd_kafka_conf_set(conf, "transactional.id", n.group, NULL, 0), 0);

	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));

	assert_null(rd_kafka_init_transactions(rk, 20000));
	assert_null(rd_kafka_begin_transaction(rk));
	produce_to(rk, n.topic, 0, 0, 2); /* 0, 1, marker 2 */
	assert_null(rd_kafka_commit_transaction(rk, 20000));
	assert_null(rd_kafka_begin_transaction(rk));
	produce_to(rk, n.topic, 0, 3, 2); /* 3, 4 aborted, marker 5 */
	assert_null(rd_kafka_abort_transaction(rk, 20000));
	assert_null(rd_kafka_begin_transaction(rk));
	produce_to(rk, n.topic, 0, 6, 1); /* 6, marker 7 */
	assert_null(rd_kafka_commit_transaction(rk, 20000));
	rd_kafka_destroy(rk);

	struct kafka_settings settings = settings_of(&n);
	struct kafka_source *s = join(&settings);
	struct error err = {0};
	int64_t ms = 0;

	expect_assigned(s, 1);
	assign_at(s, 0, 0);
	expect_record(s, 0, 0);
	expect_record(s, 0, 1);
	expect_record(s, 0, 6);
	/* The same gap again after a seek to the offset that holds no record. */
	assert_int_equal(ops->seek(s, 0, 2, &err), RESULT_OK);
	expect_record(s, 0, 6);

	assert_int_equal(offsets_of(s, 0).high, 8);
	assert_int_equal(ops->timestamp_at(s, 0, 2, &ms, &err), RESULT_OK);
	assert_int_equal(ms, TIMESTAMP_NONE);
	assert_int_equal(ops->timestamp_at(s, 0, 7, &ms, &err), RESULT_OK);
	assert_int_equal(ms, TIMESTAMP_END); /* only the marker is left */
	kafka_source_free(s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_fetched_before_assign),
		cmocka_unit_test(a_record_arrives_byte_by_byte),
		cmocka_unit_test(an_answer_among_records_costs_none_of_them),
		cmocka_unit_test(long_headers_keep_their_lengths),
		cmocka_unit_test(seek_goes_exactly_there_again_and_again),
		cmocka_unit_test(a_pause_neither_skips_nor_repeats),
		cmocka_unit_test(assign_leaves_nothing_paused),
		cmocka_unit_test(a_position_out_of_range_is_said_and_mended_by_seek),
		cmocka_unit_test(transaction_markers_are_gaps_and_aborted_records_unseen),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, kafka_fixture_setup, kafka_fixture_teardown);
}
