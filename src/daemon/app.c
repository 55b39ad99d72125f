/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/app_private.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/worker.h"
#include "io/notify.h"

enum { TICK_US = 1000000 }; /* STATUS and the metrics file */

void app_say(struct app *a, enum log_level level, enum log_event event, const char *format, ...)
{
	char text[512] = "";
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);

	struct log_entry e = log_entry(level, event, text);

	a->log.ops->write(a->log.self, &e);
}

int app_again(sd_event_source *s, uint64_t us)
{
	return sd_event_source_set_time(s, us) < 0 ||
			       sd_event_source_set_enabled(s, SD_EVENT_ONESHOT) < 0
		       ? -EIO
		       : 0;
}

/* ---- stop -------------------------------------------------------------------------------- */

static int on_stop_budget(sd_event_source *s, uint64_t us, void *data)
{
	struct app *a = data;

	(void)s;
	(void)us;
	/* A library hangs in its close, or a server does not answer. All that was committed is
	 * safe, and what was not is read again by whoever comes next. */
	app_say(a, LOG_LEVEL_WARNING, LOG_EVENT_STOPPING,
		"not everything ended within limits.stop_ms (%" PRId64
		" ms): leaving, nothing is lost",
		a->config->limits.stop_ms);
	a->abandoned = true;
	return sd_event_exit(a->event, a->exit_code);
}

/* limits.stop_ms, less what writing the last log lines may take. */
static uint64_t stop_budget_us(const struct app *a)
{
	enum { MARGIN_US = 1300000 };
	int64_t us = a->config->limits.stop_ms * 1000;

	return (uint64_t)(us > 2 * MARGIN_US ? us - MARGIN_US : us / 2);
}

static void stop(struct app *a, int exit_code, const char *why)
{
	if (a->stopping)
		return;
	a->stopping = true;
	a->exit_code = exit_code;
	notify_stopping();
	app_say(a, LOG_LEVEL_NOTICE, LOG_EVENT_STOPPING, "stopping: %s", why);
	for (size_t i = 0; i < a->worker_count; i++)
		worker_thread_stop(a->workers[i]);
	(void)sd_event_add_time_relative(
		a->event, NULL, CLOCK_MONOTONIC, stop_budget_us(a), 0, on_stop_budget, a);
}

static int on_stop_signal(sd_event_source *s, const struct signalfd_siginfo *info, void *data)
{
	struct app *a = data;

	(void)s;
	if (a->stopping)
		_exit(APP_EXIT_DONE); /* asked a second time: at once */
	stop(a, APP_EXIT_DONE, info->ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
	return 0;
}

/* ---- look at the workers ----------------------------------------------------------------- */

static void look_at_lives(struct app *a)
{
	bool all_joined = true, all_ended = true;

	for (size_t i = 0; i < a->worker_count; i++) {
		bool ended = worker_thread_ended(a->workers[i]);

		worker_thread_snapshot(a->workers[i], &a->snapshots[i]);
		all_joined &= a->snapshots[i].joined;
		all_ended &= ended;
		switch ((enum worker_life)a->snapshots[i].life) {
		case WORKER_STARTING:
		case WORKER_RUNNING:
		case WORKER_DRAINING:
		case WORKER_STOPPED:
			break;
		case WORKER_UNFIT:
			stop(a, APP_EXIT_CONFIG, "what a server holds does not fit (see above)");
			break;
		case WORKER_REPLACED:
			stop(a, APP_EXIT_REPLACED, "another daemon has our kafka.instance name");
			break;
		case WORKER_BROKEN:
			stop(a, APP_EXIT_INTERNAL, "an internal error (see above)");
			break;
		}
	}
	if (all_joined && !a->ready && !a->stopping) {
		a->ready = true;
		app_say(a, LOG_LEVEL_NOTICE, LOG_EVENT_READY,
			"ready: %zu workers in group %s on topic %s", a->worker_count,
			a->config->kafka.group, a->config->kafka.topic);
		notify_ready();
	}
	if (all_ended)
		sd_event_exit(a->event, a->exit_code);
}

static int on_look(sd_event_source *s, int fd, uint32_t events, void *data)
{
	struct app *a = data;
	uint64_t count;

	(void)s;
	(void)events;
	(void)!read(fd, &count, sizeof(count)); /* it only said "look" */
	look_at_lives(a);
	app_report_status(a);
	return 0;
}

static int on_tick(sd_event_source *s, uint64_t us, void *data)
{
	struct app *a = data;

	look_at_lives(a);
	app_report_tick(a);
	return app_again(s, us + TICK_US);
}

/* ---- run --------------------------------------------------------------------------------- */

/* The member's name: kafka.instance, or the host's name; "" is a dynamic member. */
static void resolve_instance(struct app *a)
{
	const char *given = a->config->kafka.instance;

	if (strcmp(given, "none") == 0)
		return;
	if (given[0])
		snprintf(a->instance, sizeof(a->instance), "%s", given);
	else if (gethostname(a->instance, sizeof(a->instance) - 1) != 0)
		snprintf(a->instance, sizeof(a->instance), "localhost");
}

static int add_sources(struct app *a)
{
	int r = sd_event_new(&a->event);

	if (r >= 0)
		r = sd_event_add_signal(a->event, NULL, SIGTERM, on_stop_signal, a);
	if (r >= 0)
		r = sd_event_add_signal(a->event, NULL, SIGINT, on_stop_signal, a);
	if (r >= 0)
		r = sd_event_add_signal(a->event, NULL, SIGHUP, app_reload_on_signal, a);
	if (r >= 0)
		r = sd_event_add_io(a->event, NULL, a->look.fd, EPOLLIN, on_look, a);
	if (r >= 0)
		r = sd_event_add_time_relative(
			a->event, NULL, CLOCK_MONOTONIC, TICK_US, 0, on_tick, a);
	if (r >= 0)
		r = app_signs_add(a);
	return r;
}

static enum result make_workers(struct app *a, struct error *err)
{
	size_t count = (size_t)a->config->kafka.workers;

	a->queue = lock_queue_new();
	a->workers = calloc(count, sizeof(struct worker_thread *));
	a->snapshots = calloc(count, sizeof(*a->snapshots));
	if (!a->queue || !a->workers || !a->snapshots)
		return fail(err, RESULT_FATAL, ENOMEM, "no memory for the workers");
	for (size_t i = 0; i < count; i++) {
		const struct worker_thread_config config = {
			.config = a->config,
			.instance = a->instance,
			.index = (int)i,
			.queue = a->queue,
			.look = &a->look,
			.log = a->log,
		};
		enum result r = worker_thread_new(&config, &a->workers[i], err);

		if (r != RESULT_OK)
			return r;
		a->worker_count++;
	}
	return RESULT_OK;
}

static enum result start_workers(struct app *a, struct error *err)
{
	for (size_t i = 0; i < a->worker_count; i++) {
		enum result r = worker_thread_start(a->workers[i], err);

		if (r != RESULT_OK)
			return r;
	}
	return RESULT_OK;
}

static void app_done(struct app *a)
{
	for (size_t i = 0; i < a->worker_count; i++)
		worker_thread_free(a->workers[i]);
	free(a->workers);
	free(a->snapshots);
	lock_queue_free(a->queue);
	waker_done(&a->look);
	sd_event_unref(a->event);
}

static int run(struct app *a)
{
	struct error err = {0};

	if (!waker_init(&a->look) || add_sources(a) < 0) {
		app_say(a, LOG_LEVEL_ERROR, LOG_EVENT_NONE, "cannot set up the event loop: %s",
			strerror(errno));
		return APP_EXIT_INTERNAL;
	}
	if (make_workers(a, &err) != RESULT_OK) {
		app_say(a, LOG_LEVEL_ERROR, LOG_EVENT_NONE, "%s", err.text);
		return APP_EXIT_CONFIG;
	}
	app_report_status(a);
	if (start_workers(a, &err) != RESULT_OK) {
		app_say(a, LOG_LEVEL_ERROR, LOG_EVENT_NONE, "%s", err.text);
		stop(a, APP_EXIT_INTERNAL, "not all workers could be started");
	}
	return sd_event_loop(a->event);
}

/* Blocked before any thread starts, so that only the event loop ever sees them. */
static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN); /* hiredis and libpq write to sockets that may be closed */
}

int app_run(const struct app_settings *settings, bool *abandoned)
{
	struct app a = {.settings = settings, .config = settings->config, .log = settings->log};

	block_signals();
	resolve_instance(&a);

	int code = run(&a);

	*abandoned = a.abandoned;
	if (!a.abandoned)
		app_done(&a);
	return code < 0 ? APP_EXIT_INTERNAL : code;
}
