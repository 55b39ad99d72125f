/* SPDX-License-Identifier: Apache-2.0 */
#include "redis_fixture.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

/* Sockets that behave as no redis-server should. */

/* Once it has timed out, it costs a batch next to nothing. */
static void cheap_from_now_on(struct redis_lock *l)
{
	struct lock_lease lease;
	struct error err = {0};
	int64_t begin = now_ms(), spent_us = 0;

	while (took_ms(begin) < 2000) {
		int64_t call_us = clock_monotonic_us();

		assert_int_equal(acquire(l, 1, 1000, &lease, &err), RESULT_RETRY);
		spent_us += clock_monotonic_us() - call_us;
		poll(NULL, 0, 10); /* the batch's other work */
	}
	print_message("  %lld of 2000 ms lost to it\n", (long long)spent_us / 1000);
	assert_true(spent_us < 200000);
	assert_non_null(strstr(err.text, "does not answer within 300 ms"));
}

static int listen_on_loopback(int backlog, char address[32])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, size), 0);
	assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	snprintf(address, 32, "127.0.0.1:%d", ntohs(a.sin_port));
	return fd;
}

static void listener_that_never_answers(void **state)
{
	struct redis_lock_config c = config();
	char address[32];
	int fd = listen_on_loopback(128, address);

	(void)state;
	c.address = address;
	struct redis_lock *l = lock_of(&c);

	times_out_once(l);
	cheap_from_now_on(l);
	redis_lock_free(l);
	close(fd);
}

/* A full backlog: the kernel drops what would connect, as a firewall does. */
static void address_that_swallows_connections(void **state)
{
	struct redis_lock_config c = config();
	struct sockaddr_in a;
	socklen_t size = sizeof(a);
	char address[32];
	int fd = listen_on_loopback(0, address), fillers[16];

	(void)state;
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	for (int i = 0; i < 16; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(fillers[i], (struct sockaddr *)&a, size);
	}
	c.address = address;
	struct redis_lock *l = lock_of(&c);

	times_out_once(l);
	cheap_from_now_on(l);
	redis_lock_free(l);
	for (int i = 0; i < 16; i++)
		close(fillers[i]);
	close(fd);
}

/* A server that answers each of a connection's commands with the next of some texts, then nothing.
 */
struct actor {
	int fd;
	atomic_int connections;
	const char *const *lines;
	pthread_t thread;
};

static void *act(void *arg)
{
	struct actor *a = arg;
	char question[4096];
	int c;

	while ((c = accept(a->fd, NULL, NULL)) >= 0) {
		ssize_t n;

		atomic_fetch_add(&a->connections, 1);
		for (size_t i = 0; (n = read(c, question, sizeof(question))) > 0;) {
			if (a->lines[i])
				(void)!write(c, a->lines[i], strlen(a->lines[i]));
			i += a->lines[i] != NULL;
		}
		close(c);
	}
	return NULL;
}

static struct redis_lock *actor_start(
	struct actor *a, const char *const *lines, const char *password_file)
{
	struct redis_lock_config c = config();
	char address[32];

	a->fd = listen_on_loopback(8, address);
	a->lines = lines;
	atomic_init(&a->connections, 0);
	assert_int_equal(pthread_create(&a->thread, NULL, act, a), 0);
	c.address = address;
	c.password_file = password_file;
	return lock_of(&c);
}

static void actor_stop(struct actor *a, struct redis_lock *l)
{
	redis_lock_free(l);
	shutdown(a->fd, SHUT_RDWR);
	pthread_join(a->thread, NULL);
	close(a->fd);
}

static void half_a_reply_is_none(void **state)
{
	static const char *const lines[] = {"+PONG\r\n", ":0\r", NULL};
	struct actor a;

	(void)state;
	struct redis_lock *l = actor_start(&a, lines, "");

	times_out_once(l);
	actor_stop(&a, l);
}

static void nonsense_is_no_lock(void **state)
{
	static const char *const texts[][3] = {
		{"+PONG\r\n", "+OK\r\n", NULL},
		{"+PONG\r\n", "HTTP/1.1 400 Bad Request\r\n", NULL},
		{"+PONG\r\n", "$-1\r\n", NULL},
		{"+PONG\r\n", "-MOVED 1234 10.0.0.1:6379\r\n", NULL},
		{"-LOADING Redis is loading the dataset in memory\r\n", NULL, NULL},
		{":1\r\n", NULL, NULL},
	};
	static const char *const words[] = {
		"unexpected", "Protocol error", "unexpected", "MOVED", "LOADING", "unexpected"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct actor a;
		struct redis_lock *l = actor_start(&a, texts[i], "");

		refused(l, words[i]);
		actor_stop(&a, l);
	}
}

static void server_in_trouble_is_not_hammered(void **state)
{
	static const char *const lines[] = {
		"-LOADING Redis is loading the dataset in memory\r\n", NULL};
	struct lock_lease lease;
	struct error err = {0};
	struct actor a;
	int64_t begin = now_ms();

	(void)state;
	struct redis_lock *l = actor_start(&a, lines, "");

	for (int i = 0; i < 1000; i++) {
		assert_int_equal(acquire(l, 1, 1000, &lease, &err), RESULT_RETRY);
		assert_non_null(strstr(err.text, "LOADING"));
	}
	assert_in_range(atomic_load(&a.connections), 2, 3 + took_ms(begin) / 100);
	actor_stop(&a, l);
}

/* More than was asked for must not answer the next question. */
static void surplus_reply_is_not_the_next_answer(void **state)
{
	static const char *const lines[] = {"+PONG\r\n", ":1\r\n:0\r\n", ":1\r\n", NULL};
	struct lock_lease lease;
	struct actor a;

	(void)state;
	struct redis_lock *l = actor_start(&a, lines, "");

	/* BUSY each time: the connection with the surplus ":0" is left. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(acquire(l, 1, 0, &lease, NULL), RESULT_BUSY);
	actor_stop(&a, l);
}

static void server_that_repeats_the_password_is_not_quoted(void **state)
{
	static const char *const lines[] = {
		"-ERR unknown command 'AUTH', with args beginning with: 'hush-three'\r\n", NULL};
	struct actor a;

	(void)state;
	const char *password_file = password_put("hush-three");
	struct redis_lock *l = actor_start(&a, lines, password_file);
	struct lock_lease lease;
	struct error err = {0};

	assert_int_equal(acquire(l, 1, 0, &lease, &err), RESULT_RETRY);
	assert_non_null(strstr(err.text, "(ERR)"));
	assert_null(strstr(err.text, "hush"));
	actor_stop(&a, l);
	unlink(password_file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		REDIS_CASE(listener_that_never_answers),
		REDIS_CASE(address_that_swallows_connections),
		REDIS_CASE(half_a_reply_is_none),
		REDIS_CASE(nonsense_is_no_lock),
		REDIS_CASE(server_in_trouble_is_not_hammered),
		REDIS_CASE(surplus_reply_is_not_the_next_answer),
		REDIS_CASE(server_that_repeats_the_password_is_not_quoted),
	};

	if (redis_fixture_skipped())
		return 0;
	return cmocka_run_group_tests(tests, redis_fixture_setup, redis_fixture_teardown);
}
