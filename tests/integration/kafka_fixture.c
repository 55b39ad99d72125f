/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

static const struct source_ops *const ops = &kafka_source_ops;
static int case_number;
struct kafka_fixture kafka;

/* Wait for the answer to an admin request, of which every part must succeed. */
static void admin_done(rd_kafka_queue_t *queue)
{
	rd_kafka_event_t *e = rd_kafka_queue_poll(queue, 20000);

	assert_non_null(e);
	if (rd_kafka_event_error(e))
		fail_msg("admin request: %s", rd_kafka_event_error_string(e));
	rd_kafka_event_destroy(e);
	rd_kafka_queue_destroy(queue);
}

void create_topic(const char *name, int partitions)
{
	char text[200];
	rd_kafka_queue_t *queue = rd_kafka_queue_new(kafka.helper);
	rd_kafka_AdminOptions_t *o =
		rd_kafka_AdminOptions_new(kafka.helper, RD_KAFKA_ADMIN_OP_CREATETOPICS);
	rd_kafka_NewTopic_t *t = rd_kafka_NewTopic_new(name, partitions, 1, text, sizeof(text));

	(void)rd_kafka_AdminOptions_set_operation_timeout(o, 15000, NULL, 0);
	rd_kafka_CreateTopics(kafka.helper, &t, 1, o, queue);
	admin_done(queue);
	rd_kafka_NewTopic_destroy(t);
	rd_kafka_AdminOptions_destroy(o);
}

void grow_topic(const char *name, size_t partitions)
{
	char text[200];
	rd_kafka_queue_t *queue = rd_kafka_queue_new(kafka.helper);
	rd_kafka_NewPartitions_t *p =
		rd_kafka_NewPartitions_new(name, partitions, text, sizeof(text));

	rd_kafka_CreatePartitions(kafka.helper, &p, 1, NULL, queue);
	admin_done(queue);
	rd_kafka_NewPartitions_destroy(p);
}

void delete_records_before(const char *topic, int32_t partition, int64_t offset)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(kafka.helper);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;

	rd_kafka_DeleteRecords_t *d = rd_kafka_DeleteRecords_new(list);

	rd_kafka_DeleteRecords(kafka.helper, &d, 1, NULL, queue);
	admin_done(queue);
	rd_kafka_DeleteRecords_destroy(d);
	rd_kafka_topic_partition_list_destroy(list);
}

void make_names(struct names *ret)
{
	case_number++;
	snprintf(ret->topic, sizeof(ret->topic), "in-%ld-%d", (long)getpid(), case_number);
	snprintf(ret->outcomes, sizeof(ret->outcomes), "out-%ld-%d", (long)getpid(), case_number);
	snprintf(ret->group, sizeof(ret->group), "group-%ld-%d", (long)getpid(), case_number);
}

struct names make_topics(int partitions)
{
	struct names n;

	make_names(&n);
	create_topic(n.topic, partitions);
	create_topic(n.outcomes, 7);
	return n;
}

void produce_to(rd_kafka_t *rk, const char *topic, int32_t partition, int first, int count)
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

void await_partitions(const char *topic, int partitions)
{
	int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;
	rd_kafka_topic_t *handle = rd_kafka_topic_new(kafka.helper, topic, NULL);
	int known = 0;

	while (known != partitions && clock_monotonic_us() < deadline_us) {
		const struct rd_kafka_metadata *m = NULL;

		if (rd_kafka_metadata(kafka.helper, 0, handle, &m, 5000))
			continue;
		known = m->topics[0].partition_cnt;
		rd_kafka_metadata_destroy(m);
	}
	rd_kafka_topic_destroy(handle);
	assert_int_equal(known, partitions);
}

void produce(const char *topic, int32_t partition, int first, int count)
{
	produce_to(kafka.helper, topic, partition, first, count);
}

static void count_line(void *self, const struct log_entry *e)
{
	(void)self;
	(void)e;
	kafka.lines++;
}

static const struct log_ops count_lines = {.write = count_line};

struct kafka_settings settings_of(const struct names *n)
{
	return (struct kafka_settings){
		.brokers = kafka.brokers,
		.topic = n->topic,
		.group = n->group,
		.outcome_topic = n->outcomes,
		.instance = "",
		.properties_file = "",
		.log = {.ops = &count_lines},
	};
}

struct kafka_source *open_source(const struct kafka_settings *s)
{
	struct kafka_source *source = NULL;
	struct error err = {0};

	if (kafka_source_open(s, &source, &err) != RESULT_OK)
		fail_msg("open: %s", err.text);
	return source;
}

struct kafka_source *join(const struct kafka_settings *s)
{
	struct kafka_source *source = open_source(s);
	struct error err = {0};

	assert_int_equal(ops->subscribe(source, &err), RESULT_OK);
	return source;
}

struct source_event poll_once(struct kafka_source *s, int wait_ms, struct error *err)
{
	struct source_event e;

	if (ops->poll(s, wait_ms, &e, err) != RESULT_OK)
		fail_msg("poll: %s", err->text);
	return e;
}

struct source_event expect(struct kafka_source *s, enum source_event_kind kind)
{
	int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;

	kafka.expected_err = (struct error){0};
	while (clock_monotonic_us() < deadline_us) {
		struct source_event e = poll_once(s, 50, &kafka.expected_err);

		if (e.kind == kind)
			return e;
		if (e.kind != SOURCE_NOTHING)
			fail_msg("event %d instead of %d: %s", e.kind, kind,
				kafka.expected_err.text);
	}
	fail_msg("event %d did not come", kind);
	return (struct source_event){0};
}

void expect_assigned(struct kafka_source *s, size_t count)
{
	struct source_event e = expect(s, SOURCE_ASSIGNED);

	assert_int_equal(e.partition_count, count);
	for (size_t i = 1; i < count; i++)
		assert_true(e.partitions[i - 1] < e.partitions[i]);
	for (size_t i = 0; i < count; i++)
		assert_true(ops->owns(s, e.partitions[i]));
}

void assign_at(struct kafka_source *s, int32_t partition, int64_t offset)
{
	struct position p = {.partition = partition, .offset = offset};
	struct error err = {0};

	if (ops->assign(s, &p, 1, &err) != RESULT_OK)
		fail_msg("assign: %s", err.text);
}

void expect_record(struct kafka_source *s, int32_t partition, int64_t offset)
{
	struct source_event e = expect(s, SOURCE_RECORD);
	char value[32];
	int n = snprintf(value, sizeof(value), "value-%d", (int)offset);

	assert_int_equal(e.record.partition, partition);
	assert_int_equal(e.record.offset, offset);
	assert_int_equal(e.record.value.length, n);
	assert_memory_equal(e.record.value.data, value, (size_t)n);
}

struct kafka_source *fetching(struct names *n, int count, int64_t offset)
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

struct source_offsets offsets_of(struct kafka_source *s, int32_t partition)
{
	struct source_offsets o = {0};
	struct error err = {0};

	if (ops->offsets(s, partition, &o, &err) != RESULT_OK)
		fail_msg("offsets: %s", err.text);
	assert_int_equal(o.partition, partition);
	return o;
}

int kafka_fixture_setup(void **state)
{
	char text[200];

	(void)state;
	kafka.brokers = getenv("TICKETPAY_TEST_BROKERS");
	if (!kafka.brokers || !*kafka.brokers) {
		fprintf(stderr, "TICKETPAY_TEST_BROKERS does not name a Kafka broker\n");
		return -1;
	}

	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	(void)rd_kafka_conf_set(conf, "bootstrap.servers", kafka.brokers, NULL, 0);
	(void)rd_kafka_conf_set(conf, "linger.ms", "0", NULL, 0);
	kafka.helper = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	return kafka.helper ? 0 : -1;
}

int kafka_fixture_teardown(void **state)
{
	(void)state;
	if (kafka.helper)
		rd_kafka_destroy(kafka.helper);
	return 0;
}
