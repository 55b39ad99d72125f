/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/cleanup.h"
#include "core/ops.h"
#include "io/kafka_conf.h"

/*
 * What ticketpayctl asks Kafka. Reads only and never joins the group, so it can be used beside a
 * working daemon. Every call is bounded: a few seconds when no broker answers.
 *
 * thread: one
 */
struct kafka_admin;

/* Touches no server. The instance and worker of the settings do not matter. */
enum result kafka_admin_open(
	const struct kafka_settings *s, struct kafka_admin **ret, struct error *err) MUST_CHECK;
void kafka_admin_free(struct kafka_admin *a);
DEFINE_CLEANUP(struct kafka_admin *, kafka_admin_free)

/*
 * How many partitions has the topic?
 * fails: RETRY when no broker answers; REJECT when there is no such topic; FATAL when an ACL or the
 *        right password is missing
 */
enum result kafka_admin_partitions(
	struct kafka_admin *a, const char *topic, int32_t *ret, struct error *err) MUST_CHECK;

/*
 * Watermarks and the group's committed offset of a partition; committed -1: there is none.
 * fails: RETRY
 */
enum result kafka_admin_offsets(struct kafka_admin *a, const char *topic, int32_t partition,
	struct source_offsets *ret, struct error *err) MUST_CHECK;
