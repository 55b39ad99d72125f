/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/app.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/waker.h"
#include "core/status.h"
#include "core/worker.h"
#include "daemon/worker_thread.h"
#include "io/metrics_file.h"
#include "io/notify.h"

enum {
	TICK_US = 1000000, /* STATUS and the metrics file */
	TOTALS_TICKS = 60, /* between two lines of totals in the journal */
};

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
	char status[STATUS_MAX_BYTES];
	int64_t decided, decided_us; /* for the rate */
	double per_second;
	unsigned ticks;
	int64_t totals_logged;
	bool metrics_failed;
	uint64_t watchdog_us; /* between two signs of life; 0: no watchdog */
	bool stuck;           /* a worker is, and it has been said */
};

__attribute__((format(printf, 4, 5))) static void say(
	struct app *a, enum log_level level, enum log_event event, const char *format, ...)
{
	char text[512] = "";
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);

	struct log_entry e = log_entry(level, event, text);

	a->log.ops->write(a->log.self, &e);
}

/* ---- stop -------------------------------------------------------------------------------- */

static int on_stop_budget(sd_event_source *s, uint64_t us, void *data)
{
	struct app *a = data;

	(void)s;
	(void)us;
	/* A library hangs in its close, or a server does not answer. All that was committed is
	 * safe, and what was not is read again by whoever comes next. */
	say(a, LOG_LEVEL_WARNING, LOG_EVENT_STOPPING,
		"not everything ended within limits.stop_ms (%" PRId64
		" ms): leaving, nothing is lost",
		a->config->limits.stop_ms);
	a->abandoned = true;
	return sd_event_exit(a->event, a->exit_code);
}

enum { STOP_MARGIN_US = 1300000 }; /* of limits.stop_ms, to write the last log lines */

static void stop(struct app *a, int exit_code, const char *why)
{
	if (a->stopping)
		return;
	a->stopping = true;
	a->exit_code = exit_code;
	notify_stopping();
	say(a, LOG_LEVEL_NOTICE, LOG_EVENT_STOPPING, "stopping: %s", why);
	for (size_t i = 0; i < a->worker_count; i++)
		worker_thread_stop(a->workers[i]);
	(void)sd_event_add_time_relative(a->event, NULL, CLOCK_MONOTONIC,
		(uint64_t)a->config->limits.stop_ms * 1000 - STOP_MARGIN_US, 0, on_stop_budget, a);
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

/* ---- reload ------------------------------------------------------------------------------ */

/* A broken file changes nothing; a good one is taken between two batches, without a pause. */
static void reload(struct app *a)
{
	CLEANUP(config_free_ptr) struct config *fresh = NULL;
	char restart[CONFIG_RESTART_BYTES];
	struct error err = {0};

	if (a->settings->load(a->settings->self, &fresh, &err) != RESULT_OK) {
		say(a, LOG_LEVEL_ERROR, LOG_EVENT_NONE, "reload: the settings stay as they are: %s",
			err.text);
		return;
	}
	config_reload(a->config, fresh, restart);
	a->settings->set_level(a->settings->self, (enum log_level)a->config->log.level);
	for (size_t i = 0; i < a->worker_count; i++)
		worker_thread_reconfigure(a->workers[i], a->config);
	say(a, LOG_LEVEL_NOTICE, LOG_EVENT_NONE, "reload: the settings are taken%s%s",
		restart[0] ? ", but these need a restart: " : "", restart);
}

static int on_reload_signal(sd_event_source *s, const struct signalfd_siginfo *info, void *data)
{
	struct app *a = data;

	(void)s;
	(void)info;
	notify_reloading();
	reload(a);
	if (a->ready)
		notify_ready();
	return 0;
}

static int again(sd_event_source *s, uint64_t us)
{
	return sd_event_source_set_time(s, us) < 0 ||
			       sd_event_source_set_enabled(s, SD_EVENT_ONESHOT) < 0
		       ? -EIO
		       : 0;
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
		say(a, LOG_LEVEL_NOTICE, LOG_EVENT_READY,
			"ready: %zu workers in group %s on topic %s", a->worker_count,
			a->config->kafka.group, a->config->kafka.topic);
		notify_ready();
	}
	if (all_ended)
		sd_event_exit(a->event, a->exit_code);
}

static void tell_status(struct app *a)
{
	const struct status_input in = {
		.workers = a->snapshots,
		.worker_count = a->worker_count,
		.ready = a->ready,
		.stopping = a->stopping,
		.now_us = clock_monotonic_us(),
		.now_ms = clock_realtime_ms(),
		.per_second = a->per_second,
	};
	char text[STATUS_MAX_BYTES];

	status_format(&in, text);
	if (strcmp(text, a->status) == 0)
		return;
	memcpy(a->status, text, sizeof(text));
	notify_status(text);
}

static int on_look(sd_event_source *s, int fd, uint32_t events, void *data)
{
	struct app *a = data;
	uint64_t count;

	(void)s;
	(void)events;
	(void)!read(fd, &count, sizeof(count)); /* it only said "look" */
	look_at_lives(a);
	tell_status(a);
	return 0;
}

static int64_t sum_decided(const struct app *a)
{
	int64_t n = 0;

	for (size_t i = 0; i < a->worker_count; i++)
		n += a->snapshots[i].decided;
	return n;
}

static void measure_rate(struct app *a)
{
	int64_t now = clock_monotonic_us(), decided = sum_decided(a);

	if (a->decided_us != 0 && now > a->decided_us) {
		double last = (double)(decided - a->decided) * 1e6 / (double)(now - a->decided_us);

		/* Half the weight for the last second: quick to rise, calm to read. */
		a->per_second = last == 0 && a->per_second < 1 ? 0 : (a->per_second + last) / 2;
	}
	a->decided = decided;
	a->decided_us = now;
}

static void log_totals(struct app *a)
{
	int64_t fresh = 0, duplicates = 0, dead = 0, decided = sum_decided(a);

	if (++a->ticks % TOTALS_TICKS != 0 || decided == a->totals_logged)
		return;
	a->totals_logged = decided;
	for (size_t i = 0; i < a->worker_count; i++) {
		fresh += a->snapshots[i].fresh;
		duplicates += a->snapshots[i].duplicates;
		dead += a->snapshots[i].refused + a->snapshots[i].conflicts;
	}
	say(a, LOG_LEVEL_INFO, LOG_EVENT_NONE,
		"since the start: %" PRId64 " records decided, %" PRId64 " payments, %" PRId64
		" duplicates, %" PRId64 " dead letters",
		decided, fresh, duplicates, dead);
}

static void write_metrics(struct app *a)
{
	struct error err = {0};

	if (!a->config->metrics.textfile[0])
		return;

	enum result r = metrics_file_write(
		a->config->metrics.textfile, a->snapshots, a->worker_count, &err);

	if (r != RESULT_OK && !a->metrics_failed)
		say(a, LOG_LEVEL_WARNING, LOG_EVENT_NONE, "%s", err.text);
	a->metrics_failed = r != RESULT_OK;
}

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

/* WATCHDOG=1 while no worker is stuck: a wait within its bound is alive, an endless one is not. */
static void feed_watchdog(struct app *a)
{
	for (size_t i = 0; i < a->worker_count; i++) {
		int64_t us = worker_thread_step_us(a->workers[i]);

		if (us <= longest_step_us(a->config))
			continue;
		if (!a->stuck)
			say(a, LOG_LEVEL_ERROR, LOG_EVENT_NONE,
				"worker %zu has been at one step for %" PRId64
				" s and is stuck: the watchdog gets no more signs of life",
				i, us / 1000000);
		a->stuck = true;
		return;
	}
	a->stuck = false;
	notify_watchdog();
}

static int on_watchdog(sd_event_source *s, uint64_t us, void *data)
{
	struct app *a = data;

	feed_watchdog(a);
	return again(s, us + a->watchdog_us);
}

static int on_tick(sd_event_source *s, uint64_t us, void *data)
{
	struct app *a = data;

	look_at_lives(a);
	measure_rate(a);
	tell_status(a);
	log_totals(a);
	write_metrics(a);
	return again(s, us + TICK_US);
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
		r = sd_event_add_signal(a->event, NULL, SIGHUP, on_reload_signal, a);
	if (r >= 0)
		r = sd_event_add_io(a->event, NULL, a->look.fd, EPOLLIN, on_look, a);
	if (r >= 0)
		r = sd_event_add_time_relative(
			a->event, NULL, CLOCK_MONOTONIC, TICK_US, 0, on_tick, a);
	/* Not sd_event_set_watchdog(): it would answer for the loop alone. */
	if (r >= 0 && sd_watchdog_enabled(0, &a->watchdog_us) > 0) {
		a->watchdog_us /= 2;
		r = sd_event_add_time_relative(
			a->event, NULL, CLOCK_MONOTONIC, 0, 0, on_watchdog, a);
	}
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
		say(a, LOG_LEVEL_ERROR, LOG_EVENT_NONE, "cannot set up the event loop: %s",
			strerror(errno));
		return APP_EXIT_INTERNAL;
	}
	if (make_workers(a, &err) != RESULT_OK) {
		say(a, LOG_LEVEL_ERROR, LOG_EVENT_NONE, "%s", err.text);
		return APP_EXIT_CONFIG;
	}
	tell_status(a);
	if (start_workers(a, &err) != RESULT_OK) {
		say(a, LOG_LEVEL_ERROR, LOG_EVENT_NONE, "%s", err.text);
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
