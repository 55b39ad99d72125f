/* SPDX-License-Identifier: Apache-2.0 */
#include "io/kafka_headers.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include <librdkafka/rdkafka.h>

enum { VARINT_MAX_BYTES = 10 };

void kafka_headers_done(struct kafka_headers *h)
{
	free(h->data);
	*h = (struct kafka_headers){0};
}

static bool reserve(struct kafka_headers *h, size_t more)
{
	if (h->capacity - h->length >= more)
		return true;

	size_t capacity = 2 * (h->length + more);
	char *data = realloc(h->data, capacity);

	if (!data)
		return false;
	h->data = data;
	h->capacity = capacity;
	return true;
}

static bool put_varint(struct kafka_headers *h, int64_t value)
{
	uint64_t zigzag = ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0);

	if (!reserve(h, VARINT_MAX_BYTES))
		return false;
	for (; zigzag > 0x7f; zigzag >>= 7)
		h->data[h->length++] = (char)(0x80 | (zigzag & 0x7f));
	h->data[h->length++] = (char)zigzag;
	return true;
}

/* data NULL: null, not empty. */
static bool put_bytes(struct kafka_headers *h, const void *data, size_t length)
{
	if (!put_varint(h, data ? (int64_t)length : -1))
		return false;
	if (!data || length == 0)
		return true;
	if (!reserve(h, length))
		return false;
	memcpy(h->data + h->length, data, length);
	h->length += length;
	return true;
}

enum result kafka_headers_encode(struct kafka_headers *h, const rd_kafka_message_t *message,
	struct bytes *ret, struct error *err)
{
	rd_kafka_headers_t *headers = NULL;
	rd_kafka_resp_err_t e = rd_kafka_message_headers(message, &headers);

	*ret = (struct bytes){0};
	if (e) /* none, or broken bytes: those stay broken and decide nothing, so go on without */
		return RESULT_OK;

	h->length = 0;
	if (!put_varint(h, (int64_t)rd_kafka_header_cnt(headers)))
		return fail(err, RESULT_RETRY, ENOMEM, "no memory for a record's headers");

	const char *name = NULL;
	const void *value = NULL;
	size_t length = 0;

	for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &length) == 0; i++) {
		if (!put_bytes(h, name, strlen(name)) || !put_bytes(h, value, length))
			return fail(err, RESULT_RETRY, ENOMEM, "no memory for a record's headers");
	}
	*ret = (struct bytes){.data = h->data, .length = h->length};
	return RESULT_OK;
}
