/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/cleanup.h"
#include "core/ops.h"
#include "io/kafka_conf.h"

/*
 * The source of core/ops.h: one member of the consumer group. What is more than ops.h says:
 *
 * - poll() reports SOURCE_UNREACHABLE about once a second while no broker answers; a record,
 *   ASSIGNED, a good COMMIT or three seconds without a further UNREACHABLE mean that they are back.
 *   It also stands for what keeps the whole member waiting (group or topic not allowed, topic
 * gone). err is filled.
 * - after SOURCE_DISTURBED (err filled) nothing more may come of that partition until seek() or
 *   assign(): the position may be out of range.
 * - poll() fails with FATAL for a fatal error of the library that is not a taken name; in 2.0.2 and
 *   2.8 there is none for a consumer of the classic protocol. Then only close() is of use.
 * - calls about a partition that is not (or no longer) ours answer FENCED; REVOKED follows from
 * poll().
 * - commit() of what was not acknowledged is made once more, at once and for at most a second, when
 *   the partition is revoked without being lost. Its answer is not reported.
 * - check(), offsets() and timestamp_at() answer RETRY at once when the waker is woken.
 *
 * thread: the worker that owns it
 */
struct kafka_source;

extern const struct source_ops kafka_source_ops;

/*
 * Touches no server. s: what it points to outlives the source.
 * fails: FATAL for what librdkafka does not accept
 */
enum result kafka_source_open(
	const struct kafka_settings *s, struct kafka_source **ret, struct error *err) MUST_CHECK;

/* Closes first (bounded) unless ops->close() was called. */
void kafka_source_free(struct kafka_source *s);
DEFINE_CLEANUP(struct kafka_source *, kafka_source_free)
