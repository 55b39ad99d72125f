/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/log.h"

/* How an entry looks; what is longer is cut. Control characters become spaces. */
enum { JOURNAL_ENTRY_BYTES = 2560, JOURNAL_FIELDS_MAX = 20 };

/*
 * The journal's fields, "NAME=value", each with a terminating NUL.
 *
 * returns: bytes, NULs included
 */
size_t journal_format_fields(
	const struct log_entry *e, const char *identifier, char ret[JOURNAL_ENTRY_BYTES]);

/*
 * One line for people, with its newline: 2025-01-31T12:00:00.123Z warning: text  partition=2 ...
 *
 * now_ms:  clock_realtime_ms()
 * returns: bytes; not terminated
 */
size_t journal_format_line(
	const struct log_entry *e, int64_t now_ms, char ret[JOURNAL_ENTRY_BYTES]);
