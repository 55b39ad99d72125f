/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "core/log.h"

/*
 * Where the log goes: to the journal with all its fields when $JOURNAL_STREAM says that `fd` is
 * connected to it, else to `fd` as lines for people.
 *
 * Neither a stalled journald nor a full pipe holds up who logs: entries are copied into a queue of
 * fixed size, and a thread of the journal's own writes them. What finds the queue full is lost; how
 * much is said as soon as something can be written again.
 */
struct journal;

struct journal_config {
	const char *identifier; /* SYSLOG_IDENTIFIER; outlives the journal */
	enum log_level level;   /* what is less important is not written */
	int fd;                 /* STDERR_FILENO; stays open until journal_close() */
};

/* fails: FATAL when there is no memory or no thread to be had */
enum result journal_open(
	const struct journal_config *config, struct journal **ret, struct error *err) MUST_CHECK;

/*
 * Write what is queued, for at most a second, and end. If the thread is stuck then, it is left
 * behind with its memory and `fd`. Nobody logs any more.
 */
void journal_close(struct journal *j);
DEFINE_CLEANUP(struct journal *, journal_close)

/* For a struct log_ops' caller; holds as long as the journal. thread: any may log */
struct logger journal_logger(struct journal *j);

/* From now on. thread: any */
void journal_set_level(struct journal *j, enum log_level level);

/* The MESSAGE_ID of an event, 32 hexadecimal digits; NULL for LOG_EVENT_NONE. */
const char *journal_message_id(enum log_event event);
