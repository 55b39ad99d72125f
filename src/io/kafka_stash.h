/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct rd_kafka_message_s;
struct rd_kafka_queue_s;

/*
 * Records and errors that librdkafka has given out, on their way to poll(), which hands them out one
 * by one. Zeroed, it is empty; it must be empty again before the client is destroyed, which would
 * wait for them for ever.
 */
enum { KAFKA_STASH_MAX = 256 };

struct kafka_stash {
	struct rd_kafka_message_s *at[KAFKA_STASH_MAX];
	size_t first, end;
};

/* Take what is there, without waiting. The stash is empty before. */
void kafka_stash_fill(struct kafka_stash *h, struct rd_kafka_queue_s *queue);

/* The next one is the caller's; NULL: there is none. */
struct rd_kafka_message_s *kafka_stash_next(struct kafka_stash *h);

/* Take it back as the next one: it was the last one given out, or the stash is empty. */
void kafka_stash_back(struct kafka_stash *h, struct rd_kafka_message_s *m);

/* Destroy those of this partition; -1: of any. They will be fetched again. */
void kafka_stash_drop(struct kafka_stash *h, int32_t partition);
