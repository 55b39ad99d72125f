/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "core/snapshot.h"

/*
 * Write the workers' numbers for node_exporter's textfile collector (Prometheus text format 0.0.4):
 * to `path` with ".tmp" added, then renamed, so that no reader sees half a file. Counters are sums
 * over the workers since the start of the process.
 *
 * path:  its name should end in ".prom", or the collector does not look at it
 * fails: RETRY when it cannot be written; the old file stays
 */
enum result metrics_file_write(const char *path, const struct worker_snapshot *workers,
	size_t count, struct error *err) MUST_CHECK;
