/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <librdkafka/rdkafka.h>

#include "io/kafka_source.h"

/* After ours: cmocka has a macro fail(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/*
 * The Kafka adapters against a real Apache Kafka, whose address is in $TICKETPAY_TEST_BROKERS. Each
 * case has topics and groups of its own. Whatever goes wrong here fails the case.
 */
#define SECOND_US INT64_C(1000000)
#define PATIENCE_US (20 * SECOND_US)

struct kafka_fixture {
	const char *brokers;
	rd_kafka_t *helper;        /* creates topics, produces records */
	struct error expected_err; /* of the event that expect() gave back */
	int lines;                 /* that the adapters have logged */
};
extern struct kafka_fixture kafka;

int kafka_fixture_setup(void **state);
int kafka_fixture_teardown(void **state);

/* ---- topics ---------------------------------------------------------------------------------- */

struct names {
	char topic[64], outcomes[64], group[64];
};

/* Names that no other case has; make_topics() creates the topics, too, with 7 for outcomes. */
void make_names(struct names *ret);
struct names make_topics(int partitions);

void create_topic(const char *name, int partitions);
void grow_topic(const char *name, size_t partitions);
void delete_records_before(const char *topic, int32_t partition, int64_t offset);
/* Wait until the helper, too, knows that the topic has so many partitions. */
void await_partitions(const char *topic, int partitions);

/* The values are "value-<first>", "value-<first + 1>", ...; all are delivered when it returns. */
void produce_to(rd_kafka_t *rk, const char *topic, int32_t partition, int first, int count);
void produce(const char *topic, int32_t partition, int first, int count);

/* ---- a member -------------------------------------------------------------------------------- */

/* They point into `n`. */
struct kafka_settings settings_of(const struct names *n);
struct kafka_source *open_source(const struct kafka_settings *s);
/* Open, and subscribe. */
struct kafka_source *join(const struct kafka_settings *s);
/* A member of a topic of one partition with `count` records, that fetches from `offset` on. */
struct kafka_source *fetching(struct names *n, int count, int64_t offset);

struct source_event poll_once(struct kafka_source *s, int wait_ms, struct error *err);
/* The next event of this kind; any other than NOTHING on the way is a failure. */
struct source_event expect(struct kafka_source *s, enum source_event_kind kind);
void expect_assigned(struct kafka_source *s, size_t count);
/* The next record is the one at `offset`, as produce() made it. */
void expect_record(struct kafka_source *s, int32_t partition, int64_t offset);

void assign_at(struct kafka_source *s, int32_t partition, int64_t offset);
struct source_offsets offsets_of(struct kafka_source *s, int32_t partition);
