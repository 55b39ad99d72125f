/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core/config.h"
#include "core/ops.h"

/* What Kafka knows of the configured topic and group, asked without joining it. */
struct kafka_partitions {
	struct source_offsets *at; /* ascending by partition, from 0 on without a hole */
	size_t count;
};

void kafka_partitions_free(struct kafka_partitions *p);
DEFINE_CLEANUP(struct kafka_partitions *, kafka_partitions_free)

struct kafka;

/*
 * Touches no server. `config` outlives it.
 * fails: FATAL for settings that librdkafka refuses
 */
enum result kafka_open(
	const struct config *config, struct kafka **ret, struct error *err) MUST_CHECK;
void kafka_close(struct kafka *k);
DEFINE_CLEANUP(struct kafka *, kafka_close)

/*
 * Ask for watermarks and committed offsets of every partition; bounded.
 *
 * fails: RETRY when no broker answers in time, REJECT when there is no such topic, FATAL when our
 *        user is not let in
 */
enum result kafka_read(
	struct kafka *k, struct kafka_partitions **ret, struct error *err) MUST_CHECK;

/*
 * The timestamp of the record at `offset`; *ret_ms -1: there is none (a gap), or it has no
 * timestamp.
 */
enum result kafka_timestamp_at(struct kafka *k, int32_t partition, int64_t offset, int64_t *ret_ms,
	struct error *err) MUST_CHECK;

/* The entry of a partition, or NULL; p may be NULL. */
const struct source_offsets *kafka_find(const struct kafka_partitions *p, int32_t partition);
