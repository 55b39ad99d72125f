/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/kafka_sink.h"

/* Outcomes: what is told of each, and where they go. */

static const struct source_ops *const ops = &kafka_source_ops;
static const struct sink_ops *const sink_ops = &kafka_sink_ops;

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

	struct sink_message m = {.key = k, .value = v};
	struct sink_taken taken;

	if (sink_ops->publish(sink, &m, 1, mark, &taken, &err) != RESULT_OK)
		fail_msg("publish: %s", err.text);
	assert_int_equal(taken.count, 1);
	assert_int_equal(taken.next, 1);
}

static void assert_busy(struct kafka_sink *sink)
{
	const struct sink_message m = {.key = BYTES_LITERAL("key"), .value = BYTES_LITERAL("v")};
	struct sink_taken taken;
	struct error err = {0};

	assert_int_equal(sink_ops->publish(sink, &m, 1, 4999, &taken, &err), RESULT_BUSY);
	assert_int_equal(taken.count, 0);
	assert_int_equal(taken.next, 0);
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
	assert_busy(sink);
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

static void of_many_the_first_are_taken_when_the_queue_fills_up(void **state)
{
	enum { COUNT = 600, ROOM = 300 };
	char property[] = "queue.buffering.max.messages=300", *list[] = {property};
	struct names n = make_topics(1);
	struct kafka_settings settings = settings_of(&n);
	struct sink_message many[COUNT];
	struct sink_taken taken;
	struct told *told = calloc(1, sizeof(*told));
	struct error err = {0};

	(void)state;
	for (int i = 0; i < COUNT; i++)
		many[i] = (struct sink_message){
			.key = BYTES_LITERAL("key"), .value = BYTES_LITERAL("v")};
	settings.properties = (struct config_list){.items = list, .count = 1};

	struct kafka_sink *sink = open_sink(&settings);

	assert_int_equal(sink_ops->publish(sink, many, COUNT, 7, &taken, &err), RESULT_BUSY);
	assert_int_equal(taken.count, ROOM);
	assert_int_equal(taken.next, ROOM);
	serve_until(sink, told, ROOM);
	assert_int_equal(sink_ops->publish(sink, many + ROOM, ROOM, 7, &taken, &err), RESULT_OK);
	assert_int_equal(taken.count, ROOM);
	serve_until(sink, told, COUNT);
	kafka_sink_free(sink);
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
	assert_busy(sink);

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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mark_is_told_once),
		cmocka_unit_test(outcomes_go_to_the_partition_that_java_chooses),
		cmocka_unit_test(a_full_queue_is_busy_and_close_is_bounded),
		cmocka_unit_test(of_many_the_first_are_taken_when_the_queue_fills_up),
		cmocka_unit_test(a_fatal_error_tells_the_rest_and_begins_anew),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, kafka_fixture_setup, kafka_fixture_teardown);
}
