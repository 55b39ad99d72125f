/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/app_private.h"
#include "io/notify.h"

/* A broken file changes nothing; a good one is taken between two batches, without a pause. */
static void reload(struct app *a)
{
	CLEANUP(config_free_ptr) struct config *fresh = NULL;
	char restart[CONFIG_RESTART_BYTES] = "";
	struct error err = {0};
	enum result r = a->settings->load(a->settings->self, &fresh, &err);

	if (r == RESULT_OK)
		r = config_reload(a->config, fresh, restart, &err);
	if (r != RESULT_OK) {
		app_say(a, LOG_LEVEL_ERROR, LOG_EVENT_NOT_RELOADED,
			"reload: the settings stay as they are: %s%s%s", err.text,
			restart[0] ? "; these need a restart: " : "", restart);
		return;
	}
	a->settings->set_level(a->settings->self, (enum log_level)a->config->log.level);
	for (size_t i = 0; i < a->worker_count; i++)
		worker_thread_reconfigure(a->workers[i], a->config);
	app_say(a, LOG_LEVEL_NOTICE, LOG_EVENT_RELOADED, "reload: the settings are taken%s%s",
		restart[0] ? ", but these need a restart: " : "", restart);
}

int app_reload_on_signal(sd_event_source *s, const struct signalfd_siginfo *info, void *app)
{
	struct app *a = app;

	(void)s;
	(void)info;
	if (a->stopping)
		return 0; /* READY=1 would take STOPPING=1 back */
	/* To systemd a reload ends with READY=1, which before its time would end the start. */
	if (a->ready)
		notify_reloading();
	reload(a);
	if (a->ready)
		notify_ready();
	return 0;
}
