/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/bytes.h"
#include "base/error.h"

/*
 * A record's headers as the bytes that Kafka's message format 2 has for them: zigzag varints for
 * the count and every length, a null value has length -1.
 * source: https://kafka.apache.org/documentation/#recordheader
 */
struct rd_kafka_message_s;

struct kafka_headers {
	char *data;
	size_t length, capacity;
};

void kafka_headers_done(struct kafka_headers *h);

/*
 * ret:   points into `h` until the next call; data NULL when the record has no (readable) headers
 * fails: RETRY without memory
 */
enum result kafka_headers_encode(struct kafka_headers *h, const struct rd_kafka_message_s *message,
	struct bytes *ret, struct error *err) MUST_CHECK;
