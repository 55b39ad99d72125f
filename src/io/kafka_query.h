/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core/ops.h"
#include "io/kafka_client.h"

/*
 * Questions to the brokers, each bounded by timeout_ms. A failure to get an answer is RETRY, never
 * a made-up answer. For the adapters of this directory only.
 */
enum { KAFKA_QUERY_MS = 3000 };

/*
 * How many partitions has the topic?
 * fails: RETRY when no broker answers; REJECT when there is no such topic; FATAL when our user may
 *        not see it
 */
enum result kafka_query_partitions(struct kafka_client *c, const char *topic, int timeout_ms,
	int32_t *ret, struct error *err) MUST_CHECK;

/* Watermarks and the group's committed offset; a bound for each of the three questions. */
enum result kafka_query_offsets(struct kafka_client *c, const char *topic, int32_t partition,
	int timeout_ms, struct source_offsets *ret, struct error *err) MUST_CHECK;

/*
 * The timestamp of the record at `offset`, read by a client of its own that joins no group (the
 * member's own stream is not disturbed).
 *
 * conf:  of role READER; copied
 * ret:   or TIMESTAMP_NONE, TIMESTAMP_END (core/ops.h)
 */
enum result kafka_query_timestamp(const struct rd_kafka_conf_s *conf, struct logger log,
	const char *topic, const struct position *at, int timeout_ms, int64_t *ret_ms,
	struct error *err) MUST_CHECK;
