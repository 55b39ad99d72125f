/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"

/*
 * An eventfd that ends waits. Once woken it stays readable until its owner reads it.
 * thread: waker_wake() from any thread; the rest from the one that waits.
 */
struct waker {
	int fd; /* readable once woken */
};

bool waker_init(struct waker *w); /* false: errno says why */
void waker_done(struct waker *w);
void waker_wake(struct waker *w);

/* What ended a wait. */
enum wait_end {
	WAIT_READY,   /* the descriptor is ready, or has an error that its library will name */
	WAIT_TIMEOUT, /* the deadline has passed */
	WAIT_WOKEN,   /* somebody called waker_wake() */
};

/*
 * Wait until `fd` is ready for `events` (POLLIN, POLLOUT), `w` is woken or the deadline has passed.
 *
 * w:           NULL: not to be woken (a transaction that is better finished than dropped)
 * fd:          -1: nothing but the waker and the clock
 * deadline_us: clock_monotonic_us()
 */
enum wait_end waker_wait(struct waker *w, int fd, short events, int64_t deadline_us) MUST_CHECK;
