/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock on a real redis-server, and on sockets that behave as none should.
 * TICKETPAY_TEST_REDIS_SERVER: path of redis-server; without it nothing is tested.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "base/clock.h"
#include "io/lock_queue.h"
#include "io/redis_address.h"
#include "io/redis_lock.h"
#include "redis_server.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

enum {
	TIMEOUT_MS = 300,
	SLACK_MS = 250, /* for a machine with other things to do */
	LEASE_MS = 60000,
};

static struct redis_server server;
static redisContext *admin;
static struct lock_queue *queue;
static const struct lock_ops *const ops = &redis_lock_ops;

/* ---- helpers --------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
	return clock_monotonic_us() / 1000;
}

static int64_t in_ms(int64_t ms)
{
	return clock_monotonic_us() + ms * 1000;
}

static struct redis_lock_config config(void)
{
	return (struct redis_lock_config){
		.address = server.address,
		.user = "",
		.password_file = "",
		.timeout_ms = TIMEOUT_MS,
		.key_prefix = "t",
		.scope = "stock",
		.lease_ms = LEASE_MS,
		.queue = queue,
	};
}

static struct redis_lock *lock_of(const struct redis_lock_config *c)
{
	struct redis_lock *l = NULL;
	struct error err = {0};

	if (redis_lock_new(c, &l, &err))
		fail_msg("%s", err.text);
	return l;
}

static struct redis_lock *lock_new(void)
{
	struct redis_lock_config c = config();

	return lock_of(&c);
}

/* A batch of the ticket types first, first + 1, ... */
struct types {
	struct stock stock[1000];
	struct batch batch;
};

static const struct batch *types(struct types *t, int64_t first, size_t count)
{
	memset(t, 0, sizeof(*t));
	for (size_t i = 0; i < count; i++)
		t->stock[i].id = first + (int64_t)i;
	t->batch.stock = t->stock;
	t->batch.stock_count = count;
	return &t->batch;
}

static enum result acquire(struct redis_lock *l, int64_t type, int64_t wait_ms,
	struct lock_lease *lease, struct error *err)
{
	static _Thread_local struct types t;

	return ops->acquire(l, types(&t, type, 1), in_ms(wait_ms), lease, err);
}

static void release(struct redis_lock *l, struct lock_lease *lease)
{
	ops->release(l, NULL, lease);
}

__attribute__((format(printf, 1, 2))) static redisReply *ask(const char *format, ...)
{
	char text[256], *argv[16];
	int argc = 0;
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	for (char *word = strtok(text, " "); word && argc < 16; word = strtok(NULL, " "))
		argv[argc++] = word;

	redisReply *r = redisCommandArgv(admin, argc, (const char **)argv, NULL);

	assert_non_null(r);
	if (r->type == REDIS_REPLY_ERROR)
		fail_msg("%s", r->str);
	return r;
}

#define TELL(...) freeReplyObject(ask(__VA_ARGS__))

static long long ask_number(const char *what, int64_t type)
{
	redisReply *r = ask("%s t:{lock:stock}:%lld", what, (long long)type);
	long long n = r->integer;

	freeReplyObject(r);
	return n;
}

static bool exists(int64_t type)
{
	return ask_number("EXISTS", type) == 1;
}

static void take_as_another(int64_t type)
{
	TELL("SET t:{lock:stock}:%lld another", (long long)type);
}

static int64_t took_ms(int64_t begin_ms)
{
	return now_ms() - begin_ms;
}

/* As a worker does: again and again, until it is ours; no call may take long. */
static void acquire_within(struct redis_lock *l, int64_t type, int64_t ms, struct lock_lease *lease)
{
	struct error err = {0};
	int64_t until_us = in_ms(ms);
	enum result r;

	while ((r = acquire(l, type, 0, lease, &err)) != RESULT_OK) {
		if (clock_monotonic_us() > until_us)
			fail_msg("%s: %s", result_name(r), err.text);
		poll(NULL, 0, 5);
	}
}

static int fresh(void **state)
{
	(void)state;
	TELL("FLUSHALL");
	queue = lock_queue_new();
	return queue ? 0 : -1;
}

static int fresh_end(void **state)
{
	(void)state;
	lock_queue_free(queue);
	return 0;
}

/* ---- what a lock is -------------------------------------------------------------------------- */

static void all_keys_or_none(void **state)
{
	struct redis_lock *l = lock_new();
	struct lock_lease lease = {0};
	struct types t;
	struct error err = {0};

	(void)state;
	take_as_another(2);
	assert_int_equal(ops->acquire(l, types(&t, 1, 3), 0, &lease, &err), RESULT_BUSY);
	assert_string_equal(err.text, "ticket type 2 is locked by another owner");
	assert_false(lease.held);
	assert_false(exists(1));
	assert_false(exists(3));

	TELL("DEL t:{lock:stock}:2");

	int64_t before_us = clock_monotonic_us();

	assert_int_equal(ops->acquire(l, types(&t, 1, 3), 0, &lease, &err), RESULT_OK);
	assert_true(lease.held);
	assert_in_range(lease.until_us, before_us + LEASE_MS * 1000,
		clock_monotonic_us() + LEASE_MS * 1000);
	for (int type = 1; type <= 3; type++) {
		redisReply *r = ask("GET t:{lock:stock}:%d", type);

		assert_int_equal(r->type, REDIS_REPLY_STRING);
		assert_string_equal(r->str, lease.token);
		assert_in_range(ask_number("PTTL", type), 1, LEASE_MS);
		freeReplyObject(r);
	}
	assert_int_equal(strlen(lease.token), 32);

	/* The batch may have shrunk meanwhile. */
	ops->release(l, types(&t, 1, 1), &lease);
	assert_false(lease.held);
	for (int type = 1; type <= 3; type++)
		assert_false(exists(type));
	redis_lock_free(l);
}

static void each_acquire_has_a_token_of_its_own(void **state)
{
	struct redis_lock *l = lock_new();
	struct lock_lease first, second;

	(void)state;
	assert_int_equal(acquire(l, 1, 0, &first, NULL), RESULT_OK);
	release(l, &first);
	assert_int_equal(acquire(l, 1, 0, &second, NULL), RESULT_OK);
	assert_string_not_equal(first.token, second.token);
	release(l, &second);
	redis_lock_free(l);
}

static void scopes_and_prefixes_do_not_meet(void **state)
{
	struct redis_lock_config c = config();
	struct redis_lock *l = lock_new(), *other;
	struct lock_lease lease, lease2;

	(void)state;
	c.scope = "transaction";
	other = lock_of(&c);
	assert_int_equal(acquire(l, 1, 0, &lease, NULL), RESULT_OK);
	assert_int_equal(acquire(other, 1, 0, &lease2, NULL), RESULT_OK);
	TELL("RENAME t:{lock:transaction}:1 t:{lock:transaction}:seen"); /* fails without the key */
	redis_lock_free(other);
	redis_lock_free(l);
}

static void nothing_to_lock_is_no_question(void **state)
{
	struct redis_lock_config c = config();
	struct lock_lease lease = {.held = true};
	struct types t;

	(void)state;
	c.address = "127.0.0.1:1";
	struct redis_lock *l = lock_of(&c);

	assert_int_equal(ops->acquire(l, types(&t, 1, 0), 0, &lease, NULL), RESULT_OK);
	assert_false(lease.held);
	ops->release(l, &t.batch, &lease);
	redis_lock_free(l);
}

static void thousand_ticket_types_at_once(void **state)
{
	struct redis_lock *l = lock_new();
	struct lock_lease lease;
	struct types *t = calloc(1, sizeof(*t));

	(void)state;
	assert_int_equal(ops->acquire(l, types(t, 1, 1000), 0, &lease, NULL), RESULT_OK);
	redisReply *r = ask("DBSIZE");

	assert_int_equal(r->integer, 1000);
	freeReplyObject(r);
	ops->release(l, &t->batch, &lease);
	r = ask("DBSIZE");
	assert_int_equal(r->integer, 0);
	freeReplyObject(r);
	free(t);
	redis_lock_free(l);
}

static void key_of_another_owner_is_never_deleted(void **state)
{
	struct redis_lock *l = lock_new();
	struct lock_lease lease;

	(void)state;
	assert_int_equal(acquire(l, 1, 0, &lease, NULL), RESULT_OK);
	take_as_another(1);
	release(l, &lease);
	assert_true(exists(1));

	/* Not even a key of another type stops us, or is ours. */
	assert_int_equal(acquire(l, 2, 0, &lease, NULL), RESULT_OK);
	TELL("DEL t:{lock:stock}:2");
	TELL("LPUSH t:{lock:stock}:2 x");
	release(l, &lease);
	assert_true(exists(2));
	assert_int_equal(acquire(l, 2, 0, &lease, NULL), RESULT_BUSY);
	assert_int_equal(acquire(l, 3, 0, &lease, NULL), RESULT_OK);
	release(l, &lease);
	redis_lock_free(l);
}

static void lease_runs_out_for_the_others(void **state)
{
	struct redis_lock_config c = config();
	struct redis_lock *other = lock_new();
	struct lock_lease lease, lease2;

	(void)state;
	c.lease_ms = 100;
	struct redis_lock *l = lock_of(&c);

	assert_int_equal(acquire(l, 1, 0, &lease, NULL), RESULT_OK);
	assert_int_equal(acquire(other, 1, 5000, &lease2, NULL), RESULT_OK);
	assert_true(clock_monotonic_us() >= lease.until_us);
	release(l, &lease); /* too late: it is the other's */
	assert_true(exists(1));
	release(other, &lease2);
	assert_false(exists(1));
	redis_lock_free(other);
	redis_lock_free(l);
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void busy_at_the_deadline(void **state)
{
	struct redis_lock *l = lock_new();
	struct lock_lease lease;
	int64_t begin = now_ms();

	(void)state;
	take_as_another(1);
	assert_int_equal(acquire(l, 1, 200, &lease, NULL), RESULT_BUSY);
	assert_in_range(took_ms(begin), 200, 200 + SLACK_MS);
	assert_int_equal(lock_queue_length(queue), 0);
	redis_lock_free(l);
}

struct waiting {
	struct redis_lock *lock;
	struct lock_lease lease;
	enum result result;
	int64_t wait_ms, took;
};

static void *wait_for_type_1(void *arg)
{
	struct waiting *w = arg;
	int64_t begin = now_ms();

	w->result = acquire(w->lock, 1, w->wait_ms, &w->lease, NULL);
	w->took = took_ms(begin);
	return NULL;
}

static void wait_queue_length(size_t length)
{
	int64_t until_us = in_ms(5000);

	while (lock_queue_length(queue) != length) {
		assert_true(clock_monotonic_us() < until_us);
		poll(NULL, 0, 1);
	}
}

static void place_in_the_queue_does_not_outlast_its_deadline(void **state)
{
	struct waiting head = {.lock = lock_new(), .wait_ms = 5000};
	struct redis_lock *behind = lock_new();
	struct lock_lease lease;
	pthread_t thread;
	struct error err = {0};

	(void)state;
	take_as_another(1);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_type_1, &head), 0);
	wait_queue_length(1);

	int64_t begin = now_ms();

	/* Another ticket type, but one queue for the process. */
	assert_int_equal(acquire(behind, 2, 200, &lease, &err), RESULT_BUSY);
	assert_in_range(took_ms(begin), 200, 200 + SLACK_MS);
	assert_non_null(strstr(err.text, "other workers"));
	assert_int_equal(lock_queue_length(queue), 1);

	TELL("DEL t:{lock:stock}:1");
	pthread_join(thread, NULL);
	assert_int_equal(head.result, RESULT_OK);
	assert_int_equal(lock_queue_length(queue), 0);
	assert_int_equal(acquire(behind, 2, 0, &lease, &err), RESULT_OK);
	ops->forget(behind); /* nothing to forget */
	release(behind, &lease);
	redis_lock_free(behind);
	redis_lock_free(head.lock);
}

static void waker_ends_the_wait_but_not_the_try(void **state)
{
	struct redis_lock_config c = config();
	struct waker waker;
	struct waiting w = {.wait_ms = 5000};
	pthread_t thread;

	(void)state;
	assert_true(waker_init(&waker));
	c.waker = &waker;
	w.lock = lock_of(&c);
	take_as_another(1);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_type_1, &w), 0);
	wait_queue_length(1);
	waker_wake(&waker);
	pthread_join(thread, NULL);
	assert_int_equal(w.result, RESULT_BUSY);
	assert_true(w.took < 4000);
	assert_int_equal(lock_queue_length(queue), 0);

	/* Woken for good, and still able to finish what is under way. */
	assert_int_equal(acquire(w.lock, 2, 5000, &w.lease, NULL), RESULT_OK);
	assert_true(exists(2));
	release(w.lock, &w.lease);
	assert_false(exists(2));
	redis_lock_free(w.lock);
	waker_done(&waker);
}

static void release_tells_the_head_of_the_queue(void **state)
{
	struct redis_lock *l = lock_new();
	struct lock_place place;
	struct lock_lease lease;

	(void)state;
	assert_true(lock_place_init(&place));
	assert_int_equal(acquire(l, 1, 0, &lease, NULL), RESULT_OK);
	assert_int_equal(lock_queue_enter(queue, &place, NULL, 0), WAIT_READY);
	assert_int_equal(lock_queue_pause(queue, &place, NULL, 0), WAIT_TIMEOUT);
	release(l, &lease);
	assert_int_equal(lock_queue_pause(queue, &place, NULL, 0), WAIT_READY);
	assert_int_equal(lock_queue_pause(queue, &place, NULL, 0), WAIT_TIMEOUT);
	lock_queue_leave(queue, &place);
	lock_queue_leave(queue, &place); /* nothing happens */
	lock_place_done(&place);
	redis_lock_free(l);
}

enum { FAIR_THREADS = 4, FAIR_ROUNDS = 25 };

static struct {
	atomic_int turns;
	int order[FAIR_THREADS * FAIR_ROUNDS];
} fair;

/* Holds the lock until all others stand in the queue: then the order says what the queue does. */
static void *take_turns(void *arg)
{
	int me = (int)(intptr_t)arg;
	struct redis_lock *l = lock_new();
	struct lock_lease lease;

	for (int i = 0; i < FAIR_ROUNDS; i++) {
		if (acquire(l, 1, 20000, &lease, NULL) != RESULT_OK)
			break;

		int64_t until_us = in_ms(5000);
		bool last_round = atomic_load(&fair.turns) >= FAIR_THREADS * (FAIR_ROUNDS - 1);

		while (!last_round && lock_queue_length(queue) != FAIR_THREADS - 1 &&
			clock_monotonic_us() < until_us)
			poll(NULL, 0, 1);
		fair.order[atomic_fetch_add(&fair.turns, 1)] = me;
		release(l, &lease);
	}
	redis_lock_free(l);
	return NULL;
}

static void each_thread_has_its_turn_in_order(void **state)
{
	pthread_t threads[FAIR_THREADS];
	int64_t begin = now_ms();

	(void)state;
	atomic_store(&fair.turns, 0);
	for (intptr_t i = 0; i < FAIR_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_turns, (void *)i), 0);
	for (int i = 0; i < FAIR_THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&fair.turns), FAIR_THREADS * FAIR_ROUNDS);
	for (int i = FAIR_THREADS; i < FAIR_THREADS * FAIR_ROUNDS; i++)
		assert_int_equal(fair.order[i], fair.order[i - FAIR_THREADS]);
	for (int i = 1; i < FAIR_THREADS; i++)
		assert_int_not_equal(fair.order[0], fair.order[i]);
	print_message("  100 turns in %lld ms\n", (long long)took_ms(begin));
}

/* ---- what Redis may lose --------------------------------------------------------------------- */

static bool command_was_called(const char *name)
{
	redisReply *r = ask("INFO commandstats");
	char line[64];

	snprintf(line, sizeof(line), "cmdstat_%s:", name);
	bool called = strstr(r->str, line) != NULL;

	freeReplyObject(r);
	return called;
}

static void scripts_are_known_by_sha_and_flushing_them_does_not_hurt(void **state)
{
	struct redis_lock *l = lock_new();
	struct lock_lease lease;

	(void)state;
	TELL("SCRIPT FLUSH");
	assert_int_equal(acquire(l, 1, 0, &lease, NULL), RESULT_OK);
	TELL("SCRIPT FLUSH");
	release(l, &lease);
	assert_false(exists(1));

	/* Both are known by now: no EVAL any more, or the SHA in the source is another script's. */
	assert_int_equal(acquire(l, 1, 0, &lease, NULL), RESULT_OK);
	release(l, &lease);
	TELL("CONFIG RESETSTAT");
	assert_int_equal(acquire(l, 1, 0, &lease, NULL), RESULT_OK);
	release(l, &lease);
	assert_true(command_was_called("evalsha"));
	assert_false(command_was_called("eval"));
	redis_lock_free(l);
}

static void lost_keys_are_no_trouble(void **state)
{
	struct redis_lock *l = lock_new(), *other = lock_new();
	struct lock_lease lease, lease2;

	(void)state;
	assert_int_equal(acquire(l, 1, 0, &lease, NULL), RESULT_OK);
	TELL("FLUSHALL");
	assert_int_equal(acquire(other, 1, 0, &lease2, NULL), RESULT_OK);
	release(l, &lease);
	assert_true(exists(1));
	release(other, &lease2);
	assert_int_equal(ops->check(l, NULL), RESULT_OK);
	redis_lock_free(other);
	redis_lock_free(l);
}

static void closed_idle_connection_costs_no_retry(void **state)
{
	struct redis_lock *l = lock_new();
	struct lock_lease lease;
	struct error err = {0};

	(void)state;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(acquire(l, 1, 0, &lease, &err), RESULT_OK);
		release(l, &lease);
		TELL("CLIENT KILL TYPE normal SKIPME yes");
	}
	redis_lock_free(l);
}

static void restart_is_survived(void **state)
{
	struct redis_lock *l = lock_new();
	struct lock_lease lease;
	struct error err = {0};

	(void)state;
	assert_int_equal(acquire(l, 1, 0, &lease, &err), RESULT_OK);
	redisFree(admin);
	redis_server_stop(&server);
	release(l, &lease);

	int64_t begin = now_ms();

	for (int i = 0; i < 1000; i++)
		assert_int_equal(acquire(l, 1, 1000, &lease, &err), RESULT_RETRY);
	assert_true(took_ms(begin) < 1000); /* none of them waits */
	assert_non_null(strstr(err.text, "Connection refused"));
	assert_non_null(strstr(err.text, server.address));
	assert_int_equal(ops->check(l, &err), RESULT_RETRY);

	redis_server_start(&server);
	admin = redis_server_connect(&server);
	acquire_within(l, 1, 5000, &lease);
	release(l, &lease);
	assert_false(exists(1));
	redis_lock_free(l);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refused(struct redis_lock *l, const char *words)
{
	struct lock_lease lease;
	struct error err = {0};

	assert_int_equal(acquire(l, 1, 0, &lease, &err), RESULT_RETRY);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" does not say %s", err.text, words);
}

static void read_only_replica_is_named_and_left(void **state)
{
	struct redis_lock *l = lock_new();
	struct lock_lease lease;
	struct error err = {0};

	(void)state;
	TELL("REPLICAOF 127.0.0.1 1");
	refused(l, "READONLY");
	assert_int_equal(ops->check(l, &err), RESULT_RETRY);
	assert_non_null(strstr(err.text, "READONLY"));
	TELL("REPLICAOF NO ONE");
	acquire_within(l, 1, 5000, &lease);
	assert_int_equal(ops->check(l, &err), RESULT_OK);
	release(l, &lease);
	redis_lock_free(l);
}

static void full_memory_is_named(void **state)
{
	struct redis_lock *l = lock_new();
	struct lock_lease lease;

	(void)state;
	TELL("CONFIG SET maxmemory 1");
	refused(l, "OOM");
	TELL("CONFIG SET maxmemory 0");
	acquire_within(l, 1, 5000, &lease);
	release(l, &lease);
	redis_lock_free(l);
}

static char password_file[96];

static void password_put(const char *password)
{
	snprintf(password_file, sizeof(password_file), "%s/password", server.directory);

	FILE *f = fopen(password_file, "w");

	assert_non_null(f);
	fprintf(f, "%s\n", password);
	fclose(f);
}

static void password_is_used_and_never_told(void **state)
{
	struct redis_lock_config c = config();
	struct redis_lock *without = lock_new();
	struct lock_lease lease;
	struct error err = {0};

	(void)state;
	password_put("hush-wrong");
	c.password_file = password_file;
	struct redis_lock *l = lock_of(&c);

	TELL("CONFIG SET requirepass hush-right");
	TELL("AUTH hush-right");
	refused(without, "NOAUTH");
	refused(l, "WRONGPASS");
	assert_int_equal(ops->check(l, &err), RESULT_RETRY);
	assert_null(strstr(err.text, "hush"));

	/* The file is read anew for each connection. */
	password_put("hush-right");
	acquire_within(l, 1, 5000, &lease);
	release(l, &lease);
	redis_lock_free(l);

	TELL("ACL SETUSER seller on >hush-two ~t:{lock:* +ping +eval +evalsha +exists +get +set "
	     "+del");
	password_put("hush-two");
	c.user = "seller";
	l = lock_of(&c);
	assert_int_equal(ops->check(l, &err), RESULT_OK);
	assert_int_equal(acquire(l, 1, 0, &lease, &err), RESULT_OK);
	release(l, &lease);
	assert_false(exists(1));
	redis_lock_free(l);

	/* A right that is missing shows at check(). */
	TELL("ACL SETUSER seller -del");
	l = lock_of(&c);
	assert_int_equal(ops->check(l, &err), RESULT_RETRY);
	redis_lock_free(l);

	TELL("ACL SETUSER default nopass");
	redis_lock_free(without);

	/* A password where none is asked for. */
	c.user = "";
	l = lock_of(&c);
	refused(l, "lock.redis_password_file");
	redis_lock_free(l);

	unlink(password_file);
	l = lock_of(&c);
	refused(l, password_file);
	redis_lock_free(l);
}

/* ---- ways to the server ---------------------------------------------------------------------- */

static void unix_socket_and_ipv6_lead_there_too(void **state)
{
	struct redis_lock_config c = config();
	struct lock_lease lease;
	char v6[32];

	(void)state;
	c.address = server.socket;
	struct redis_lock *l = lock_of(&c);

	assert_int_equal(acquire(l, 1, 0, &lease, NULL), RESULT_OK);
	assert_true(exists(1));
	release(l, &lease);
	assert_false(exists(1));
	redis_lock_free(l);

	redisContext *probe = redisConnect("::1", server.port);
	bool has_v6 = probe && !probe->err;

	redisFree(probe);
	if (!has_v6)
		return;
	snprintf(v6, sizeof(v6), "[::1]:%d", server.port);
	c.address = v6;
	l = lock_of(&c);
	assert_int_equal(acquire(l, 1, 0, &lease, NULL), RESULT_OK);
	release(l, &lease);
	redis_lock_free(l);
}

static void addresses_are_read_strictly(void **state)
{
	static const char *const bad[] = {"", "host", "host:", ":6379", "host:0", "host:65536",
		"host:6379x", "host: 6379", "host:+1", "::1:6379", "[]:6379", "[::1]",
		"hush@host:6379", "relative/path"};
	struct redis_address a;
	struct error err;
	char path[200] = "/";

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (redis_address_parse(bad[i], &a, &err) != RESULT_FATAL)
			fail_msg("\"%s\" was taken", bad[i]);
		assert_null(strstr(err.text, "hush"));
	}
	memset(path + 1, 'p', sizeof(path) - 2);
	assert_int_equal(redis_address_parse(path, &a, &err), RESULT_FATAL);
	assert_int_equal(redis_address_parse("redis.example:6379", &a, &err), RESULT_OK);
	assert_string_equal(a.host, "redis.example");
	assert_int_equal(a.port, 6379);
	assert_int_equal(redis_address_parse("[fe80::1]:1", &a, &err), RESULT_OK);
	assert_string_equal(a.host, "fe80::1");
	assert_int_equal(redis_address_parse("/run/redis.sock", &a, &err), RESULT_OK);
	assert_string_equal(a.path, "/run/redis.sock");
}

/* ---- servers that do not answer -------------------------------------------------------------- */

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

static void times_out_once(struct redis_lock *l)
{
	struct lock_lease lease;
	int64_t begin = now_ms();

	assert_int_equal(acquire(l, 1, 0, &lease, NULL), RESULT_RETRY);
	assert_in_range(took_ms(begin), TIMEOUT_MS, TIMEOUT_MS + SLACK_MS);
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

static struct redis_lock *actor_start(struct actor *a, const char *const *lines)
{
	struct redis_lock_config c = config();
	char address[32];

	a->fd = listen_on_loopback(8, address);
	a->lines = lines;
	atomic_init(&a->connections, 0);
	assert_int_equal(pthread_create(&a->thread, NULL, act, a), 0);
	c.address = address;
	c.password_file = password_file[0] ? password_file : "";
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
	password_file[0] = '\0';
	struct redis_lock *l = actor_start(&a, lines);

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
	password_file[0] = '\0';
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct actor a;
		struct redis_lock *l = actor_start(&a, texts[i]);

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
	password_file[0] = '\0';
	struct redis_lock *l = actor_start(&a, lines);

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
	password_file[0] = '\0';
	struct redis_lock *l = actor_start(&a, lines);

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
	password_put("hush-three");
	struct redis_lock *l = actor_start(&a, lines);
	struct lock_lease lease;
	struct error err = {0};

	assert_int_equal(acquire(l, 1, 0, &lease, &err), RESULT_RETRY);
	assert_non_null(strstr(err.text, "(ERR)"));
	assert_null(strstr(err.text, "hush"));
	actor_stop(&a, l);
	unlink(password_file);
}

/* ---- a server that answers late -------------------------------------------------------------- */

static void slow_server_is_bounded_and_trusted_again(void **state)
{
	struct redis_lock *l = lock_new();
	struct lock_lease lease;

	(void)state;
	assert_int_equal(acquire(l, 1, 0, &lease, NULL), RESULT_OK);
	release(l, &lease);
	TELL("CLIENT PAUSE 1000 ALL");
	times_out_once(l);

	int64_t begin = now_ms(), longest = 0, call = now_ms();

	while (acquire(l, 1, 0, &lease, NULL) != RESULT_OK) {
		longest = took_ms(call) > longest ? took_ms(call) : longest;
		assert_true(took_ms(begin) < 5000);
		poll(NULL, 0, 5);
		call = now_ms();
	}
	assert_true(longest < TIMEOUT_MS / 2);
	release(l, &lease);
	assert_false(exists(1));
	redis_lock_free(l);
}

static void late_reply_answers_nothing_and_its_key_is_freed(void **state)
{
	struct redis_lock *l = lock_new();
	struct lock_lease lease;
	struct error err = {0};
	enum result r;
	int64_t until_us;

	(void)state;
	take_as_another(2);
	assert_int_equal(acquire(l, 3, 0, &lease, NULL), RESULT_OK);
	release(l, &lease);

	/* The question for type 1 lies in the stopped server's socket: the answer is "yours". */
	assert_int_equal(kill(server.pid, SIGSTOP), 0);
	times_out_once(l);
	assert_int_equal(kill(server.pid, SIGCONT), 0);

	until_us = in_ms(5000);
	while (!exists(1))
		assert_true(clock_monotonic_us() < until_us);

	/* Type 2 is not ours, whatever that answer says. */
	while ((r = acquire(l, 2, 0, &lease, &err)) == RESULT_RETRY)
		assert_true(clock_monotonic_us() < until_us);
	assert_int_equal(r, RESULT_BUSY);
	/* And type 1 is not in the others' way for a whole lease. */
	assert_false(exists(1));
	redis_lock_free(l);
}

static void unanswered_release_is_made_good(void **state)
{
	struct redis_lock *l = lock_new();
	struct lock_lease lease;
	int64_t begin, until_us = in_ms(5000);

	(void)state;
	assert_int_equal(acquire(l, 1, 0, &lease, NULL), RESULT_OK);
	TELL("CLIENT KILL TYPE normal SKIPME yes"); /* release() does not connect */
	release(l, &lease);
	assert_true(exists(1));
	acquire_within(l, 2, 5000, &lease);
	assert_false(exists(1));

	assert_int_equal(kill(server.pid, SIGSTOP), 0);
	begin = now_ms();
	release(l, &lease);
	assert_true(took_ms(begin) < TIMEOUT_MS + SLACK_MS);
	assert_int_equal(kill(server.pid, SIGCONT), 0);
	while (exists(2))
		assert_true(clock_monotonic_us() < until_us);
	redis_lock_free(l);
}

/* ---- all ------------------------------------------------------------------------------------- */

#define CASE(f) cmocka_unit_test_setup_teardown(f, fresh, fresh_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(all_keys_or_none),
		CASE(each_acquire_has_a_token_of_its_own),
		CASE(scopes_and_prefixes_do_not_meet),
		CASE(nothing_to_lock_is_no_question),
		CASE(thousand_ticket_types_at_once),
		CASE(key_of_another_owner_is_never_deleted),
		CASE(lease_runs_out_for_the_others),
		CASE(busy_at_the_deadline),
		CASE(place_in_the_queue_does_not_outlast_its_deadline),
		CASE(waker_ends_the_wait_but_not_the_try),
		CASE(release_tells_the_head_of_the_queue),
		CASE(each_thread_has_its_turn_in_order),
		CASE(scripts_are_known_by_sha_and_flushing_them_does_not_hurt),
		CASE(lost_keys_are_no_trouble),
		CASE(closed_idle_connection_costs_no_retry),
		CASE(restart_is_survived),
		CASE(read_only_replica_is_named_and_left),
		CASE(full_memory_is_named),
		CASE(password_is_used_and_never_told),
		CASE(unix_socket_and_ipv6_lead_there_too),
		CASE(addresses_are_read_strictly),
		CASE(listener_that_never_answers),
		CASE(address_that_swallows_connections),
		CASE(half_a_reply_is_none),
		CASE(nonsense_is_no_lock),
		CASE(server_in_trouble_is_not_hammered),
		CASE(surplus_reply_is_not_the_next_answer),
		CASE(server_that_repeats_the_password_is_not_quoted),
		CASE(slow_server_is_bounded_and_trusted_again),
		CASE(late_reply_answers_nothing_and_its_key_is_freed),
		CASE(unanswered_release_is_made_good),
	};
	const char *program = getenv("TICKETPAY_TEST_REDIS_SERVER");

	if (!program) {
		puts("1..0 # SKIP TICKETPAY_TEST_REDIS_SERVER is not set");
		return 0;
	}
	redis_server_init(&server, program);
	redis_server_start(&server);
	admin = redis_server_connect(&server);

	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	redisFree(admin);
	redis_server_done(&server);
	return failed;
}
