/* SPDX-License-Identifier: Apache-2.0 */
#include "redis_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"

/* Waiting for a lock: how long, and in which order. */

static const struct lock_ops *const ops = &redis_lock_ops;

static void busy_at_the_deadline(void **state)
{
	struct redis_lock *l = lock_new();
	struct lock_lease lease;
	int64_t begin = now_ms();

	(void)state;
	take_as_another(1);
	assert_int_equal(acquire(l, 1, 200, &lease, NULL), RESULT_BUSY);
	assert_in_range(took_ms(begin), 200, 200 + SLACK_MS);
	assert_int_equal(lock_queue_length(redis.queue), 0);
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

	while (lock_queue_length(redis.queue) != length) {
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
	assert_int_equal(lock_queue_length(redis.queue), 1);

	TELL("DEL t:{lock:stock}:1");
	pthread_join(thread, NULL);
	assert_int_equal(head.result, RESULT_OK);
	assert_int_equal(lock_queue_length(redis.queue), 0);
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
	assert_int_equal(lock_queue_length(redis.queue), 0);

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
	assert_int_equal(lock_queue_enter(redis.queue, &place, NULL, 0), WAIT_READY);
	assert_int_equal(lock_queue_pause(redis.queue, &place, NULL, 0), WAIT_TIMEOUT);
	release(l, &lease);
	assert_int_equal(lock_queue_pause(redis.queue, &place, NULL, 0), WAIT_READY);
	assert_int_equal(lock_queue_pause(redis.queue, &place, NULL, 0), WAIT_TIMEOUT);
	lock_queue_leave(redis.queue, &place);
	lock_queue_leave(redis.queue, &place); /* nothing happens */
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

		while (!last_round && lock_queue_length(redis.queue) != FAIR_THREADS - 1 &&
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		REDIS_CASE(busy_at_the_deadline),
		REDIS_CASE(place_in_the_queue_does_not_outlast_its_deadline),
		REDIS_CASE(waker_ends_the_wait_but_not_the_try),
		REDIS_CASE(release_tells_the_head_of_the_queue),
		REDIS_CASE(each_thread_has_its_turn_in_order),
	};

	if (redis_fixture_skipped())
		return 0;
	return cmocka_run_group_tests(tests, redis_fixture_setup, redis_fixture_teardown);
}
