/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The Kafka adapters against a real Apache Kafka, whose address is in $TICKETPAY_TEST_BROKERS. Each
 * case has topics and groups of its own. What a client cannot do to a real broker from outside
 * (stop it, make it answer with an error) is done to librdkafka's mock cluster.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/clock.h"
#include "io/kafka_admin.h"
#include "io/kafka_sink.h"
#include "io/kafka_source.h"

#include <cmocka.h> /* last: its macro fail() would hide ours */

#define SECOND_US INT64_C(1000000)
#define PATIENCE_US (20 * SECOND_US)

static const struct source_ops *const ops = &kafka_source_ops;
static const struct sink_ops *const sink_ops = &kafka_sink_ops;
static const char *brokers;
static rd_kafka_t *helper; /* creates topics, produces records */
static int case_number;

/* ---- servers ------------------------------------------------------------------------------------
 */

struct names {
	char topic[64], outcomes[64], group[64];
};

/* Run an admin request and die unless every part of it succeeds. */
static void admin_done(rd_kafka_queue_t *queue)
{
	rd_kafka_event_t *e = rd_kafka_queue_poll(queue, 20000);

	assert_non_null(e);
	if (rd_kafka_event_error(e))
		fail_msg("admin request: %s", rd_kafka_event_error_string(e));
	rd_kafka_event_destroy(e);
	rd_kafka_queue_destroy(queue);
}

static void create_topic(const char *name, int partitions)
{
	char text[200];
	rd_kafka_queue_t *queue = rd_kafka_queue_new(helper);
	rd_kafka_AdminOptions_t *o =
		rd_kafka_AdminOptions_new(helper, RD_KAFKA_ADMIN_OP_CREATETOPICS);
	rd_kafka_NewTopic_t *t = rd_kafka_NewTopic_new(name, partitions, 1, text, sizeof(text));

	(void)rd_kafka_AdminOptions_set_operation_timeout(o, 15000, NULL, 0);
	rd_kafka_CreateTopics(helper, &t, 1, o, queue);
	admin_done(queue);
	rd_kafka_NewTopic_destroy(t);
	rd_kafka_AdminOptions_destroy(o);
}

static void grow_topic(const char *name, size_t partitions)
{
	char text[200];
	rd_kafka_queue_t *queue = rd_kafka_queue_new(helper);
	rd_kafka_NewPartitions_t *p =
		rd_kafka_NewPartitions_new(name, partitions, text, sizeof(text));

	rd_kafka_CreatePartitions(helper, &p, 1, NULL, queue);
	admin_done(queue);
	rd_kafka_NewPartitions_destroy(p);
}

static void delete_records_before(const char *topic, int32_t partition, int64_t offset)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(helper);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;

	rd_kafka_DeleteRecords_t *d = rd_kafka_DeleteRecords_new(list);

	rd_kafka_DeleteRecords(helper, &d, 1, NULL, queue);
	admin_done(queue);
	rd_kafka_DeleteRecords_destroy(d);
	rd_kafka_topic_partition_list_destroy(list);
}

static void make_names(struct names *ret)
{
	case_number++;
	snprintf(ret->topic, sizeof(ret->topic), "in-%ld-%d", (long)getpid(), case_number);
	snprintf(ret->outcomes, sizeof(ret->outcomes), "out-%ld-%d", (long)getpid(), case_number);
	snprintf(ret->group, sizeof(ret->group), "group-%ld-%d", (long)getpid(), case_number);
}

static struct names make_topics(int partitions)
{
	struct names n;

	make_names(&n);
	create_topic(n.topic, partitions);
	create_topic(n.outcomes, 7);
	return n;
}

static void produce_to(rd_kafka_t *rk, const char *topic, int32_t partition, int first, int count)
{
	for (int i = first; i < first + count; i++) {
		char value[32];
		int n = snprintf(value, sizeof(value), "value-%d", i);

		assert_int_equal(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic),
					 RD_KAFKA_V_PARTITION(partition),
					 RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
					 RD_KAFKA_V_VALUE(value, (size_t)n), RD_KAFKA_V_END),
			0);
	}
	assert_int_equal(rd_kafka_flush(rk, 20000), 0);
}

/* Wait until the helper, too, knows that the topic has so many partitions. */
static void await_partitions(const char *topic, int partitions)
{
	int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;
	rd_kafka_topic_t *handle = rd_kafka_topic_new(helper, topic, NULL);
	int known = 0;

	while (known != partitions && clock_monotonic_us() < deadline_us) {
		const struct rd_kafka_metadata *m = NULL;

		if (rd_kafka_metadata(helper, 0, handle, &m, 5000))
			continue;
		known = m->topics[0].partition_cnt;
		rd_kafka_metadata_destroy(m);
	}
	rd_kafka_topic_destroy(handle);
	assert_int_equal(known, partitions);
}

static void produce(const char *topic, int32_t partition, int first, int count)
{
	produce_to(helper, topic, partition, first, count);
}

/* ---- a member
 * ------------------------------------------------------------------------------------- */

struct kept_line {
	char text[512];
	int count;
};
static struct kept_line kept;

static void keep_line(void *self, const struct log_entry *e)
{
	(void)self;
	kept.count++;
	snprintf(kept.text, sizeof(kept.text), "%s", e->text);
}

static const struct log_ops keep_log = {.write = keep_line};

static struct kafka_settings settings_of(const struct names *n)
{
	return (struct kafka_settings){
		.brokers = brokers,
		.topic = n->topic,
		.group = n->group,
		.outcome_topic = n->outcomes,
		.instance = "",
		.properties_file = "",
		.log = {.ops = &keep_log},
	};
}

static struct kafka_source *open_source(const struct kafka_settings *s)
{
	struct kafka_source *source = NULL;
	struct error err = {0};

	if (kafka_source_open(s, &source, &err) != RESULT_OK)
		fail_msg("open: %s", err.text);
	return source;
}

static struct kafka_source *join(const struct kafka_settings *s)
{
	struct kafka_source *source = open_source(s);
	struct error err = {0};

	assert_int_equal(ops->subscribe(source, &err), RESULT_OK);
	return source;
}

static struct source_event poll_once(struct kafka_source *s, int wait_ms, struct error *err)
{
	struct source_event e;

	if (ops->poll(s, wait_ms, &e, err) != RESULT_OK)
		fail_msg("poll: %s", err->text);
	return e;
}

static struct error expected_err; /* of the event that expect() gave back */

/* The next event of this kind; any other than NOTHING on the way is a failure. */
static struct source_event expect(struct kafka_source *s, enum source_event_kind kind)
{
	int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;

	expected_err = (struct error){0};
	while (clock_monotonic_us() < deadline_us) {
		struct source_event e = poll_once(s, 50, &expected_err);

		if (e.kind == kind)
			return e;
		if (e.kind != SOURCE_NOTHING)
			fail_msg("event %d instead of %d: %s", e.kind, kind, expected_err.text);
	}
	fail_msg("event %d did not come", kind);
	return (struct source_event){0};
}

static void expect_assigned(struct kafka_source *s, size_t count)
{
	struct source_event e = expect(s, SOURCE_ASSIGNED);

	assert_int_equal(e.partition_count, count);
	for (size_t i = 1; i < count; i++)
		assert_true(e.partitions[i - 1] < e.partitions[i]);
	for (size_t i = 0; i < count; i++)
		assert_true(ops->owns(s, e.partitions[i]));
}

static void assign_at(struct kafka_source *s, int32_t partition, int64_t offset)
{
	struct position p = {.partition = partition, .offset = offset};
	struct error err = {0};

	if (ops->assign(s, &p, 1, &err) != RESULT_OK)
		fail_msg("assign: %s", err.text);
}

/* The next record is the one at `offset`, as produce() made it. */
static void expect_record(struct kafka_source *s, int32_t partition, int64_t offset)
{
	struct source_event e = expect(s, SOURCE_RECORD);
	char value[32];
	int n = snprintf(value, sizeof(value), "value-%d", (int)offset);

	assert_int_equal(e.record.partition, partition);
	assert_int_equal(e.record.offset, offset);
	assert_int_equal(e.record.value.length, n);
	assert_memory_equal(e.record.value.data, value, (size_t)n);
}

/* A member of a topic of one partition with `count` records, that fetches from `offset` on. */
static struct kafka_source *fetching(struct names *n, int count, int64_t offset)
{
	*n = make_topics(1);
	if (count > 0)
		produce(n->topic, 0, 0, count);

	struct kafka_settings settings = settings_of(n);
	struct kafka_source *s = join(&settings);

	expect_assigned(s, 1);
	assign_at(s, 0, offset);
	return s;
}

static struct source_offsets offsets_of(struct kafka_source *s, int32_t partition)
{
	struct source_offsets o = {0};
	struct error err = {0};

	if (ops->offsets(s, partition, &o, &err) != RESULT_OK)
		fail_msg("offsets: %s", err.text);
	assert_int_equal(o.partition, partition);
	return o;
}

/* ---- check and configuration
 * ----------------------------------------------------------------------- */

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

/* ---- fetching
 * -------------------------------------------------------------------------------------- */

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
		rd_kafka_producev(helper, RD_KAFKA_V_TOPIC(n.topic), RD_KAFKA_V_PARTITION(0),
			RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, 4),
			RD_KAFKA_V_VALUE((void *)(uintptr_t)value, 6),
			RD_KAFKA_V_TIMESTAMP(timestamp_ms), RD_KAFKA_V_HEADER("a", "xyz", 3),
			RD_KAFKA_V_HEADER("null", NULL, 0), RD_KAFKA_V_HEADER("", "", 0),
			RD_KAFKA_V_END),
		0);
	/* A tombstone without a key, then an empty value that is none. */
	assert_int_equal(
		rd_kafka_producev(helper, RD_KAFKA_V_TOPIC(n.topic), RD_KAFKA_V_PARTITION(0),
			RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
		0);
	assert_int_equal(rd_kafka_producev(helper, RD_KAFKA_V_TOPIC(n.topic),
				 RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
				 RD_KAFKA_V_VALUE((void *)(uintptr_t)value, 0), RD_KAFKA_V_END),
		0);
	assert_int_equal(rd_kafka_flush(helper, 20000), 0);

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

static void long_headers_keep_their_lengths(void **state)
{
	struct names n = make_topics(1);
	char big[300];

	(void)state;
	memset(big, 'x', sizeof(big));
	assert_int_equal(
		rd_kafka_producev(helper, RD_KAFKA_V_TOPIC(n.topic), RD_KAFKA_V_PARTITION(0),
			RD_KAFKA_V_VALUE((void *)"v", 1), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
			RD_KAFKA_V_HEADER("h", big, sizeof(big)), RD_KAFKA_V_END),
		0);
	assert_int_equal(rd_kafka_flush(helper, 20000), 0);

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
	assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", brokers, NULL, 0), 0);
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
	assert_int_equal(ms, -1);
	assert_int_equal(ops->timestamp_at(s, 0, 7, &ms, &err), RESULT_OK);
	assert_int_equal(ms, -1);
	kafka_source_free(s);
}

/* ---- offsets and commits
 * ---------------------------------------------------------------------------- */

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
	assert_int_equal(ms, -1);

	for (int i = 0; i < 10; i++)
		assert_int_equal(rd_kafka_producev(helper, RD_KAFKA_V_TOPIC(n.topic),
					 RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_VALUE((void *)"v", 1),
					 RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
					 RD_KAFKA_V_TIMESTAMP(begin_ms + i), RD_KAFKA_V_END),
			0);
	assert_int_equal(rd_kafka_flush(helper, 20000), 0);
	delete_records_before(n.topic, 0, 4);
	o = offsets_of(s, 0);
	assert_int_equal(o.low, 4);
	assert_int_equal(o.high, 10);

	assert_int_equal(ops->timestamp_at(s, 0, 9, &ms, &err), RESULT_OK);
	assert_int_equal(ms, begin_ms + 9);
	assert_int_equal(ops->timestamp_at(s, 0, 4, &ms, &err), RESULT_OK);
	assert_int_equal(ms, begin_ms + 4);
	assert_int_equal(ops->timestamp_at(s, 0, 3, &ms, &err), RESULT_OK);
	assert_int_equal(ms, -1);
	assert_int_equal(ops->timestamp_at(s, 0, 10, &ms, &err), RESULT_OK);
	assert_int_equal(ms, -1);
	assert_int_equal(ops->timestamp_at(s, 0, 11, &ms, &err), RESULT_OK);
	assert_int_equal(ms, -1);
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

/* ---- the group
 * ------------------------------------------------------------------------------------------ */

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

/* ---- with a broker that does as told
 * ------------------------------------------------------------------- */

struct mock {
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;
	const char *brokers;
};

static struct mock mock_start(const struct names *n)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	struct mock m = {0};

	(void)rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
	m.rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
	m.cluster = rd_kafka_mock_cluster_new(m.rk, 1);
	assert_non_null(m.cluster);
	m.brokers = rd_kafka_mock_cluster_bootstraps(m.cluster);
	assert_int_equal(rd_kafka_mock_topic_create(m.cluster, n->topic, 1, 1), 0);
	assert_int_equal(rd_kafka_mock_topic_create(m.cluster, n->outcomes, 1, 1), 0);
	return m;
}

static void mock_stop(struct mock *m)
{
	rd_kafka_mock_cluster_destroy(m->cluster);
	rd_kafka_destroy(m->rk);
}

static void an_outage_is_said_again_and_again_until_it_is_over(void **state)
{
	struct names n;
	struct error err = {0};

	(void)state;
	make_names(&n);

	struct mock mock = mock_start(&n);
	struct kafka_settings settings = settings_of(&n);

	settings.brokers = mock.brokers;

	struct kafka_source *s = join(&settings);

	expect_assigned(s, 1);
	assign_at(s, 0, 0);
	assert_int_equal(rd_kafka_mock_broker_set_down(mock.cluster, 1), 0);
	kept.count = 0;

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
	assert_true(kept.count < 20);                                  /* nor in the journal */

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
	struct names n;
	struct error err = {0};

	(void)state;
	make_names(&n);

	struct mock mock = mock_start(&n);
	struct kafka_settings settings = settings_of(&n);
	settings.brokers = mock.brokers;

	struct kafka_source *s = join(&settings);

	expect_assigned(s, 1);
	rd_kafka_mock_push_request_errors(mock.cluster, 8 /* OffsetCommit */, 1,
		RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
	assert_int_equal(ops->commit(s, 0, 5, &err), RESULT_OK);

	struct source_event e = expect(s, SOURCE_COMMIT);

	assert_true(e.failed);
	assert_int_equal(e.partition, 0);
	assert_non_null(strstr(expected_err.text, "offset 5 of partition 0"));

	/* Leaving revokes. (Once a member joins, this broker takes no commits, unlike a real one.)
	 */
	kafka_source_free(s);
	s = open_source(&settings);
	assert_int_equal(offsets_of(s, 0).committed, 5);
	kafka_source_free(s);
	mock_stop(&mock);
}

/* ---- the sink
 * ------------------------------------------------------------------------------------------ */

enum { MARKS_MAX = 5000 };

struct told {
	int delivered[MARKS_MAX], undelivered[MARKS_MAX];
	int count;
};

static void on_told(void *context, uint64_t mark, bool delivered)
{
	struct told *t = context;

	assert_true(mark < MARKS_MAX);
	if (delivered)
		t->delivered[mark]++;
	else
		t->undelivered[mark]++;
	t->count++;
}

static struct kafka_sink *open_sink(const struct kafka_settings *s)
{
	struct kafka_sink *sink = NULL;
	struct error err = {0};

	if (kafka_sink_open(s, &sink, &err) != RESULT_OK)
		fail_msg("open: %s", err.text);
	return sink;
}

static void publish(struct kafka_sink *sink, const char *key, uint64_t mark)
{
	struct error err = {0};
	char value[32];
	struct bytes v = {.data = value,
		.length = (size_t)snprintf(value, sizeof(value), "outcome-%d", (int)mark)};
	struct bytes k = {.data = key, .length = strlen(key)};

	if (sink_ops->publish(sink, k, v, mark, &err) != RESULT_OK)
		fail_msg("publish: %s", err.text);
}

static void serve_until(struct kafka_sink *sink, struct told *told, int count)
{
	int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;
	struct error err = {0};

	while (told->count < count && clock_monotonic_us() < deadline_us)
		assert_int_equal(sink_ops->serve(sink, 50, on_told, told, &err), RESULT_OK);
	assert_int_equal(told->count, count);
}

static void every_mark_is_told_once(void **state)
{
	struct names n = make_topics(1);
	struct kafka_settings settings = settings_of(&n);
	struct kafka_sink *sink = open_sink(&settings);
	struct told *told = calloc(1, sizeof(*told));

	(void)state;
	for (int i = 0; i < MARKS_MAX; i++)
		publish(sink, "key", (uint64_t)i);
	serve_until(sink, told, MARKS_MAX);
	for (int i = 0; i < MARKS_MAX; i++)
		assert_int_equal(told->delivered[i], 1);
	kafka_sink_free(sink);
	free(told);
}

/* Keys and their murmur2 hashes from the tests of Kafka's own Java client (UtilsTest). */
static void outcomes_go_to_the_partition_that_java_chooses(void **state)
{
	static const struct {
		const char *key;
		int32_t hash;
	} known[] = {
		{"21", -973932308},
		{"foobar", -790332482},
		{"a-little-bit-long-string", -985981536},
		{"a-little-bit-longer-string", -1486304829},
		{"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
		{"abc", 479470107},
	};
	const int count = sizeof(known) / sizeof(known[0]);
	struct names n = make_topics(1);
	struct kafka_settings settings = settings_of(&n);
	struct kafka_sink *sink = open_sink(&settings);
	struct told *told = calloc(1, sizeof(*told));

	(void)state;
	for (int i = 0; i < count; i++)
		publish(sink, known[i].key, (uint64_t)i);
	serve_until(sink, told, count);
	kafka_sink_free(sink);
	free(told);

	/* Read them back with the source: the outcome topic has seven partitions. */
	struct position all[7] = {0};
	struct error err = {0};

	settings.topic = n.outcomes;

	struct kafka_source *s = join(&settings);

	expect_assigned(s, 7);
	for (int i = 0; i < 7; i++)
		all[i].partition = i;
	assert_int_equal(ops->assign(s, all, 7, &err), RESULT_OK);
	for (int i = 0; i < count; i++) {
		struct raw_record r = expect(s, SOURCE_RECORD).record;
		int k = 0;

		while (k < count && (r.key.length != strlen(known[k].key) ||
					    memcmp(r.key.data, known[k].key, r.key.length) != 0))
			k++;
		assert_true(k < count);
		assert_int_equal(r.partition, (known[k].hash & 0x7fffffff) % 7);
	}
	kafka_source_free(s);
}

static void a_full_queue_is_busy_and_close_is_bounded(void **state)
{
	struct names n;
	char *list[] = {(char[]){"queue.buffering.max.messages=10"}};
	struct error err = {0};
	struct told *told = calloc(1, sizeof(*told));

	(void)state;
	make_names(&n);

	struct kafka_settings settings = settings_of(&n);

	settings.brokers = "127.0.0.1:1";
	settings.properties = (struct config_list){.items = list, .count = 1};

	struct kafka_sink *sink = open_sink(&settings);

	for (int i = 0; i < 10; i++)
		publish(sink, "key", (uint64_t)i);
	assert_int_equal(
		sink_ops->publish(sink, BYTES_LITERAL("key"), BYTES_LITERAL("v"), 10, &err),
		RESULT_BUSY);
	/* Waited for, not given up; the library looks for what has expired once a second. */
	for (int i = 0; i < 25; i++)
		assert_int_equal(sink_ops->serve(sink, 100, on_told, told, &err), RESULT_OK);
	assert_int_equal(told->count, 0);

	int64_t start_us = clock_monotonic_us();

	kafka_sink_free(sink);
	assert_true(clock_monotonic_us() - start_us < 4 * SECOND_US);
	assert_int_equal(told->count, 0);
	free(told);
}

static void a_fatal_error_tells_the_rest_and_begins_anew(void **state)
{
	struct names n = make_topics(1);
	struct kafka_settings settings = settings_of(&n);
	struct kafka_sink *sink = open_sink(&settings);
	struct told *told = calloc(1, sizeof(*told));
	struct error err = {0};
	const int count = 1000;

	(void)state;
	for (int i = 0; i < count; i++)
		publish(sink, "key", (uint64_t)i);
	kafka_sink_break(sink);
	assert_int_equal(
		sink_ops->publish(sink, BYTES_LITERAL("key"), BYTES_LITERAL("v"), 4999, &err),
		RESULT_BUSY);

	int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;
	enum result r = RESULT_OK;

	while (r == RESULT_OK && clock_monotonic_us() < deadline_us)
		r = sink_ops->serve(sink, 50, on_told, told, &err);
	assert_int_equal(r, RESULT_RETRY);
	assert_non_null(strstr(err.text, "anew"));
	assert_int_equal(told->count, count);
	for (int i = 0; i < count; i++)
		assert_int_equal(told->delivered[i] + told->undelivered[i], 1);

	/* RETRY came once; the new producer works. */
	publish(sink, "key", 4000);
	serve_until(sink, told, count + 1);
	assert_int_equal(told->delivered[4000], 1);
	kafka_sink_free(sink);
	free(told);
}

/* ---- main
 * ------------------------------------------------------------------------------------------------
 */

static int connect_helper(void **state)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char text[200];

	(void)state;
	brokers = getenv("TICKETPAY_TEST_BROKERS");
	if (!brokers || !*brokers) {
		fprintf(stderr, "TICKETPAY_TEST_BROKERS does not name a Kafka broker\n");
		return -1;
	}
	(void)rd_kafka_conf_set(conf, "bootstrap.servers", brokers, NULL, 0);
	(void)rd_kafka_conf_set(conf, "linger.ms", "0", NULL, 0);
	helper = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	return helper ? 0 : -1;
}

static int disconnect_helper(void **state)
{
	(void)state;
	if (helper)
		rd_kafka_destroy(helper);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_missing_topic_is_named_with_its_cure),
		cmocka_unit_test(brokers_that_do_not_answer_are_named_in_time),
		cmocka_unit_test(a_woken_waker_ends_questions_at_once),
		cmocka_unit_test(properties_are_checked_and_secrets_stay_unsaid),
		cmocka_unit_test(nothing_is_fetched_before_assign),
		cmocka_unit_test(a_record_arrives_byte_by_byte),
		cmocka_unit_test(long_headers_keep_their_lengths),
		cmocka_unit_test(seek_goes_exactly_there_again_and_again),
		cmocka_unit_test(a_pause_neither_skips_nor_repeats),
		cmocka_unit_test(assign_leaves_nothing_paused),
		cmocka_unit_test(a_position_out_of_range_is_said_and_mended_by_seek),
		cmocka_unit_test(transaction_markers_are_gaps_and_aborted_records_unseen),
		cmocka_unit_test(offsets_and_timestamps_are_the_servers),
		cmocka_unit_test(commits_are_answered_and_seen_without_joining),
		cmocka_unit_test(members_share_and_the_leavers_part_comes_back),
		cmocka_unit_test(a_static_member_comes_back_without_a_rebalance),
		cmocka_unit_test(the_second_of_one_name_drives_the_first_out),
		cmocka_unit_test(who_does_not_poll_loses_the_partitions),
		cmocka_unit_test(new_partitions_are_found),
		cmocka_unit_test(close_with_a_record_in_hand_is_quick),
		cmocka_unit_test(an_outage_is_said_again_and_again_until_it_is_over),
		cmocka_unit_test(a_refused_commit_is_told_and_made_again_at_revoke),
		cmocka_unit_test(every_mark_is_told_once),
		cmocka_unit_test(outcomes_go_to_the_partition_that_java_chooses),
		cmocka_unit_test(a_full_queue_is_busy_and_close_is_bounded),
		cmocka_unit_test(a_fatal_error_tells_the_rest_and_begins_anew),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, connect_helper, disconnect_helper);
}
