/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/*
 * Passwords and the like, which come from files only. No message ever holds what is in one; what is
 * read is the caller's to wipe (explicit_bzero()).
 */
enum { SECRET_MAX_BYTES = 1024 }; /* with the terminating NUL */

/*
 * The file that a setting means: `name` itself, or without a "/" the systemd credential of that
 * name in $CREDENTIALS_DIRECTORY.
 *
 * fails: FATAL when there is no such directory or the path is too long; the file is not looked at
 */
enum result secret_path(const char *name, char ret[PATH_MAX], struct error *err) MUST_CHECK;

/*
 * Read the first line of the file, without its end of line.
 *
 * ret:         terminated; never empty
 * ret_exposed: may be NULL; every user of the machine can read the file: worth a warning
 * fails:       FATAL, naming the file: not readable, empty, with a NUL or too long a line
 */
enum result secret_read(const char *name, char ret[SECRET_MAX_BYTES], bool *ret_exposed,
	struct error *err) MUST_CHECK;
