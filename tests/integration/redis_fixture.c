/* SPDX-License-Identifier: Apache-2.0 */
#include "redis_fixture.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "base/clock.h"

static const struct lock_ops *const ops = &redis_lock_ops;
struct redis_fixture redis;

static const char *program(void)
{
	return getenv("TICKETPAY_TEST_REDIS_SERVER");
}

bool redis_fixture_skipped(void)
{
	if (program())
		return false;
	puts("1..0 # SKIP TICKETPAY_TEST_REDIS_SERVER is not set");
	return true;
}

int redis_fixture_setup(void **state)
{
	(void)state;
	redis_server_init(&redis.server, program());
	redis_server_start(&redis.server);
	redis.admin = redis_server_connect(&redis.server);
	return 0;
}

int redis_fixture_teardown(void **state)
{
	(void)state;
	redisFree(redis.admin);
	redis_server_done(&redis.server);
	return 0;
}

int redis_case_setup(void **state)
{
	(void)state;
	TELL("FLUSHALL");
	redis.queue = lock_queue_new();
	return redis.queue ? 0 : -1;
}

int redis_case_teardown(void **state)
{
	(void)state;
	lock_queue_free(redis.queue);
	return 0;
}

int64_t now_ms(void)
{
	return clock_monotonic_us() / 1000;
}

int64_t in_ms(int64_t ms)
{
	return clock_monotonic_us() + ms * 1000;
}

struct redis_lock_config config(void)
{
	return (struct redis_lock_config){
		.address = redis.server.address,
		.user = "",
		.password_file = "",
		.timeout_ms = TIMEOUT_MS,
		.key_prefix = "t",
		.scope = "stock",
		.lease_ms = LEASE_MS,
		.queue = redis.queue,
	};
}

struct redis_lock *lock_of(const struct redis_lock_config *c)
{
	struct redis_lock *l = NULL;
	struct error err = {0};

	if (redis_lock_new(c, &l, &err))
		fail_msg("%s", err.text);
	return l;
}

struct redis_lock *lock_new(void)
{
	struct redis_lock_config c = config();

	return lock_of(&c);
}

const struct batch *types(struct types *t, int64_t first, size_t count)
{
	memset(t, 0, sizeof(*t));
	for (size_t i = 0; i < count; i++)
		t->stock[i].id = first + (int64_t)i;
	t->batch.stock = t->stock;
	t->batch.stock_count = count;
	return &t->batch;
}

enum result acquire(struct redis_lock *l, int64_t type, int64_t wait_ms, struct lock_lease *lease,
	struct error *err)
{
	static _Thread_local struct types t;

	return ops->acquire(l, types(&t, type, 1), in_ms(wait_ms), lease, err);
}

void release(struct redis_lock *l, struct lock_lease *lease)
{
	ops->release(l, NULL, lease);
}

redisReply *ask(const char *format, ...)
{
	char text[256], *argv[16];
	int argc = 0;
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	for (char *word = strtok(text, " "); word && argc < 16; word = strtok(NULL, " "))
		argv[argc++] = word;

	redisReply *r = redisCommandArgv(redis.admin, argc, (const char **)argv, NULL);

	assert_non_null(r);
	if (r->type == REDIS_REPLY_ERROR)
		fail_msg("%s", r->str);
	return r;
}

long long ask_number(const char *what, int64_t type)
{
	redisReply *r = ask("%s t:{lock:stock}:%lld", what, (long long)type);
	long long n = r->integer;

	freeReplyObject(r);
	return n;
}

bool exists(int64_t type)
{
	return ask_number("EXISTS", type) == 1;
}

void take_as_another(int64_t type)
{
	TELL("SET t:{lock:stock}:%lld another", (long long)type);
}

int64_t took_ms(int64_t begin_ms)
{
	return now_ms() - begin_ms;
}

void acquire_within(struct redis_lock *l, int64_t type, int64_t ms, struct lock_lease *lease)
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

void refused(struct redis_lock *l, const char *words)
{
	struct lock_lease lease;
	struct error err = {0};

	assert_int_equal(acquire(l, 1, 0, &lease, &err), RESULT_RETRY);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" does not say %s", err.text, words);
}

void times_out_once(struct redis_lock *l)
{
	struct lock_lease lease;
	int64_t begin = now_ms();

	assert_int_equal(acquire(l, 1, 0, &lease, NULL), RESULT_RETRY);
	assert_in_range(took_ms(begin), TIMEOUT_MS, TIMEOUT_MS + SLACK_MS);
}

const char *password_put(const char *password)
{
	static char path[96];

	snprintf(path, sizeof(path), "%s/password", redis.server.directory);

	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fprintf(f, "%s\n", password);
	fclose(f);
	return path;
}
