/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/waker.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

static int64_t in_ms(int64_t ms)
{
	return clock_monotonic_us() + ms * 1000;
}

/* A deadline no case should reach. */
enum { NEVER_MS = 20000 };

static int make(void **state)
{
	static struct waker w;

	*state = &w;
	return waker_init(&w) ? 0 : -1;
}

static int unmake(void **state)
{
	waker_done(*state);
	waker_done(*state); /* twice is harmless */
	return 0;
}

static void a_wake_before_the_wait_ends_it(void **state)
{
	waker_wake(*state);
	assert_int_equal(waker_wait(*state, -1, 0, in_ms(NEVER_MS)), WAIT_WOKEN);
}

static void once_woken_every_wait_ends_until_it_is_read(void **state)
{
	struct waker *w = *state;
	uint64_t n;

	waker_wake(w);
	waker_wake(w);
	assert_int_equal(waker_wait(w, -1, 0, in_ms(NEVER_MS)), WAIT_WOKEN);
	assert_int_equal(waker_wait(w, -1, 0, in_ms(NEVER_MS)), WAIT_WOKEN);
	assert_int_equal(read(w->fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 2);
	assert_int_equal(waker_wait(w, -1, 0, in_ms(0)), WAIT_TIMEOUT);
}

static void *wake_it(void *w)
{
	waker_wake(w);
	return NULL;
}

static void another_thread_ends_the_wait(void **state)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, wake_it, *state), 0);
	assert_int_equal(waker_wait(*state, -1, 0, in_ms(NEVER_MS)), WAIT_WOKEN);
	pthread_join(thread, NULL);
}

static void a_deadline_in_the_past_still_looks(void **state)
{
	assert_int_equal(waker_wait(*state, -1, 0, in_ms(-1000)), WAIT_TIMEOUT);
	waker_wake(*state);
	assert_int_equal(waker_wait(*state, -1, 0, in_ms(-1000)), WAIT_WOKEN);
}

static void a_wait_lasts_as_long_as_it_should(void **state)
{
	int64_t deadline_us = in_ms(20);

	assert_int_equal(waker_wait(*state, -1, 0, deadline_us), WAIT_TIMEOUT);
	assert_true(clock_monotonic_us() >= deadline_us);
}

static void the_descriptor_ends_the_wait_and_the_waker_comes_first(void **state)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(waker_wait(*state, ends[1], POLLOUT, in_ms(NEVER_MS)), WAIT_READY);
	assert_int_equal(waker_wait(*state, ends[0], POLLIN, in_ms(0)), WAIT_TIMEOUT);
	assert_int_equal(waker_wait(NULL, ends[1], POLLOUT, in_ms(NEVER_MS)), WAIT_READY);
	waker_wake(*state);
	assert_int_equal(waker_wait(*state, ends[1], POLLOUT, in_ms(NEVER_MS)), WAIT_WOKEN);
	/* Not to be woken: the transaction is better finished. */
	assert_int_equal(waker_wait(NULL, ends[0], POLLIN, in_ms(0)), WAIT_TIMEOUT);
	close(ends[1]);
	assert_int_equal(waker_wait(NULL, ends[0], POLLIN, in_ms(NEVER_MS)), WAIT_READY);
	close(ends[0]);
}

static void ignore(int number)
{
	(void)number;
}

static void a_signal_does_not_end_the_wait(void **state)
{
	struct sigaction action = {.sa_handler = ignore}, before;
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec soon = {.it_value = {.tv_nsec = 1000000}};

	sigaction(SIGUSR1, &action, &before);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	assert_int_equal(timer_settime(timer, 0, &soon, NULL), 0);

	int64_t deadline_us = in_ms(20);

	assert_int_equal(waker_wait(*state, -1, 0, deadline_us), WAIT_TIMEOUT);
	assert_true(clock_monotonic_us() >= deadline_us);
	timer_delete(timer);
	sigaction(SIGUSR1, &before, NULL);
}

static void without_descriptors_there_is_no_waker(void **state)
{
	struct rlimit before, none;
	struct waker w;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);

	bool made = waker_init(&w);
	/* poll() refuses as well: two entries are over the limit. The caller's library will meet
	 * the same error, so the wait must end rather than spin. */
	enum wait_end end = waker_wait(NULL, -1, 0, in_ms(NEVER_MS));

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_false(made);
	assert_int_equal(end, WAIT_READY);
	waker_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_wake_before_the_wait_ends_it, make, unmake),
		cmocka_unit_test_setup_teardown(
			once_woken_every_wait_ends_until_it_is_read, make, unmake),
		cmocka_unit_test_setup_teardown(another_thread_ends_the_wait, make, unmake),
		cmocka_unit_test_setup_teardown(a_deadline_in_the_past_still_looks, make, unmake),
		cmocka_unit_test_setup_teardown(a_wait_lasts_as_long_as_it_should, make, unmake),
		cmocka_unit_test_setup_teardown(
			the_descriptor_ends_the_wait_and_the_waker_comes_first, make, unmake),
		cmocka_unit_test_setup_teardown(a_signal_does_not_end_the_wait, make, unmake),
		cmocka_unit_test(without_descriptors_there_is_no_waker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
