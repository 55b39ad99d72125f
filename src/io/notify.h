/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/*
 * What systemd is told (sd_notify(3)). Without $NOTIFY_SOCKET nothing happens; a failure has no one
 * to be told to.
 *
 * thread: main
 */
void notify_ready(void);

/* Before the reload that notify_ready() ends; with the time stamp that Type=notify-reload wants. */
void notify_reloading(void);

void notify_stopping(void);

/* One line for `systemctl status`; control characters become spaces. */
void notify_status(const char *text);

void notify_watchdog(void);

/* "Not hung, wait for at least so much longer": while starting, reloading or stopping. */
void notify_extend_timeout(int64_t us);
