/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/worker_thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/status.h"
#include "core/worker.h"
#include "io/kafka_sink.h"
#include "io/kafka_source.h"
#include "io/pg_ledger.h"
#include "io/redis_lock.h"

enum { SNAPSHOT_US = 100000 }; /* between two snapshots of a busy worker */

struct worker_thread {
	struct waker *look;
	struct logger log;
	struct waker waker; /* ends waits for servers when we stop */
	atomic_bool stop, ended;
	_Atomic int64_t stamp_us; /* when the step under way began */
	bool started;
	pthread_t thread;
	char claimed_by[128], name[16];

	/* Used by the thread alone once it runs. */
	struct pg_ledger *ledger;
	struct redis_lock *lock;
	struct kafka_source *source;
	struct kafka_sink *sink;
	struct worker *worker;
	uint64_t random;

	pthread_mutex_t mutex; /* guards what follows */
	struct worker_snapshot snapshot;
	struct worker_config next_config;
	bool has_next_config;
};

/* ---- clock ------------------------------------------------------------------------------- */

static int64_t clock_now(void *self)
{
	(void)self;
	return clock_monotonic_us();
}

/* xorshift64*: jitter needs no better. */
static uint64_t clock_random(void *self)
{
	struct worker_thread *t = self;

	t->random ^= t->random >> 12;
	t->random ^= t->random << 25;
	t->random ^= t->random >> 27;
	return t->random * UINT64_C(2685821657736338717);
}

static const struct clock_ops clock_ops = {.now_us = clock_now, .random = clock_random};

/* ---- adapters ---------------------------------------------------------------------------- */

static enum result open_ledger(struct worker_thread *t, const struct config *c, struct error *err)
{
	const struct pg_ledger_config config = {
		.conninfo = c->database.conninfo,
		.passfile = c->database.passfile,
		.prepare = c->database.prepare,
		.transaction_timeout_ms = c->database.transaction_timeout_ms,
		.connect_timeout_ms = c->database.connect_timeout_ms,
		.topic = c->kafka.topic,
		.group = c->kafka.group,
		.claimed_by = t->claimed_by,
		.waker = &t->waker,
	};

	return pg_ledger_open(&config, &t->ledger, err);
}

static enum result open_lock(struct worker_thread *t, const struct config *c,
	struct lock_queue *queue, struct error *err)
{
	const struct redis_lock_config config = {
		.address = c->lock.redis,
		.user = c->lock.redis_user,
		.password_file = c->lock.redis_password_file,
		.timeout_ms = c->lock.redis_timeout_ms,
		.key_prefix = c->lock.key_prefix,
		.scope = c->lock.scope == LOCK_SCOPE_STOCK ? "stock" : "transaction",
		.lease_ms = c->lock.lease_ms,
		.waker = &t->waker,
		.queue = queue,
	};

	return redis_lock_new(&config, &t->lock, err);
}

static enum result open_kafka(
	struct worker_thread *t, const struct worker_thread_config *config, struct error *err)
{
	const struct config *c = config->config;
	const struct kafka_settings settings = {
		.brokers = c->kafka.brokers,
		.topic = c->kafka.topic,
		.group = c->kafka.group,
		.outcome_topic = c->kafka.outcome_topic,
		.instance = config->instance,
		.worker = config->index,
		.properties = c->kafka.properties,
		.properties_file = c->kafka.properties_file,
		.waker = &t->waker,
		.log = config->log,
	};
	enum result r = kafka_source_open(&settings, &t->source, err);

	return r == RESULT_OK ? kafka_sink_open(&settings, &t->sink, err) : r;
}

static struct worker_config worker_settings(const struct config *c)
{
	return (struct worker_config){
		.topic = c->kafka.topic,
		.scope = (enum lock_scope)c->lock.scope,
		.fallback = (enum lock_fallback)c->lock.fallback,
		.start = (enum start_at)c->kafka.start,
		.lock_wait_ms = c->lock.wait_ms,
		.max_events = c->batch.max_events,
		.max_bytes = c->batch.max_bytes,
		.linger_ms = c->batch.linger_ms,
		.event_bytes = c->limits.event_bytes,
		.breaker = c->limits.breaker,
		/* The rest of the budget is for releasing rows and closing clients. */
		.drain_ms = c->limits.stop_ms / 2,
	};
}

static enum result open_all(
	struct worker_thread *t, const struct worker_thread_config *config, struct error *err)
{
	const struct config *c = config->config;
	enum result r = open_ledger(t, c, err);

	if (r == RESULT_OK && c->lock.provider == LOCK_PROVIDER_REDIS)
		r = open_lock(t, c, config->queue, err);
	if (r == RESULT_OK)
		r = open_kafka(t, config, err);
	if (r != RESULT_OK)
		return r;

	const struct worker_ops ops = {
		.clock = &clock_ops,
		.clock_self = t,
		.source = &kafka_source_ops,
		.source_self = t->source,
		.ledger = &pg_ledger_ops,
		.ledger_self = t->ledger,
		.lock = t->lock ? &redis_lock_ops : NULL,
		.lock_self = t->lock,
		.sink = &kafka_sink_ops,
		.sink_self = t->sink,
		.log = config->log,
	};
	const struct worker_config settings = worker_settings(c);

	t->worker = worker_new(&settings, &ops);
	return t->worker ? RESULT_OK : fail(err, RESULT_FATAL, ENOMEM, "no memory for a worker");
}

enum result worker_thread_new(
	const struct worker_thread_config *config, struct worker_thread **ret, struct error *err)
{
	struct worker_thread *t = calloc(1, sizeof(*t));

	if (!t || !waker_init(&t->waker)) {
		free(t);
		return fail(err, RESULT_FATAL, errno, "cannot make a worker: %s", strerror(errno));
	}
	t->look = config->look;
	t->log = config->log;
	atomic_init(&t->stop, false);
	atomic_init(&t->ended, true);
	pthread_mutex_init(&t->mutex, NULL);
	if (getrandom(&t->random, sizeof(t->random), 0) != sizeof(t->random) || t->random == 0)
		t->random = (uint64_t)clock_monotonic_us() | 1;

	char host[64] = "?";

	(void)gethostname(host, sizeof(host) - 1); /* a name for people: "?" will do */
	snprintf(t->name, sizeof(t->name), "worker-%d", config->index);
	snprintf(t->claimed_by, sizeof(t->claimed_by), "%s pid %d worker %d", host, (int)getpid(),
		config->index);

	enum result r = open_all(t, config, err);

	if (r != RESULT_OK)
		worker_thread_free(t);
	else
		*ret = t;
	return r;
}

/* ---- thread ------------------------------------------------------------------------------ */

static void take_snapshot(struct worker_thread *t)
{
	struct worker_snapshot s;

	worker_snapshot(t->worker, &s);
	pthread_mutex_lock(&t->mutex);
	t->snapshot = s;
	pthread_mutex_unlock(&t->mutex);
}

static void take_config(struct worker_thread *t)
{
	pthread_mutex_lock(&t->mutex);
	if (t->has_next_config)
		worker_reconfigure(t->worker, &t->next_config);
	t->has_next_config = false;
	pthread_mutex_unlock(&t->mutex);
}

static bool over(enum worker_life life)
{
	switch (life) {
	case WORKER_STARTING:
	case WORKER_RUNNING:
	case WORKER_DRAINING:
		return false;
	case WORKER_STOPPED:
	case WORKER_UNFIT:
	case WORKER_REPLACED:
	case WORKER_BROKEN:
		return true;
	}
	return true;
}

/* The last word: what a storm of bad records has been cut down to in the log is exact here. */
static void say_totals(struct worker_thread *t)
{
	char totals[STATUS_TOTALS_BYTES], text[STATUS_TOTALS_BYTES + 60];

	status_totals(&t->snapshot, 1, totals);
	snprintf(text, sizeof(text), "%s has ended; since its start: %s", t->name, totals);

	struct log_entry e = log_entry(LOG_LEVEL_INFO, LOG_EVENT_TOTALS, text);

	t->log.ops->write(t->log.self, &e);
}

static void *run(void *data)
{
	struct worker_thread *t = data;
	enum worker_life life = WORKER_STARTING, before = WORKER_STARTING;
	int64_t snapshot_us = 0;

	while (!over(life)) {
		atomic_store_explicit(&t->stamp_us, clock_monotonic_us(), memory_order_relaxed);
		if (atomic_load_explicit(&t->stop, memory_order_relaxed))
			worker_stop(t->worker);
		life = worker_step(t->worker);

		int64_t now = clock_monotonic_us();

		if (life != before || now - snapshot_us >= SNAPSHOT_US) {
			take_snapshot(t);
			take_config(t);
			snapshot_us = now;
		}
		if (life != before)
			waker_wake(t->look);
		before = life;
	}
	say_totals(t);
	atomic_store(&t->ended, true);
	waker_wake(t->look);
	return NULL;
}

enum result worker_thread_start(struct worker_thread *t, struct error *err)
{
	atomic_store(&t->ended, false);
	atomic_store(&t->stamp_us, clock_monotonic_us());

	int error = pthread_create(&t->thread, NULL, run, t);

	if (error != 0) {
		atomic_store(&t->ended, true);
		return fail(err, RESULT_FATAL, error, "cannot start a thread: %s", strerror(error));
	}
	t->started = true;
	(void)pthread_setname_np(t->thread, t->name); /* for people with top and gdb */
	return RESULT_OK;
}

void worker_thread_reconfigure(struct worker_thread *t, const struct config *c)
{
	pthread_mutex_lock(&t->mutex);
	t->next_config = worker_settings(c);
	t->has_next_config = true;
	pthread_mutex_unlock(&t->mutex);
}

void worker_thread_stop(struct worker_thread *t)
{
	atomic_store(&t->stop, true);
	waker_wake(&t->waker);
}

void worker_thread_snapshot(struct worker_thread *t, struct worker_snapshot *ret)
{
	pthread_mutex_lock(&t->mutex);
	*ret = t->snapshot;
	pthread_mutex_unlock(&t->mutex);
}

bool worker_thread_ended(struct worker_thread *t)
{
	return atomic_load(&t->ended);
}

int64_t worker_thread_step_us(struct worker_thread *t)
{
	if (atomic_load(&t->ended))
		return 0;
	return clock_monotonic_us() - atomic_load_explicit(&t->stamp_us, memory_order_relaxed);
}

void worker_thread_free(struct worker_thread *t)
{
	if (!t)
		return;
	if (t->started)
		pthread_join(t->thread, NULL);
	worker_free(t->worker);
	kafka_source_free(t->source);
	kafka_sink_free(t->sink);
	redis_lock_free(t->lock);
	pg_ledger_free(t->ledger);
	waker_done(&t->waker);
	pthread_mutex_destroy(&t->mutex);
	free(t);
}
