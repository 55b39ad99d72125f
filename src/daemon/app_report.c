/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/app_private.h"
#include "io/metrics_file.h"
#include "io/notify.h"

enum { TOTALS_TICKS = 60 }; /* between two lines of totals in the journal */

void app_report_status(struct app *a)
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
	int64_t decided = sum_decided(a);
	char text[STATUS_TOTALS_BYTES];

	if (++a->ticks % TOTALS_TICKS != 0 || decided == a->totals_logged)
		return;
	a->totals_logged = decided;
	status_totals(a->snapshots, a->worker_count, text);
	app_say(a, LOG_LEVEL_INFO, LOG_EVENT_TOTALS, "since the start: %s", text);
}

static void write_metrics(struct app *a)
{
	struct error err = {0};

	if (!a->config->metrics.textfile[0])
		return;

	enum result r = metrics_file_write(
		a->config->metrics.textfile, a->snapshots, a->worker_count, &err);

	if (r != RESULT_OK && !a->metrics_failed)
		app_say(a, LOG_LEVEL_WARNING, LOG_EVENT_NONE, "%s", err.text);
	a->metrics_failed = r != RESULT_OK;
}

void app_report_tick(struct app *a)
{
	measure_rate(a);
	app_report_status(a);
	log_totals(a);
	write_metrics(a);
}
