/* SPDX-License-Identifier: Apache-2.0 */
#include "redis_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "base/clock.h"
#include "io/redis_address.h"

/* What a lock is, on a real redis-server, and the ways there. */

static const struct lock_ops *const ops = &redis_lock_ops;

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

static void unix_socket_and_ipv6_lead_there_too(void **state)
{
	struct redis_lock_config c = config();
	struct lock_lease lease;
	char v6[32];

	(void)state;
	c.address = redis.server.socket;
	struct redis_lock *l = lock_of(&c);

	assert_int_equal(acquire(l, 1, 0, &lease, NULL), RESULT_OK);
	assert_true(exists(1));
	release(l, &lease);
	assert_false(exists(1));
	redis_lock_free(l);

	redisContext *probe = redisConnect("::1", redis.server.port);
	bool has_v6 = probe && !probe->err;

	redisFree(probe);
	if (!has_v6)
		return;
	snprintf(v6, sizeof(v6), "[::1]:%d", redis.server.port);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		REDIS_CASE(all_keys_or_none),
		REDIS_CASE(each_acquire_has_a_token_of_its_own),
		REDIS_CASE(scopes_and_prefixes_do_not_meet),
		REDIS_CASE(nothing_to_lock_is_no_question),
		REDIS_CASE(thousand_ticket_types_at_once),
		REDIS_CASE(key_of_another_owner_is_never_deleted),
		REDIS_CASE(lease_runs_out_for_the_others),
		REDIS_CASE(unix_socket_and_ipv6_lead_there_too),
		REDIS_CASE(addresses_are_read_strictly),
	};

	if (redis_fixture_skipped())
		return 0;
	return cmocka_run_group_tests(tests, redis_fixture_setup, redis_fixture_teardown);
}
