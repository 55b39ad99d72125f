/* SPDX-License-Identifier: Apache-2.0 */
#include "core/log.h"

#include <stddef.h>

struct log_entry log_entry(enum log_level level, enum log_event event, const char *text)
{
	return (struct log_entry){
		.level = level,
		.event = event,
		.text = text,
		.partition = -1,
		.first_offset = -1,
		.last_offset = -1,
		.duration_us = -1,
	};
}
