/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/config.h"

/* What ticketpayctl exits with; part of its contract. */
enum ctl_exit {
	CTL_DONE = 0,
	CTL_REFUSED = 1,   /* refused, or something is broken */
	CTL_UNREACHED = 2, /* a server was not reached */
	CTL_USAGE = 64,
	CTL_CONFIG = 78,
};

/* Options of verbs, as bits of verb.options. */
enum ctl_option {
	OPTION_PLAN = 1 << 0,
	OPTION_APPLY = 1 << 1,
	OPTION_KAFKA = 1 << 2,
	OPTION_JSON = 1 << 3,
	OPTION_YES = 1 << 4,
	OPTION_TOTAL = 1 << 5,
	OPTION_NAME = 1 << 6,
	OPTION_PARTITION = 1 << 7,
	OPTION_TO = 1 << 8,
};

enum { CTL_WORDS_MAX = 8 };

/* The command line, taken apart. Strings point into argv. */
struct ctl {
	const struct config *config;

	const char *config_file; /* NULL: not given */
	const char **sets;       /* of --set, in order */
	size_t set_count;
	bool help, version;

	const char *words[CTL_WORDS_MAX]; /* the verb's, then its arguments */
	size_t word_count;
	const char *const *arguments; /* the words after the verb's own */

	unsigned given;                            /* enum ctl_option */
	const char *total, *name, *partition, *to; /* NULL: not given */
};

/* One row of the table of verbs. */
struct verb {
	const char *name;     /* one word or two; NULL ends the table */
	const char *synopsis; /* what follows the name */
	const char *help;     /* one line */
	unsigned options;     /* enum ctl_option: those it takes */
	size_t arguments;     /* exactly so many words follow the name */
	enum ctl_exit (*run)(const struct ctl *c);
};

extern const struct verb ctl_verbs[];

enum ctl_exit migrate_run(const struct ctl *c);
enum ctl_exit verify_run(const struct ctl *c);
enum ctl_exit status_run(const struct ctl *c);
enum ctl_exit stock_create_run(const struct ctl *c);
enum ctl_exit stock_add_run(const struct ctl *c);
enum ctl_exit progress_show_run(const struct ctl *c);
enum ctl_exit progress_adopt_run(const struct ctl *c);
enum ctl_exit progress_seek_run(const struct ctl *c);
enum ctl_exit resume_run(const struct ctl *c);

static inline bool ctl_given(const struct ctl *c, enum ctl_option option)
{
	return (c->given & option) != 0;
}

/* Say it on stderr, after "ticketpayctl: "; returns `code`, so that a refusal is one line. */
enum ctl_exit ctl_say(enum ctl_exit code, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The same for a call that failed: RETRY is a server not reached, FATAL the configuration's fault
 * (a password, a property), the rest a refusal. */
enum ctl_exit ctl_failed(enum result r, const struct error *err);

/* A decimal integer, the whole text, with an optional minus; false: it is none, or out of range. */
bool ctl_parse_int(const char *text, int64_t minimum, int64_t maximum, int64_t *ret);

/* --partition, if it was given: *ret -1 where not. Anything but CTL_DONE was said already. */
enum ctl_exit ctl_partition(const struct ctl *c, int32_t *ret);

/* Ask on the terminal; true at once with --yes or where nobody can answer. */
bool ctl_confirmed(const struct ctl *c, const char *question);
