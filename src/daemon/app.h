/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "core/config.h"
#include "core/log.h"

/* What the daemon exits with (README, "Exit status"). */
enum {
	APP_EXIT_DONE = 0,
	APP_EXIT_USAGE = 64,
	APP_EXIT_REPLACED = 69,
	APP_EXIT_INTERNAL = 70,
	APP_EXIT_CONFIG = 78,
};

/* What main() has read and made; outlives app_run(). */
struct app_settings {
	struct config *config; /* changed by a reload, by the main thread */
	/* Read the settings again, as main() did. */
	enum result (*load)(void *self, struct config **ret, struct error *err);
	/* The threshold of the log has changed. */
	void (*set_level)(void *self, enum log_level level);
	void *self;
	struct logger log;
};

/*
 * Run until asked to stop; returns the exit status.
 *
 * abandoned: workers still run, because limits.stop_ms was over: leave by _exit()
 * thread:    main
 */
int app_run(const struct app_settings *settings, bool *abandoned);
