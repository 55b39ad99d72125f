/* SPDX-License-Identifier: Apache-2.0 */
#include "redis_fixture.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "base/clock.h"

/* A redis-server that forgets, restarts, refuses or answers late. */

static const struct lock_ops *const ops = &redis_lock_ops;

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
	redisFree(redis.admin);
	redis_server_stop(&redis.server);
	release(l, &lease);

	int64_t begin = now_ms();

	for (int i = 0; i < 1000; i++)
		assert_int_equal(acquire(l, 1, 1000, &lease, &err), RESULT_RETRY);
	assert_true(took_ms(begin) < 1000); /* none of them waits */
	assert_non_null(strstr(err.text, "Connection refused"));
	assert_non_null(strstr(err.text, redis.server.address));
	assert_int_equal(ops->check(l, &err), RESULT_RETRY);

	redis_server_start(&redis.server);
	redis.admin = redis_server_connect(&redis.server);
	acquire_within(l, 1, 5000, &lease);
	release(l, &lease);
	assert_false(exists(1));
	redis_lock_free(l);
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

static void password_is_used_and_never_told(void **state)
{
	struct redis_lock_config c = config();
	struct redis_lock *without = lock_new();
	struct lock_lease lease;
	struct error err = {0};

	(void)state;
	c.password_file = password_put("hush-wrong");
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

	unlink(c.password_file);
	l = lock_of(&c);
	refused(l, c.password_file);
	redis_lock_free(l);
}

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
	assert_int_equal(kill(redis.server.pid, SIGSTOP), 0);
	times_out_once(l);
	assert_int_equal(kill(redis.server.pid, SIGCONT), 0);

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

	assert_int_equal(kill(redis.server.pid, SIGSTOP), 0);
	begin = now_ms();
	release(l, &lease);
	assert_true(took_ms(begin) < TIMEOUT_MS + SLACK_MS);
	assert_int_equal(kill(redis.server.pid, SIGCONT), 0);
	while (exists(2))
		assert_true(clock_monotonic_us() < until_us);
	redis_lock_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		REDIS_CASE(scripts_are_known_by_sha_and_flushing_them_does_not_hurt),
		REDIS_CASE(lost_keys_are_no_trouble),
		REDIS_CASE(closed_idle_connection_costs_no_retry),
		REDIS_CASE(restart_is_survived),
		REDIS_CASE(read_only_replica_is_named_and_left),
		REDIS_CASE(full_memory_is_named),
		REDIS_CASE(password_is_used_and_never_told),
		REDIS_CASE(slow_server_is_bounded_and_trusted_again),
		REDIS_CASE(late_reply_answers_nothing_and_its_key_is_freed),
		REDIS_CASE(unanswered_release_is_made_good),
	};

	if (redis_fixture_skipped())
		return 0;
	return cmocka_run_group_tests(tests, redis_fixture_setup, redis_fixture_teardown);
}
