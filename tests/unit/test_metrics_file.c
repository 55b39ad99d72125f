/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/metrics_file.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

static char directory[] = "/tmp/test_metrics_file.XXXXXX", path[64], temporary[80];

static char *read_file(const char *name)
{
	FILE *f = fopen(name, "r");
	char *text = calloc(1, 1 << 20);

	assert_non_null(f);
	assert_non_null(text);
	assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
	fclose(f);
	return text;
}

/* ---- a strict reader of text format 0.0.4 ---------------------------------------------------- */

enum { FAMILIES_MAX = 64, SAMPLES_MAX = 4096 };

struct reader {
	char family[FAMILIES_MAX][80];
	size_t families;
	bool counter, sampled;     /* of the last family */
	char *series[SAMPLES_MAX]; /* name and labels */
	char value[SAMPLES_MAX][32];
	size_t samples;
};

static size_t span_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXYZ:0123456789");

	assert_true(n > 0 && !(s[0] >= '0' && s[0] <= '9'));
	return n;
}

/* {a="b",c="d"}: returns its length; our values need no escapes. */
static size_t span_labels(const char *s)
{
	const char *at = s;

	if (*at != '{')
		return 0;
	do {
		at++;
		at += span_name(at);
		assert_memory_equal(at, "=\"", 2);
		at += 2;
		at += strspn(at, "abcdefghijklmnopqrstuvwxyz_0123456789");
		assert_int_equal(*at++, '"');
	} while (*at == ',');
	assert_int_equal(*at++, '}');
	return (size_t)(at - s);
}

static void read_help(struct reader *r, const char *line, const char *next)
{
	size_t n = span_name(line + 7);
	char expected[100];

	assert_true(r->families < FAMILIES_MAX);
	assert_true(r->families == 0 || r->sampled); /* no family without a sample */
	snprintf(r->family[r->families], sizeof(r->family[0]), "%.*s", (int)n, line + 7);
	assert_int_equal(line[7 + n], ' ');
	assert_true(strlen(line + 8 + n) > 5);
	assert_null(strchr(line, '\\'));
	for (size_t i = 0; i < r->families; i++)
		assert_string_not_equal(r->family[i], r->family[r->families]);

	/* TYPE follows at once. */
	assert_non_null(next);
	snprintf(expected, sizeof(expected), "# TYPE %s ", r->family[r->families]);
	assert_memory_equal(next, expected, strlen(expected));
	next += strlen(expected);
	r->counter = !strcmp(next, "counter");
	assert_true(r->counter || !strcmp(next, "gauge"));

	size_t length = strlen(r->family[r->families]);
	bool total = length > 6 && !strcmp(r->family[r->families] + length - 6, "_total");

	assert_int_equal(r->counter, total);
	assert_memory_equal(r->family[r->families], "ticketpayd_", 11);
	r->families++;
	r->sampled = false;
}

static void read_sample(struct reader *r, char *line)
{
	size_t n = span_name(line), labels = span_labels(line + n);
	char *value = line + n + labels, *end;

	/* It belongs to the family above it. */
	assert_true(r->families > 0);
	assert_int_equal(strlen(r->family[r->families - 1]), n);
	assert_memory_equal(line, r->family[r->families - 1], n);

	assert_int_equal(*value, ' ');
	*value++ = '\0';
	assert_true(strtod(value, &end) >= 0);
	assert_true(end > value && *end == '\0');
	assert_int_equal(strspn(value, "0123456789."), strlen(value));

	assert_true(r->samples < SAMPLES_MAX);
	for (size_t i = 0; i < r->samples; i++)
		assert_string_not_equal(r->series[i], line); /* a series once */
	r->series[r->samples] = line;
	snprintf(r->value[r->samples++], sizeof(r->value[0]), "%s", value);
	r->sampled = true;
}

/* text: cut up, referred to by `r` */
static void read_metrics(struct reader *r, char *text)
{
	size_t length = strlen(text);
	bool typed = false;

	*r = (struct reader){0};
	assert_true(length > 0 && text[length - 1] == '\n');
	text[length - 1] = '\0';
	for (char *line = text, *next; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (typed) {
			typed = false;
		} else if (!strncmp(line, "# HELP ", 7)) {
			char *type = next ? strndup(next, strcspn(next, "\n")) : NULL;

			read_help(r, line, type);
			free(type);
			typed = true;
		} else {
			read_sample(r, line);
		}
	}
	assert_true(r->sampled);
}

static const char *value_of(const struct reader *r, const char *series)
{
	for (size_t i = 0; i < r->samples; i++) {
		if (!strcmp(r->series[i], series))
			return r->value[i];
	}
	return "none";
}

/* ---- cases ----------------------------------------------------------------------------------- */

static struct worker_snapshot *two_workers(void)
{
	struct worker_snapshot *w = calloc(2, sizeof(*w));

	assert_non_null(w);
	w[0].decided = 10;
	w[1].decided = 5;
	w[0].lock_fallbacks = 2;
	w[1].lock_fallback = true;
	w[0].joined = true;
	w[0].wait = WAIT_DATABASE;
	w[0].batch_us = 4100;
	w[1].batch_us = 12000001;
	w[1].batch_records = 1000;
	w[0].task_count = 2;
	w[0].tasks[0] = (struct partition_snapshot){.partition = 0,
		.consuming = true,
		.next_offset = 90,
		.published_offset = 80,
		.high = 100,
		.last_record_at_ms = 1005};
	w[0].tasks[1] = (struct partition_snapshot){.partition = 1,
		.stopped = true,
		.reason = "a \"reason\"\n",
		.next_offset = 7,
		.published_offset = -1,
		.high = -1,
		.last_record_at_ms = -1};
	w[1].task_count = 1;
	w[1].tasks[0] = (struct partition_snapshot){.partition = 2,
		.consuming = true,
		.next_offset = 12,
		.published_offset = 12,
		.high = 10,
		.last_record_at_ms = 0};
	return w;
}

static void write_and_read(struct worker_snapshot *w, size_t count, struct reader *r, char **text)
{
	struct error err = {0};

	assert_int_equal(metrics_file_write(path, w, count, &err), RESULT_OK);
	*text = read_file(path);
	read_metrics(r, *text);
}

static void format_is_strict_and_numbers_are_right(void **state)
{
	static const char *const expected[][2] = {
		{"ticketpayd_records_decided_total", "15"},
		{"ticketpayd_lock_fallbacks_total", "2"},
		{"ticketpayd_fenced_total", "0"},
		{"ticketpayd_lag{partition=\"0\"}", "10"},
		{"ticketpayd_lag{partition=\"1\"}", "none"},
		{"ticketpayd_lag{partition=\"2\"}", "0"}, /* an old watermark is no negative lag */
		{"ticketpayd_next_offset{partition=\"1\"}", "7"},
		{"ticketpayd_published_offset{partition=\"0\"}", "80"},
		{"ticketpayd_published_offset{partition=\"1\"}", "none"},
		{"ticketpayd_high_watermark{partition=\"0\"}", "100"},
		{"ticketpayd_partition_consuming{partition=\"0\"}", "1"},
		{"ticketpayd_partition_consuming{partition=\"1\"}", "0"},
		{"ticketpayd_partition_stopped{partition=\"1\"}", "1"},
		{"ticketpayd_last_record_timestamp_seconds{partition=\"0\"}", "1.005"},
		{"ticketpayd_last_record_timestamp_seconds{partition=\"1\"}", "none"},
		{"ticketpayd_worker_batch_seconds{worker=\"0\"}", "0.004100"},
		{"ticketpayd_worker_batch_seconds{worker=\"1\"}", "12.000001"},
		{"ticketpayd_worker_batch_records{worker=\"1\"}", "1000"},
		{"ticketpayd_worker_lock_fallback{worker=\"1\"}", "1"},
		{"ticketpayd_worker_joined{worker=\"0\"}", "1"},
		{"ticketpayd_worker_waiting{worker=\"0\",cause=\"database\"}", "1"},
		{"ticketpayd_worker_waiting{worker=\"0\",cause=\"redis\"}", "0"},
		{"ticketpayd_worker_waiting{worker=\"1\",cause=\"database\"}", "0"},
	};
	struct worker_snapshot *w = two_workers();
	struct reader r;
	char *text;

	(void)state;
	write_and_read(w, 2, &r, &text);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		const char *v = value_of(&r, expected[i][0]);

		if (strcmp(v, expected[i][1]))
			fail_msg("%s is %s, not %s", expected[i][0], v, expected[i][1]);
	}
	free(text);
	free(w);
}

static void partition_between_two_workers_is_told_once(void **state)
{
	struct worker_snapshot *w = two_workers();
	struct reader r;
	char *text;

	(void)state;
	w[1].tasks[0].partition = 1; /* read_metrics() fails on a series told twice */
	write_and_read(w, 2, &r, &text);
	assert_string_equal(value_of(&r, "ticketpayd_next_offset{partition=\"1\"}"), "12");
	assert_string_equal(value_of(&r, "ticketpayd_partition_stopped{partition=\"1\"}"), "0");
	free(text);
	free(w);
}

static void nothing_to_tell_is_still_a_valid_file(void **state)
{
	struct worker_snapshot *w = calloc(1, sizeof(*w));
	struct reader r;
	char *text;

	(void)state;
	write_and_read(w, 1, &r, &text);
	free(text);
	write_and_read(NULL, 0, &r, &text);
	assert_string_equal(value_of(&r, "ticketpayd_records_decided_total"), "0");
	free(text);
	free(w);
}

static void every_partition_of_every_worker_fits(void **state)
{
	struct worker_snapshot *w = calloc(3, sizeof(*w));
	struct reader *r = calloc(1, sizeof(*r));
	char *text;

	(void)state;
	for (int32_t i = 0; i < 3; i++) {
		w[i].task_count = SNAPSHOT_PARTITIONS_MAX;
		for (int32_t t = 0; t < SNAPSHOT_PARTITIONS_MAX; t++)
			w[i].tasks[t].partition = i * SNAPSHOT_PARTITIONS_MAX + t;
	}
	write_and_read(w, 3, r, &text);
	assert_string_equal(value_of(r, "ticketpayd_lag{partition=\"191\"}"), "0");
	free(text);
	free(r);
	free(w);
}

static void file_is_replaced_whole_and_readable_by_all(void **state)
{
	struct worker_snapshot *w = two_workers();
	struct stat before, after;

	(void)state;
	/* What a killed run has left. */
	FILE *f = fopen(temporary, "w");

	assert_non_null(f);
	fclose(f);

	assert_int_equal(metrics_file_write(path, w, 2, NULL), RESULT_OK);
	assert_int_equal(stat(path, &before), 0);

	FILE *reader = fopen(path, "r"); /* keeps the inode from being used again */

	assert_int_equal(metrics_file_write(path, w, 2, NULL), RESULT_OK);
	assert_int_equal(stat(path, &after), 0);
	assert_true(before.st_ino != after.st_ino);
	assert_int_equal(after.st_mode & 0777, 0644);
	assert_int_equal(access(temporary, F_OK), -1);
	fclose(reader);
	free(w);
}

static void failure_keeps_the_old_file(void **state)
{
	struct worker_snapshot *w = two_workers();
	struct error err = {0};
	char absent[96];

	(void)state;
	snprintf(absent, sizeof(absent), "%s/absent/x.prom", directory);
	assert_int_equal(metrics_file_write(absent, w, 2, &err), RESULT_RETRY);
	assert_int_equal(err.code, ENOENT);
	assert_non_null(strstr(err.text, absent));

	/* A directory in the way of the temporary file. */
	assert_int_equal(metrics_file_write(path, w, 2, NULL), RESULT_OK);
	assert_int_equal(mkdir(temporary, 0700), 0);
	w[0].decided++;
	assert_int_equal(metrics_file_write(path, w, 2, &err), RESULT_RETRY);
	assert_int_equal(rmdir(temporary), 0);

	char *text = read_file(path);

	assert_non_null(strstr(text, "ticketpayd_records_decided_total 15\n"));
	free(text);
	free(w);
}

static int make_directory(void **state)
{
	(void)state;
	umask(022);
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/ticketpayd.prom", directory);
	snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(format_is_strict_and_numbers_are_right),
		cmocka_unit_test(partition_between_two_workers_is_told_once),
		cmocka_unit_test(nothing_to_tell_is_still_a_valid_file),
		cmocka_unit_test(every_partition_of_every_worker_fits),
		cmocka_unit_test(file_is_replaced_whole_and_readable_by_all),
		cmocka_unit_test(failure_keeps_the_old_file),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
