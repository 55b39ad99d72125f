/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/result.h"

/* Why a call failed, for people. Nobody decides by it: that is what the result is for. */
struct error {
	int code;         /* the library's own number, for the log */
	char sqlstate[6]; /* PostgreSQL's five letters, or empty */
	char text[240];   /* one line, no newline, no secret, no payload */
};

/*
 * Fill `err` (may be NULL) and hand `r` through, so that a failure is one line:
 *     return fail(err, RESULT_RETRY, errno, "cannot reach %s: %s", what, strerror(errno));
 * Newlines become spaces, trailing ones vanish; sqlstate is emptied.
 */
enum result fail(struct error *err, enum result r, int code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
