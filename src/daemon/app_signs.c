/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <systemd/sd-daemon.h>

#include "daemon/app_private.h"
#include "io/notify.h"

enum {
	EXTEND_EVERY_US = 5000000,
	EXTEND_BY_US = 15000000, /* a process that hangs is ended so long after its last sign */
};

/*
 * The longest that a step may take when all is well: each of its calls has a bound. Kafka's are
 * constants of io/kafka_*.c (offsets(): three questions of 3 s; timestamp_at(): 5 s; commit: 3 s).
 */
static int64_t longest_step_us(const struct config *c)
{
	enum { KAFKA_MS = 12000, SPARE_MS = 3000 };
	int64_t ledger = c->database.transaction_timeout_ms + c->database.connect_timeout_ms;
	int64_t lock = c->lock.wait_ms + 3 * c->lock.redis_timeout_ms;

	return (KAFKA_MS + SPARE_MS + ledger + lock) * 1000;
}

/* A wait within its bound is alive, an endless one is not. */
static bool is_stuck(struct app *a)
{
	for (size_t i = 0; i < a->worker_count; i++) {
		int64_t us = worker_thread_step_us(a->workers[i]);

		if (us <= longest_step_us(a->config))
			continue;
		if (!a->stuck)
			app_say(a, LOG_LEVEL_ERROR, LOG_EVENT_STUCK,
				"worker %zu has been at one step for %" PRId64
				" s and is stuck: the watchdog gets no more signs of life",
				i, us / 1000000);
		a->stuck = true;
		return true;
	}
	a->stuck = false;
	return false;
}

static int on_watchdog(sd_event_source *s, uint64_t us, void *app)
{
	struct app *a = app;

	if (!is_stuck(a))
		notify_watchdog();
	return app_again(s, us + a->watchdog_us);
}

/*
 * A server that is down is waited for before READY, and a drain takes up to limits.stop_ms, which
 * may be longer than the unit allows. While we stop, a stuck worker is no reason to be silent: when
 * that budget is over we leave without it.
 */
static int on_extend(sd_event_source *s, uint64_t us, void *app)
{
	struct app *a = app;

	if (a->stopping || (!a->ready && !is_stuck(a)))
		notify_extend_timeout(EXTEND_BY_US);
	return app_again(s, us + EXTEND_EVERY_US);
}

int app_signs_add(struct app *a)
{
	int r = sd_event_add_time_relative(
		a->event, NULL, CLOCK_MONOTONIC, EXTEND_EVERY_US, 0, on_extend, a);

	/* Not sd_event_set_watchdog(): it would answer for the loop alone. */
	if (r >= 0 && sd_watchdog_enabled(0, &a->watchdog_us) > 0) {
		a->watchdog_us /= 2;
		r = sd_event_add_time_relative(
			a->event, NULL, CLOCK_MONOTONIC, 0, 0, on_watchdog, a);
	}
	return r;
}
