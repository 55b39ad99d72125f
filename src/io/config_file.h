/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core/config.h"

/*
 * The configuration file: libconfig syntax, sections = { key = value; }, strings in quotes, lists
 * of strings as [ "a", "b" ] or ( "a", "b" ). Stricter than libconfig: an integer has at most 9
 * digits (libconfig 1.5 reads larger ones as another number) and no leading zero (octal since 1.7),
 * no @include, no NUL, no open comment.
 */

/*
 * Set what the file says. On failure `c` may hold a part of it and is good for nothing but
 * config_free().
 *
 * fails: FATAL, text "FILE:12: section.key: ..."; ENOENT in err->code: there is no such file
 */
enum result config_file_read(struct config *c, const char *path, struct error *err) MUST_CHECK;

/*
 * Make the settings that a program works with: defaults, then the file, then every --set, then the
 * rules between keys.
 *
 * path:     the file
 * optional: a file that does not exist is no error (the default path, without -c)
 * sets:     arguments of --set, in order
 * ret:      freed with config_free()
 */
enum result config_file_load(const char *path, bool optional, const char *const *sets,
	size_t set_count, struct config **ret, struct error *err) MUST_CHECK;
