/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/cleanup.h"
#include "core/ops.h"
#include "io/kafka_conf.h"

/*
 * The sink of core/ops.h: an idempotent producer for the outcome topic. What is more than ops.h
 * says:
 *
 * - an outcome that is refused for good (too large, topic gone, not allowed) is told undelivered
 * and logged; one that no broker takes is waited for without an end, delivered or not.
 * - after a fatal error publish() answers BUSY until serve() has told all marks and answered RETRY,
 *   once; from then on a new producer is there.
 * - publish() fails with FATAL for our own bugs only (a key or value that no producer takes).
 *
 * thread: the worker that owns it
 */
struct kafka_sink;

extern const struct sink_ops kafka_sink_ops;

/* As kafka_source_open(). */
enum result kafka_sink_open(
	const struct kafka_settings *s, struct kafka_sink **ret, struct error *err) MUST_CHECK;

/* Closes first (bounded) unless ops->close() was called. */
void kafka_sink_free(struct kafka_sink *s);
DEFINE_CLEANUP(struct kafka_sink *, kafka_sink_free)

/* Pretend a fatal error of the library: for tests of what follows it. */
void kafka_sink_break(struct kafka_sink *s);
