/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/status.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

enum { WORKERS = 3, NOW_US = 100000000 };
#define NOW_MS INT64_C(1700000000000)

static struct worker_snapshot workers[WORKERS];
static struct status_input in;

/* Three workers with a partition each, nothing to do. */
static int idle(void **state)
{
	(void)state;
	memset(workers, 0, sizeof(workers));
	for (int i = 0; i < WORKERS; i++) {
		workers[i].partition_count = WORKERS;
		workers[i].task_count = 1;
		workers[i].tasks[0] = (struct partition_snapshot){.partition = i,
			.state = "filling",
			.consuming = true,
			.next_offset = 50,
			.published_offset = 50,
			.high = 50,
			.last_record_at_ms = NOW_MS - 5000};
	}
	in = (struct status_input){.workers = workers,
		.worker_count = WORKERS,
		.ready = true,
		.now_us = NOW_US,
		.now_ms = NOW_MS};
	return 0;
}

static void stop_partition(int i, const char *reason)
{
	workers[i].tasks[0].stopped = true;
	workers[i].tasks[0].consuming = false;
	snprintf(workers[i].tasks[0].reason, sizeof(workers[i].tasks[0].reason), "%s", reason);
}

static void wait_for(int i, enum wait_cause cause, int64_t since_us, const char *text)
{
	workers[i].wait = cause;
	workers[i].wait_since_us = since_us;
	snprintf(workers[i].wait_text, sizeof(workers[i].wait_text), "%s", text);
}

static const char *line(void)
{
	static char text[STATUS_MAX_BYTES];

	memset(text, 'x', sizeof(text));
	status_format(&in, text);
	assert_non_null(memchr(text, '\0', sizeof(text)));
	return text;
}

static void the_line_of_the_design(void **state)
{
	(void)state;
	workers[0].tasks[0].high = 50 + 1204;
	workers[0].tasks[0].last_record_at_ms = NOW_MS - 400;
	workers[1].batch_records = 1000;
	workers[1].batch_us = 4100;
	workers[2].refused = 2;
	workers[2].conflicts = 1;
	in.per_second = 18200;
	assert_string_equal(line(), "consuming 3/3 partitions, lag 1204 (0.4 s), 18.2k/s, "
				    "batch 1000 in 4.1 ms, 3 dead letters");
}

static void one_dead_letter_is_one(void **state)
{
	(void)state;
	workers[0].conflicts = 1;
	assert_string_equal(line(), "consuming 3/3 partitions, lag 0, 0/s, 1 dead letter");
}

static void idle_says_no_lag_and_no_seconds(void **state)
{
	(void)state;
	assert_string_equal(line(), "consuming 3/3 partitions, lag 0, 0/s");
}

static void an_unknown_lag_is_not_said(void **state)
{
	(void)state;
	for (int i = 0; i < WORKERS; i++)
		workers[i].tasks[0].high = -1;
	assert_string_equal(line(), "consuming 3/3 partitions, 0/s");
	workers[0].tasks[0].high = 60;
	workers[0].tasks[0].next_offset = -1;
	assert_string_equal(line(), "consuming 3/3 partitions, 0/s");
}

static void seconds_of_lag_need_a_timestamp_in_the_past(void **state)
{
	(void)state;
	workers[0].tasks[0].high = 60;
	workers[0].tasks[0].last_record_at_ms = -1;
	assert_string_equal(line(), "consuming 3/3 partitions, lag 10, 0/s");
	workers[0].tasks[0].last_record_at_ms = NOW_MS + 1000; /* clocks differ */
	assert_string_equal(line(), "consuming 3/3 partitions, lag 10, 0/s");
}

static void the_oldest_lagging_record_gives_the_seconds(void **state)
{
	(void)state;
	workers[0].tasks[0].high = 51;
	workers[0].tasks[0].last_record_at_ms = NOW_MS - 1000;
	workers[1].tasks[0].high = 52;
	workers[1].tasks[0].last_record_at_ms = NOW_MS - 3000;
	workers[2].tasks[0].last_record_at_ms = NOW_MS - 900000; /* does not lag */
	assert_string_equal(line(), "consuming 3/3 partitions, lag 3 (3.0 s), 0/s");
}

static void rates_are_short(void **state)
{
	(void)state;
	in.per_second = 999.4;
	assert_string_equal(line(), "consuming 3/3 partitions, lag 0, 999/s");
	in.per_second = 1000;
	assert_string_equal(line(), "consuming 3/3 partitions, lag 0, 1.0k/s");
	in.per_second = 999949;
	assert_string_equal(line(), "consuming 3/3 partitions, lag 0, 999.9k/s");
	in.per_second = 1250000;
	assert_string_equal(line(), "consuming 3/3 partitions, lag 0, 1.2M/s");
}

static void a_stopped_partition_comes_first_with_its_cure(void **state)
{
	(void)state;
	stop_partition(1, "the topic was recreated; ticketpayctl progress seek --partition 1");
	assert_string_equal(line(),
		"partition 1 stopped: the topic was recreated; ticketpayctl progress seek "
		"--partition 1; consuming 2/3 partitions, lag 0, 0/s");
}

static void waiting_names_the_server_its_words_and_how_long(void **state)
{
	(void)state;
	workers[0].tasks[0].consuming = false;
	wait_for(0, WAIT_DATABASE, NOW_US - 12000000, "connection refused");
	assert_string_equal(line(), "waiting for PostgreSQL since 12 s: connection refused; "
				    "consuming 2/3 partitions, lag 0, 0/s");
	in.ready = false;
	assert_string_equal(line(), "waiting for PostgreSQL since 12 s: connection refused");
}

static void each_cause_has_its_words(void **state)
{
	static const struct {
		enum wait_cause cause;
		const char *words;
	} causes[] = {
		{WAIT_LOCK, "the lock of a ticket type"},
		{WAIT_ROW_LOCK, "rows that PostgreSQL keeps locked"},
		{WAIT_REDIS, "Redis"},
		{WAIT_KAFKA, "Kafka"},
		{WAIT_DELIVERY, "Kafka to take the outcomes"},
		{WAIT_DATABASE, "PostgreSQL"},
		{WAIT_ENVIRONMENT, "a person to put PostgreSQL right"},
	};

	(void)state;
	in.ready = false;
	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
		char expected[200];

		wait_for(0, causes[i].cause, NOW_US, "why");
		snprintf(expected, sizeof(expected), "waiting for %s since 0 s: why",
			causes[i].words);
		assert_string_equal(line(), expected);
	}
}

static void the_gravest_cause_of_all_workers_is_said(void **state)
{
	(void)state;
	in.ready = false;
	wait_for(0, WAIT_LOCK, NOW_US - 3000000, "a");
	wait_for(1, WAIT_ENVIRONMENT, NOW_US - 2000000, "b");
	wait_for(2, WAIT_KAFKA, NOW_US - 1000000, "c");
	assert_string_equal(line(), "waiting for a person to put PostgreSQL right since 2 s: b");
}

static void of_one_cause_the_first_worker_is_said(void **state)
{
	(void)state;
	in.ready = false;
	wait_for(1, WAIT_KAFKA, NOW_US - 2000000, "b");
	wait_for(2, WAIT_KAFKA, NOW_US - 1000000, "c");
	assert_string_equal(line(), "waiting for Kafka since 2 s: b");
}

static void working_without_redis_is_said(void **state)
{
	(void)state;
	workers[2].lock_fallback = true;
	assert_string_equal(line(), "consuming 3/3 partitions, lag 0, 0/s, without the Redis lock");
}

static void with_more_members_than_partitions_we_stand_by(void **state)
{
	(void)state;
	for (int i = 0; i < WORKERS; i++)
		workers[i].task_count = 0;
	assert_string_equal(line(), "standing by: other members of the group have all partitions");
}

static void before_ready_it_is_starting(void **state)
{
	(void)state;
	for (int i = 0; i < WORKERS; i++)
		workers[i].task_count = 0;
	in.ready = false;
	assert_string_equal(line(), "starting: joining the consumer group");
}

static void a_stop_before_ready_ends_without_a_semicolon(void **state)
{
	(void)state;
	in.ready = false;
	stop_partition(0, "why");
	assert_string_equal(line(), "partition 0 stopped: why");
}

static void stopping_says_nothing_else(void **state)
{
	(void)state;
	in.stopping = true;
	stop_partition(0, "why");
	assert_string_equal(
		line(), "stopping: finishing what is in a transaction, waiting for deliveries");
}

static void totals_of_all_workers_are_exact(void **state)
{
	char text[STATUS_TOTALS_BYTES];

	(void)state;
	for (int i = 0; i < WORKERS; i++) {
		workers[i].decided = 1111 * (i + 1);
		workers[i].fresh = 1000 * (i + 1);
		workers[i].duplicates = 100 * (i + 1);
		workers[i].conflicts = 10 * (i + 1);
		workers[i].refused = i + 1;
	}
	status_totals(workers, WORKERS, text);
	assert_string_equal(text, "6666 records decided: 6000 payments, 600 duplicates, "
				  "60 conflicts, 6 refused");
	for (int i = 0; i < WORKERS; i++) {
		workers[i].decided = workers[i].fresh = INT64_MAX / WORKERS;
		workers[i].duplicates = workers[i].conflicts = INT64_MAX / WORKERS;
		workers[i].refused = INT64_MAX / WORKERS;
	}
	status_totals(workers, WORKERS, text);
	assert_string_equal(strrchr(text, ' '), " refused"); /* the longest fits */
}

static void a_long_line_is_cut_not_overrun(void **state)
{
	char reason[240];

	(void)state;
	memset(reason, 'r', sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	workers[0].task_count = 20;
	for (int k = 0; k < 20; k++) {
		workers[0].tasks[k] = workers[0].tasks[0];
		workers[0].tasks[k].partition = k;
		workers[0].tasks[k].stopped = true;
		memcpy(workers[0].tasks[k].reason, reason, sizeof(reason));
	}
	assert_int_equal(strlen(line()), STATUS_MAX_BYTES - 1);
	in.ready = false;
	assert_true(strlen(line()) < STATUS_MAX_BYTES);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup(f, idle)
	const struct CMUnitTest tests[] = {
		CASE(the_line_of_the_design),
		CASE(one_dead_letter_is_one),
		CASE(idle_says_no_lag_and_no_seconds),
		CASE(an_unknown_lag_is_not_said),
		CASE(seconds_of_lag_need_a_timestamp_in_the_past),
		CASE(the_oldest_lagging_record_gives_the_seconds),
		CASE(rates_are_short),
		CASE(a_stopped_partition_comes_first_with_its_cure),
		CASE(waiting_names_the_server_its_words_and_how_long),
		CASE(each_cause_has_its_words),
		CASE(the_gravest_cause_of_all_workers_is_said),
		CASE(of_one_cause_the_first_worker_is_said),
		CASE(working_without_redis_is_said),
		CASE(with_more_members_than_partitions_we_stand_by),
		CASE(before_ready_it_is_starting),
		CASE(a_stop_before_ready_ends_without_a_semicolon),
		CASE(stopping_says_nothing_else),
		CASE(totals_of_all_workers_are_exact),
		CASE(a_long_line_is_cut_not_overrun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
