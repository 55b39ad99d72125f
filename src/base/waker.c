/* SPDX-License-Identifier: Apache-2.0 */
#include "base/waker.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

bool waker_init(struct waker *w)
{
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return w->fd >= 0;
}

void waker_done(struct waker *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

void waker_wake(struct waker *w)
{
	uint64_t one = 1;

	/* It can fail only when the counter is full, and then it is readable anyway. */
	(void)!write(w->fd, &one, sizeof(one));
}

enum wait_end waker_wait(struct waker *w, int fd, short events, int64_t deadline_us)
{
	for (;;) {
		struct pollfd fds[2] = {
			{.fd = fd, .events = events},
			{.fd = w ? w->fd : -1, .events = POLLIN},
		};
		int64_t left_us = deadline_us - clock_monotonic_us();
		int64_t left_ms = left_us > 0 ? (left_us + 999) / 1000 : 0;
		int n = poll(fds, 2, left_ms > INT_MAX ? INT_MAX : (int)left_ms);

		if (n < 0 && errno != EINTR)
			return WAIT_READY; /* the library's own call will meet the same error */
		if (n > 0 && fds[1].revents)
			return WAIT_WOKEN;
		if (n > 0)
			return WAIT_READY;
		if (left_ms == 0)
			return WAIT_TIMEOUT;
	}
}
