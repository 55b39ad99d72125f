/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <librdkafka/rdkafka.h>

#include "options.h"

/* Plain librdkafka for the benchmark's own programs: what fails ends the program with a message. */

/* Name, value, ..., NULL: added to what every client of ours has. */
rd_kafka_t *kafka_producer(const struct options *o, ...);
rd_kafka_t *kafka_consumer(const struct options *o, ...);

/* Read every `step`-th partition of the topic, beginning with `first`; returns how many partitions.
 * begin: RD_KAFKA_OFFSET_BEGINNING or _END (resolved before the return) */
int kafka_assign(rd_kafka_t *consumer, const char *topic, int first, int step, int64_t begin);

/* Wait until everything was delivered; dies if anything was not. */
void kafka_flush(rd_kafka_t *producer);
