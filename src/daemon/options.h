/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* The daemon's command line, taken apart. Strings point into argv. */
struct options {
	const char *config_file; /* NULL: not given */
	const char **sets;       /* of --set, in order; room for argc, the caller's */
	size_t set_count;
	bool check_config, print_config, version, help;
};

/* ret: zeroed but for `sets`. FATAL: what is wrong with the command line. */
enum result options_parse(int argc, char **argv, struct options *ret, struct error *err) MUST_CHECK;

extern const char options_help[];
