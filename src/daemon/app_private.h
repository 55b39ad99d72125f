/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <systemd/sd-event.h>

#include "base/waker.h"
#include "core/status.h"
#include "daemon/app.h"
#include "daemon/worker_thread.h"

/*
 * The main thread's state, shared by the files of app.c: app_reload.c takes new settings,
 * app_report.c tells people and systemd how things are, app_signs.c says that we are not hung.
 *
 * thread: main, all of it
 */
struct app {
	const struct app_settings *settings;
	struct config *config;
	struct logger log;
	char instance[256];

	sd_event *event;
	struct waker look; /* woken by workers whose life has changed */
	struct lock_queue *queue;
	struct worker_thread **workers;
	struct worker_snapshot *snapshots;
	size_t worker_count;

	bool ready, stopping;
	bool abandoned; /* workers are left running: the process must end at once */
	int exit_code;

	/* app_report.c */
	char status[STATUS_MAX_BYTES];
	int64_t decided, decided_us; /* for the rate */
	double per_second;
	unsigned ticks;
	int64_t totals_logged;
	bool metrics_failed;

	/* app_signs.c */
	uint64_t watchdog_us; /* between two signs of life; 0: no watchdog */
	bool stuck;           /* a worker is, and it has been said */
};

__attribute__((format(printf, 4, 5))) void app_say(
	struct app *a, enum log_level level, enum log_event event, const char *format, ...);

/* For the end of a timer's handler: once more at `us`; returns what the handler returns. */
int app_again(sd_event_source *s, uint64_t us);

/* SIGHUP's handler. */
int app_reload_on_signal(sd_event_source *s, const struct signalfd_siginfo *info, void *app);

/* STATUS, if it has changed. */
void app_report_status(struct app *a);

/* Once a second: the rate, STATUS, totals, the metrics file. */
void app_report_tick(struct app *a);

/* Add the timers of the watchdog and of the start's and stop's time limits; 0 or -errno. */
int app_signs_add(struct app *a);
