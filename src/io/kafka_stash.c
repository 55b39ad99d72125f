/* SPDX-License-Identifier: Apache-2.0 */
#include "io/kafka_stash.h"

#include <librdkafka/rdkafka.h>

void kafka_stash_fill(struct kafka_stash *h, struct rd_kafka_queue_s *queue)
{
	ssize_t n = rd_kafka_consume_batch_queue(queue, 0, h->at, KAFKA_STASH_MAX);

	h->first = 0;
	h->end = n > 0 ? (size_t)n : 0;
}

rd_kafka_message_t *kafka_stash_next(struct kafka_stash *h)
{
	return h->first < h->end ? h->at[h->first++] : NULL;
}

void kafka_stash_back(struct kafka_stash *h, rd_kafka_message_t *m)
{
	if (h->first == 0)
		h->end = 1;
	else
		h->first--;
	h->at[h->first] = m;
}

void kafka_stash_drop(struct kafka_stash *h, int32_t partition)
{
	size_t kept = 0;

	for (size_t i = h->first; i < h->end; i++) {
		if (partition < 0 || h->at[i]->partition == partition)
			rd_kafka_message_destroy(h->at[i]);
		else
			h->at[kept++] = h->at[i];
	}
	h->first = 0;
	h->end = kept;
}
