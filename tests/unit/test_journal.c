/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/journal.h"
#include "io/journal_format.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

/* ---- a journald of our own: the program's symbol wins over libsystemd's ---------------------- */

static struct {
	pthread_mutex_t mutex;
	int entries;
	char last[JOURNAL_ENTRY_BYTES * 2]; /* fields, each with a newline */
} journald = {.mutex = PTHREAD_MUTEX_INITIALIZER};

int sd_journal_sendv(const struct iovec *iov, int n);
int sd_journal_sendv(const struct iovec *iov, int n)
{
	size_t at = 0;

	pthread_mutex_lock(&journald.mutex);
	journald.entries++;
	for (int i = 0; i < n; i++) {
		assert(at + iov[i].iov_len + 1 < sizeof(journald.last));
		memcpy(journald.last + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
		journald.last[at++] = '\n';
	}
	journald.last[at] = '\0';
	pthread_mutex_unlock(&journald.mutex);
	return 0;
}

/* ---- helpers --------------------------------------------------------------------------------- */

static struct log_entry full_entry(void)
{
	struct log_entry e = log_entry(LOG_LEVEL_WARNING, LOG_EVENT_HELD, "waiting for PostgreSQL");

	e.topic = "payment-completed";
	e.partition = 0;
	e.first_offset = 0;
	e.last_offset = 99;
	e.batch_id = 7;
	e.ticket_type = 9223372036854775807;
	e.order_id = "order-1";
	e.reason = "connection \"refused\" by host";
	e.attempt = 3;
	e.sqlstate = "57P01";
	e.duration_us = 0;
	return e;
}

static bool has_field(const char *fields, size_t bytes, const char *field)
{
	for (size_t at = 0; at < bytes; at += strlen(fields + at) + 1) {
		if (!strcmp(fields + at, field))
			return true;
	}
	return false;
}

static size_t count_fields(const char *fields, size_t bytes)
{
	size_t n = 0;

	assert_int_equal(fields[bytes - 1], '\0');
	for (size_t at = 0; at < bytes; at += strlen(fields + at) + 1)
		n++;
	return n;
}

static void pipe_open(int fds[2])
{
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
}

static struct journal *open_on(int fd, enum log_level level)
{
	struct journal_config config = {.identifier = "ticketpayd", .level = level, .fd = fd};
	struct journal *j = NULL;

	assert_int_equal(journal_open(&config, &j, NULL), RESULT_OK);
	return j;
}

static void say(struct journal *j, enum log_level level, const char *text)
{
	struct log_entry e = log_entry(level, LOG_EVENT_NONE, text);
	struct logger log = journal_logger(j);

	log.ops->write(log.self, &e);
}

/* All that is written until the other end closes. */
static char *read_all(int fd)
{
	size_t have = 0, size = 1 << 21;
	char *text = malloc(size);
	ssize_t n;

	assert_non_null(text);
	while ((n = read(fd, text + have, size - 1 - have)) > 0)
		have += (size_t)n;
	assert_int_equal(n, 0);
	text[have] = '\0';
	return text;
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

/* ---- format ---------------------------------------------------------------------------------- */

static void every_known_field_is_there(void **state)
{
	static const char *const expected[] = {
		"MESSAGE=waiting for PostgreSQL",
		"PRIORITY=4",
		"SYSLOG_IDENTIFIER=ticketpayd",
		"TICKETPAY_TOPIC=payment-completed",
		"TICKETPAY_PARTITION=0",
		"TICKETPAY_FIRST_OFFSET=0",
		"TICKETPAY_LAST_OFFSET=99",
		"TICKETPAY_BATCH_ID=7",
		"TICKETPAY_TICKET_TYPE=9223372036854775807",
		"TICKETPAY_ORDER_ID=order-1",
		"TICKETPAY_REASON=connection \"refused\" by host",
		"TICKETPAY_ATTEMPT=3",
		"TICKETPAY_SQLSTATE=57P01",
		"TICKETPAY_DURATION_US=0",
	};
	size_t count = sizeof(expected) / sizeof(expected[0]);
	char fields[JOURNAL_ENTRY_BYTES], id[64];
	struct log_entry e = full_entry();
	size_t bytes = journal_format_fields(&e, "ticketpayd", fields);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		if (!has_field(fields, bytes, expected[i]))
			fail_msg("no field %s", expected[i]);
	}
	snprintf(id, sizeof(id), "MESSAGE_ID=%s", journal_message_id(LOG_EVENT_HELD));
	assert_true(has_field(fields, bytes, id));
	assert_int_equal(count_fields(fields, bytes), count + 1);
}

static void unknown_fields_are_left_out(void **state)
{
	char fields[JOURNAL_ENTRY_BYTES];
	struct log_entry e = log_entry(LOG_LEVEL_INFO, LOG_EVENT_NONE, "hello");

	(void)state;
	e.sqlstate = "";
	size_t bytes = journal_format_fields(&e, "x", fields);

	assert_int_equal(count_fields(fields, bytes), 3);
	assert_true(has_field(fields, bytes, "MESSAGE=hello"));
	assert_true(has_field(fields, bytes, "PRIORITY=6"));
}

static void control_characters_cannot_forge_fields_or_lines(void **state)
{
	char out[JOURNAL_ENTRY_BYTES];
	struct log_entry e = log_entry(LOG_LEVEL_INFO, LOG_EVENT_NONE, "a\nPRIORITY=0\r\x7f");

	(void)state;
	e.reason = "b\n\tc";

	size_t bytes = journal_format_fields(&e, "x", out);

	assert_true(has_field(out, bytes, "MESSAGE=a PRIORITY=0  "));
	assert_true(has_field(out, bytes, "TICKETPAY_REASON=b  c"));
	bytes = journal_format_line(&e, 0, out);
	assert_ptr_equal(memchr(out, '\n', bytes), out + bytes - 1);
	assert_null(memchr(out, '\r', bytes));
}

static void line_is_for_people(void **state)
{
	static const char expected[] =
		"2001-09-09T01:46:40.007Z warning: waiting for PostgreSQL  topic=payment-completed "
		"partition=0 first_offset=0 last_offset=99 batch_id=7 "
		"ticket_type=9223372036854775807 order_id=order-1 "
		"reason=\"connection \"refused\" by host\" attempt=3 sqlstate=57P01 duration_us=0\n";
	static const char bare[] = "1970-01-01T00:00:00.000Z error: no\n";
	char out[JOURNAL_ENTRY_BYTES];
	struct log_entry e = full_entry();
	size_t bytes = journal_format_line(&e, 1000000000007, out);

	(void)state;
	out[bytes] = '\0';
	assert_string_equal(out, expected);

	e = log_entry(LOG_LEVEL_ERROR, LOG_EVENT_NONE, "no");
	bytes = journal_format_line(&e, 0, out);
	out[bytes] = '\0';
	assert_string_equal(out, bare);
}

static void long_values_are_cut_and_stay_whole_entries(void **state)
{
	char out[JOURNAL_ENTRY_BYTES], big[5000];
	struct log_entry e = full_entry();

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	e.text = e.topic = e.order_id = e.reason = e.sqlstate = big;

	size_t bytes = journal_format_fields(&e, big, out);

	assert_true(bytes <= sizeof(out));
	assert_int_equal(out[bytes - 1], '\0');
	bytes = journal_format_line(&e, 0, out);
	assert_true(bytes <= sizeof(out));
	assert_int_equal(out[bytes - 1], '\n');
}

static void each_event_has_a_message_id_of_its_own(void **state)
{
	(void)state;
	assert_null(journal_message_id(LOG_EVENT_NONE));
	for (int e = LOG_EVENT_NONE + 1; e < LOG_EVENT_COUNT; e++) {
		const char *id = journal_message_id(e);

		assert_non_null(id);
		assert_int_equal(strlen(id), 32);
		for (const char *c = id; *c; c++)
			assert_true(isdigit((unsigned char)*c) || (*c >= 'a' && *c <= 'f'));
		for (int other = LOG_EVENT_NONE + 1; other < e; other++)
			assert_string_not_equal(id, journal_message_id(other));
	}
}

/* ---- the catalog ----------------------------------------------------------------------------- */

static char *read_catalog(void)
{
	const char *source = getenv("srcdir");
	char path[4096];

	snprintf(path, sizeof(path), "%s/systemd/ticketpayd.catalog", source ? source : ".");

	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail_msg("cannot open %s", path);

	char *text = read_all(fd);

	close(fd);
	return text;
}

/* An entry from behind its id to the next one's, as a string of its own; NULL: there is none. */
static char *catalog_entry(const char *catalog, const char *id)
{
	char begin[48];

	snprintf(begin, sizeof(begin), "\n-- %s\n", id);

	const char *at = strstr(catalog, begin);

	if (!at)
		return NULL;
	at += strlen(begin);

	const char *end = strstr(at, "\n-- ");

	return end ? strndup(at, (size_t)(end - at)) : strdup(at);
}

static void each_event_is_explained_in_the_catalog(void **state)
{
	static const char *const heads[] = {
		"Subject: ", "Defined-By: ticketpayd\n", "Support: ", "Documentation: man:"};
	char *catalog = read_catalog();

	(void)state;
	for (int e = LOG_EVENT_NONE + 1; e < LOG_EVENT_COUNT; e++) {
		char *entry = catalog_entry(catalog, journal_message_id(e));

		if (!entry)
			fail_msg("no entry for event %d, %s", e, journal_message_id(e));

		char *body = strstr(entry, "\n\n");

		assert_non_null(body);
		assert_true(strlen(body) > 100); /* what happened, why, what to do */
		*body = '\0';
		for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
			char *head = strstr(entry, heads[i]);

			if (!head || (head > entry && head[-1] != '\n'))
				fail_msg("no \"%s\" for event %d, %s", heads[i], e,
					journal_message_id(e));
		}
		free(entry);
	}
	free(catalog);
}

static void the_catalog_explains_nothing_else(void **state)
{
	char *catalog = read_catalog();
	int entries = 0;

	(void)state;
	for (const char *at = catalog; (at = strstr(at, "\n-- ")); entries++) {
		bool known = false;

		at += strlen("\n-- ");
		for (int e = LOG_EVENT_NONE + 1; e < LOG_EVENT_COUNT; e++)
			known |= strncmp(at, journal_message_id(e), 32) == 0 && at[32] == '\n';
		if (!known)
			fail_msg("no event has the id %.32s", at);
	}
	assert_int_equal(entries, LOG_EVENT_COUNT - 1); /* each once */
	free(catalog);
}

/* What is substituted is a field that full_entry() knows. */
static void the_catalog_names_only_fields_that_exist(void **state)
{
	char *catalog = read_catalog(), fields[JOURNAL_ENTRY_BYTES];
	struct log_entry e = full_entry();
	size_t bytes = journal_format_fields(&e, "ticketpayd", fields);

	(void)state;
	for (char *at = catalog; (at = strchr(at, '@')); at++) {
		char *name = at + 1, *end = strchr(name, '@');
		size_t length = end ? (size_t)(end - name) : 0;
		bool known = false;

		for (size_t f = 0; end && f < bytes; f += strlen(fields + f) + 1)
			known |=
				strncmp(fields + f, name, length) == 0 && fields[f + length] == '=';
		if (!known)
			fail_msg("no field %.40s", at);
		at = end;
	}
	free(catalog);
}

/* ---- where it goes --------------------------------------------------------------------------- */

static void lines_go_to_the_descriptor_in_order(void **state)
{
	int fds[2];

	(void)state;
	pipe_open(fds);

	struct journal *j = open_on(fds[1], LOG_LEVEL_INFO);
	char text[32];

	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "line %d", i);
		say(j, LOG_LEVEL_INFO, text);
	}
	journal_close(j);
	close(fds[1]);

	char *all = read_all(fds[0]), *at = all;

	assert_int_equal(count_lines(all), 100);
	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), " info: line %d\n", i);
		at = strstr(at, text);
		assert_non_null(at);
	}
	free(all);
	close(fds[0]);
}

static void journal_gets_the_fields_when_the_stream_is_ours(void **state)
{
	char stream[64];
	struct stat st;
	int fds[2];

	(void)state;
	pipe_open(fds);
	assert_int_equal(fstat(fds[1], &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	journald.entries = 0;

	struct journal *j = open_on(fds[1], LOG_LEVEL_INFO);

	say(j, LOG_LEVEL_NOTICE, "to the journal");
	journal_close(j);
	assert_int_equal(journald.entries, 1);
	assert_non_null(strstr(journald.last, "MESSAGE=to the journal\n"));
	assert_non_null(strstr(journald.last, "PRIORITY=5\n"));

	/* Another inode: somebody has redirected us. */
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + 1);
	setenv("JOURNAL_STREAM", stream, 1);
	j = open_on(fds[1], LOG_LEVEL_INFO);
	say(j, LOG_LEVEL_NOTICE, "to the pipe");
	journal_close(j);
	assert_int_equal(journald.entries, 1);
	unsetenv("JOURNAL_STREAM");
	close(fds[1]);

	char *all = read_all(fds[0]);

	assert_null(strstr(all, "to the journal"));
	assert_non_null(strstr(all, "to the pipe"));
	free(all);
	close(fds[0]);
}

static void threshold_changes_while_running(void **state)
{
	int fds[2];

	(void)state;
	pipe_open(fds);

	struct journal *j = open_on(fds[1], LOG_LEVEL_INFO);

	say(j, LOG_LEVEL_DEBUG, "one");
	say(j, LOG_LEVEL_INFO, "two");
	journal_set_level(j, LOG_LEVEL_DEBUG);
	say(j, LOG_LEVEL_DEBUG, "three");
	journal_set_level(j, LOG_LEVEL_ERROR);
	say(j, LOG_LEVEL_WARNING, "four");
	say(j, LOG_LEVEL_ERROR, "five");
	journal_close(j);
	close(fds[1]);

	char *all = read_all(fds[0]);

	assert_int_equal(count_lines(all), 3);
	assert_non_null(strstr(all, "info: two\n"));
	assert_non_null(strstr(all, "debug: three\n"));
	assert_non_null(strstr(all, "error: five\n"));
	free(all);
	close(fds[0]);
}

/* ---- when nobody reads ----------------------------------------------------------------------- */

enum { FLOOD = 1000 }; /* the queue holds 256 */

/* A pipe that takes no byte more. */
static void full_pipe_open(int fds[2])
{
	static char dots[4096];

	pipe_open(fds);
	memset(dots, '.', sizeof(dots));
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	while (write(fds[1], dots, sizeof(dots)) > 0)
		;
	assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0);
}

static void flood(struct journal *j)
{
	for (int i = 0; i < FLOOD; i++)
		say(j, LOG_LEVEL_INFO, "nobody reads this");
}

/* Read until every line of the flood was seen or told lost; returns how many were lost. */
static size_t read_flood(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t have = 0, lost = 0, lines = 0;
	char *all = calloc(1, 1 << 20);

	assert_non_null(all);
	while (lines + lost < FLOOD) {
		assert_int_equal(poll(&p, 1, 5000), 1);

		ssize_t n = read(fd, all + have, 4096);

		assert_true(n > 0);
		have += (size_t)n;
		lines = lost = 0;
		for (char *at = all, *end; (end = strchr(at, '\n')); at = end + 1) {
			const char *told = strstr(at, "warning: ");
			size_t some;

			if (told && told < end) {
				assert_int_equal(
					sscanf(told, "warning: %zu log lines lost", &some), 1);
				lost += some;
			} else {
				lines++;
			}
		}
	}
	assert_int_equal(lines + lost, FLOOD);
	free(all);
	return lost;
}

static void full_pipe_blocks_nobody_and_losses_are_told(void **state)
{
	int fds[2];

	(void)state;
	full_pipe_open(fds);

	struct journal *j = open_on(fds[1], LOG_LEVEL_INFO);

	alarm(10); /* blocked for ever is a failure as well */
	flood(j);
	alarm(0);
	assert_true(read_flood(fds[0]) >= FLOOD - 300);

	/* And it goes on as before. */
	say(j, LOG_LEVEL_INFO, "all is well");
	journal_close(j);
	close(fds[1]);

	char *rest = read_all(fds[0]);

	assert_string_equal(rest + 24, " info: all is well\n");
	free(rest);
	close(fds[0]);
}

static void close_is_bounded_when_nobody_reads(void **state)
{
	int fds[2];

	(void)state;
	full_pipe_open(fds);

	struct journal *j = open_on(fds[1], LOG_LEVEL_INFO);

	flood(j);

	int64_t begin_us = clock_monotonic_us();

	alarm(10);
	journal_close(j);
	alarm(0);
	assert_true(clock_monotonic_us() - begin_us >= 900000);

	/* The thread that was left behind still comes to its end. fds[1] is its own. */
	assert_true(read_flood(fds[0]) >= FLOOD - 300);
	close(fds[0]);
}

static void closed_descriptor_is_no_trouble(void **state)
{
	int fds[2];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	pipe_open(fds);
	close(fds[0]);

	struct journal *j = open_on(fds[1], LOG_LEVEL_INFO);

	for (int i = 0; i < 1000; i++)
		say(j, LOG_LEVEL_INFO, "into nothing");
	journal_close(j);
	close(fds[1]);

	j = open_on(fds[1], LOG_LEVEL_INFO);
	say(j, LOG_LEVEL_INFO, "into less");
	journal_close(j);
}

static void *say_much(void *j)
{
	for (int i = 0; i < 50; i++)
		say(j, LOG_LEVEL_INFO, "from a thread");
	return NULL;
}

static void threads_do_not_mix_their_lines(void **state)
{
	pthread_t threads[4];
	int fds[2];

	(void)state;
	pipe_open(fds);

	struct journal *j = open_on(fds[1], LOG_LEVEL_INFO);

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, say_much, j), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	journal_close(j);
	close(fds[1]);

	char *all = read_all(fds[0]), *rest = all, *line;
	int lines = 0;

	for (; (line = strsep(&rest, "\n")) && *line; lines++)
		assert_string_equal(line + 24, " info: from a thread");
	assert_int_equal(lines, 200);
	free(all);
	close(fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_known_field_is_there),
		cmocka_unit_test(unknown_fields_are_left_out),
		cmocka_unit_test(control_characters_cannot_forge_fields_or_lines),
		cmocka_unit_test(line_is_for_people),
		cmocka_unit_test(long_values_are_cut_and_stay_whole_entries),
		cmocka_unit_test(each_event_has_a_message_id_of_its_own),
		cmocka_unit_test(each_event_is_explained_in_the_catalog),
		cmocka_unit_test(the_catalog_explains_nothing_else),
		cmocka_unit_test(the_catalog_names_only_fields_that_exist),
		cmocka_unit_test(lines_go_to_the_descriptor_in_order),
		cmocka_unit_test(journal_gets_the_fields_when_the_stream_is_ours),
		cmocka_unit_test(threshold_changes_while_running),
		cmocka_unit_test(full_pipe_blocks_nobody_and_losses_are_told),
		cmocka_unit_test(close_is_bounded_when_nobody_reads),
		cmocka_unit_test(closed_descriptor_is_no_trouble),
		cmocka_unit_test(threads_do_not_mix_their_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
