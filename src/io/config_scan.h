/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

#include "base/error.h"

/*
 * Look through the text of a configuration file for what libconfig would misread without a word.
 *
 * text:  terminated; `length` bytes without the NUL that ends it
 * path:  for the message
 * fails: FATAL, "FILE:12: section.key: ..."
 */
enum result config_scan(
	const char *text, size_t length, const char *path, struct error *err) MUST_CHECK;
