/* SPDX-License-Identifier: Apache-2.0 */
#include "io/kafka_client.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include <librdkafka/rdkafka.h>

#include "base/clock.h"
#include "io/kafka_log.h"

enum { FREE_MS = 2000 };

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	struct kafka_client *c = rd_kafka_opaque(rk);

	kafka_log_line(c->log, level, facility, text, clock_monotonic_us());
}

static void client_free(struct kafka_client *c)
{
	kafka_log_free(c->log);
	free(c);
}

enum result kafka_client_new(struct rd_kafka_conf_s *conf, enum kafka_role role, struct logger log,
	void *owner, struct kafka_client **ret, struct error *err)
{
	struct kafka_client *c = calloc(1, sizeof(*c));

	if (c)
		c->log = kafka_log_new(log);
	if (!c || !c->log) {
		free(c);
		rd_kafka_conf_destroy(conf);
		return fail(err, RESULT_FATAL, ENOMEM, "no memory for a Kafka client");
	}

	c->owner = owner;
	rd_kafka_conf_set_log_cb(conf, on_log);
	rd_kafka_conf_set_opaque(conf, c);

	char text[256];

	c->rk = rd_kafka_new(role == KAFKA_ROLE_PRODUCER ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER,
		conf, text, sizeof(text));
	if (!c->rk) {
		enum result r = fail(err, RESULT_FATAL, (int)rd_kafka_last_error(),
			"librdkafka does not accept the configuration: %s", text);

		rd_kafka_conf_destroy(conf); /* taken only on success */
		client_free(c);
		return r;
	}
	if (role != KAFKA_ROLE_PRODUCER)
		rd_kafka_poll_set_consumer(c->rk); /* errors come by the same queue as records */

	*ret = c;
	return RESULT_OK;
}

void kafka_client_trouble(struct error *ret, int code, const char *text)
{
	const char *counters = strstr(text, " (after ");
	int length = (int)(counters ? (size_t)(counters - text) : strlen(text));

	(void)fail(ret, RESULT_RETRY, code, "%.*s", length, text);
}

/* One destruction: shared by the thread that makes it and the one that waits, freed by the last. */
struct destruction {
	pthread_mutex_t lock;
	pthread_cond_t done_cond;
	bool done, abandoned;
	struct kafka_client *client;
};

static void destruction_free(struct destruction *d)
{
	client_free(d->client);
	pthread_cond_destroy(&d->done_cond);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static void *destroy_thread(void *argument)
{
	struct destruction *d = argument;

	rd_kafka_destroy_flags(d->client->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);

	pthread_mutex_lock(&d->lock);

	bool abandoned = d->abandoned;

	d->done = true;
	pthread_cond_signal(&d->done_cond);
	pthread_mutex_unlock(&d->lock);
	if (abandoned)
		destruction_free(d);
	return NULL;
}

static struct destruction *destruction_new(struct kafka_client *c)
{
	struct destruction *d = calloc(1, sizeof(*d));
	pthread_condattr_t attributes;

	if (!d)
		return NULL;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&d->done_cond, &attributes);
	pthread_condattr_destroy(&attributes);
	pthread_mutex_init(&d->lock, NULL);
	d->client = c;
	return d;
}

void kafka_client_close(struct kafka_client *c, int64_t deadline_us)
{
	struct destruction *d = destruction_new(c);
	pthread_t thread;

	c->owner = NULL;
	if (!d)
		return; /* leaked: better than a wait without end */
	if (pthread_create(&thread, NULL, destroy_thread, d) != 0) {
		pthread_cond_destroy(&d->done_cond);
		pthread_mutex_destroy(&d->lock);
		free(d);
		return; /* leaked, as above */
	}
	pthread_detach(thread);

	struct timespec until = {
		.tv_sec = deadline_us / 1000000, .tv_nsec = deadline_us % 1000000 * 1000};
	int waited = 0;

	pthread_mutex_lock(&d->lock);
	while (!d->done && waited == 0)
		waited = pthread_cond_timedwait(&d->done_cond, &d->lock, &until);

	bool done = d->done;

	d->abandoned = !done;
	pthread_mutex_unlock(&d->lock);
	if (done)
		destruction_free(d);
}

void kafka_client_free(struct kafka_client *c)
{
	kafka_client_close(c, clock_monotonic_us() + FREE_MS * INT64_C(1000));
}
