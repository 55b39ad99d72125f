/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The files sql/[0-9]*.sql, compiled in: sql/embed.awk writes the C source at build time.
 * Ascending from version 1 without a hole; ended by version 0.
 */
struct migration {
	int version;
	const char *name; /* of sql/001_NAME.sql */
	const char *sql;  /* the whole file */
};

extern const struct migration migrations[];
