/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "ctl/db.h"

/* A row of consumer_progress. Text points into the rows it belongs to. */
struct progress_row {
	int32_t partition;
	int64_t next, published;
	int64_t last_record_ms; /* -1: none */
	bool sought;
	const char *owner; /* NULL: released */
	const char *state;
	const char *reason; /* NULL: none */
};

/* Those of the configured group and topic, ascending by partition. */
struct progress_rows {
	PGresult *result;
	struct progress_row *at;
	size_t count;
};

void progress_rows_free(struct progress_rows *p);
DEFINE_CLEANUP(struct progress_rows *, progress_rows_free)

/* lock: FOR UPDATE, so that no batch moves them until the transaction ends */
enum result progress_rows_read(struct db *d, const struct config *config, bool lock,
	struct progress_rows **ret, struct error *err) MUST_CHECK;

/* The row of a partition, or NULL. */
const struct progress_row *progress_rows_find(const struct progress_rows *p, int32_t partition);
