/* SPDX-License-Identifier: Apache-2.0 */
#include "io/kafka_admin.h"

#include <errno.h>

#include <librdkafka/rdkafka.h>

#include "io/kafka_query.h"

enum { HEAR_MAX = 16 };

struct kafka_admin {
	struct kafka_client *client;
	char *brokers;
	bool denied;          /* the brokers refuse our user or password */
	struct error trouble; /* the library's last word on a connection */
};

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
	struct kafka_admin *a = ((struct kafka_client *)opaque)->owner;

	(void)rk;
	if (!a || code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		return; /* the errors of the single brokers say why */
	kafka_client_trouble(&a->trouble, code, reason);
	if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION)
		a->denied = true;
}

/* Nothing but errors can be in the queue: nothing was assigned or subscribed. */
static void hear_errors(struct kafka_admin *a)
{
	for (int i = 0; i < HEAR_MAX; i++) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(a->client->rk, 0);

		if (m)
			rd_kafka_message_destroy(m);
	}
}

/* Put what the library said of its connections beside a plain "timed out". */
static enum result explain(
	struct kafka_admin *a, enum result r, const struct error *why, struct error *err)
{
	hear_errors(a);
	if (r == RESULT_RETRY && a->denied)
		return fail(err, RESULT_FATAL, why->code, "Kafka at %s refuses to let us in: %s",
			a->brokers, a->trouble.text);
	if (r == RESULT_RETRY && a->trouble.text[0])
		return fail(err, r, why->code, "cannot reach Kafka at %s: %s", a->brokers,
			a->trouble.text);
	return fail(err, r, why->code, "Kafka at %s: %s", a->brokers, why->text);
}

enum result kafka_admin_partitions(
	struct kafka_admin *a, const char *topic, int32_t *ret, struct error *err)
{
	struct error why = {0};
	enum result r = kafka_query_partitions(a->client, topic, KAFKA_QUERY_MS, ret, &why);

	return r == RESULT_OK ? r : explain(a, r, &why, err);
}

enum result kafka_admin_offsets(struct kafka_admin *a, const char *topic, int32_t partition,
	struct source_offsets *ret, struct error *err)
{
	struct error why = {0};
	enum result r = kafka_query_offsets(a->client, topic, partition, KAFKA_QUERY_MS, ret, &why);

	return r == RESULT_OK ? r : explain(a, r, &why, err);
}

enum result kafka_admin_open(
	const struct kafka_settings *s, struct kafka_admin **ret, struct error *err)
{
	CLEANUP(kafka_admin_free_ptr) struct kafka_admin *a = calloc(1, sizeof(*a));
	rd_kafka_conf_t *conf = NULL;

	if (a)
		a->brokers = strdup(s->brokers);
	if (!a || !a->brokers)
		return fail(err, RESULT_FATAL, ENOMEM, "no memory for a Kafka client");

	enum result r = kafka_conf_new(s, KAFKA_ROLE_READER, &conf, err);

	if (r != RESULT_OK)
		return r;
	rd_kafka_conf_set_error_cb(conf, on_error);
	r = kafka_client_new(conf, KAFKA_ROLE_READER, s->log, a, &a->client, err);
	if (r != RESULT_OK)
		return r;

	*ret = TAKE(a);
	return RESULT_OK;
}

void kafka_admin_free(struct kafka_admin *a)
{
	if (!a)
		return;
	if (a->client)
		kafka_client_free(a->client);
	free(a->brokers);
	free(a);
}
