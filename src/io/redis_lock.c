/* SPDX-License-Identifier: Apache-2.0 */
#include "io/redis_lock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <hiredis/hiredis.h>

#include "base/clock.h"
#include "io/redis_conn.h"

DEFINE_CLEANUP(redisReply *, freeReplyObject)

enum {
	KEY_HEAD_MAX_BYTES = 256,
	KEY_TAIL_MAX_BYTES = 40, /* a number of 64 bits, or "check:" and a token */
	PAUSE_FIRST_US =
		1000, /* between two polls of the head: times 1.5 each, plus or minus 1/4 */
	PAUSE_MAX_US = 8000,
};

/* A Lua script and the SHA-1 of its text, by which the server knows it. */
struct script {
	const char *text, *sha;
	int arguments; /* behind the keys: the token, and for `take` the lease in milliseconds */
};

/* 0, or the index of the first key that somebody has. */
static const struct script script_take = {
	.text = "for i = 1, #KEYS do "
		"if redis.call('exists', KEYS[i]) == 1 then return i end "
		"end "
		"for i = 1, #KEYS do redis.call('set', KEYS[i], ARGV[1], 'px', ARGV[2]) end "
		"return 0",
	.sha = "66bffd6249f9bd84df819f011a013150b817214b",
	.arguments = 2,
};

/* How many keys were ours. pcall: a key that became another type is not ours. */
static const struct script script_free = {
	.text = "local n = 0 "
		"for i = 1, #KEYS do "
		"if redis.pcall('get', KEYS[i]) == ARGV[1] then n = n + redis.call('del', KEYS[i]) end "
		"end "
		"return n",
	.sha = "bfdc11e657527bcf072b63d8ea4d652348c2d7e7",
	.arguments = 1,
};

/* The arguments of EVAL: EVAL, script, number of keys, the keys, token, lease. */
enum { ARG_COMMAND, ARG_SCRIPT, ARG_COUNT, ARG_KEYS };
struct request {
	const char **argv;
	size_t *lengths;
	char *keys;
	size_t count, capacity; /* keys */
	char count_text[16], token[33];
};

struct redis_lock {
	struct redis_conn *conn;
	int64_t timeout_us, lease_us;
	char key_head[KEY_HEAD_MAX_BYTES], lease_text[24];
	struct waker *waker;
	struct lock_queue *queue;
	struct lock_place place;
	uint32_t jitter;

	struct request request, check;
	bool at_large; /* the keys of `request` may be ours at the server */
};

/* ---- requests -------------------------------------------------------------------------------- */

static bool request_reserve(struct request *q, size_t count)
{
	if (count <= q->capacity)
		return true;

	size_t args = ARG_KEYS + count + 2;
	const char **argv = realloc(q->argv, args * sizeof(*argv));

	if (argv)
		q->argv = argv;

	size_t *lengths = realloc(q->lengths, args * sizeof(*lengths));

	if (lengths)
		q->lengths = lengths;

	char *keys = realloc(q->keys, count * (KEY_HEAD_MAX_BYTES + KEY_TAIL_MAX_BYTES));

	if (keys)
		q->keys = keys;
	if (!argv || !lengths || !keys)
		return false;
	q->capacity = count;
	return true;
}

static void request_done(struct request *q)
{
	free(q->argv);
	free(q->lengths);
	free(q->keys);
}

static void argument(struct request *q, size_t i, const char *text)
{
	q->argv[i] = text;
	q->lengths[i] = strlen(text);
}

/* A new token, unlike any before; no keys yet. */
static enum result request_begin(
	struct redis_lock *l, struct request *q, size_t count, struct error *err)
{
	unsigned char token[16];

	if (!request_reserve(q, count))
		return fail(err, RESULT_RETRY, ENOMEM, "no memory for the lock's %zu keys", count);
	if (getrandom(token, sizeof(token), 0) != sizeof(token))
		return fail(err, RESULT_RETRY, errno, "no random token for the lock: %s",
			strerror(errno));
	for (size_t i = 0; i < sizeof(token); i++)
		snprintf(q->token + 2 * i, 3, "%02x", token[i]);
	q->count = count;
	snprintf(q->count_text, sizeof(q->count_text), "%zu", count);
	argument(q, ARG_COUNT, q->count_text);
	argument(q, ARG_KEYS + count, q->token);
	argument(q, ARG_KEYS + count + 1, l->lease_text);
	return RESULT_OK;
}

__attribute__((format(printf, 4, 5))) static void request_key(
	struct redis_lock *l, struct request *q, size_t i, const char *format, ...)
{
	char *key = q->keys + i * (KEY_HEAD_MAX_BYTES + KEY_TAIL_MAX_BYTES);
	size_t head = strlen(l->key_head);
	va_list ap;

	memcpy(key, l->key_head, head);
	va_start(ap, format);
	vsnprintf(key + head, KEY_TAIL_MAX_BYTES, format, ap);
	va_end(ap);
	argument(q, ARG_KEYS + i, key);
}

static enum result request_of_batch(struct redis_lock *l, const struct batch *b, struct error *err)
{
	enum result r = request_begin(l, &l->request, b->stock_count, err);

	for (size_t i = 0; !r && i < b->stock_count; i++)
		request_key(l, &l->request, i, "%" PRId64, b->stock[i].id);
	return r;
}

/* ---- scripts --------------------------------------------------------------------------------- */

static bool script_is_unknown(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_ERROR && !strncmp(reply->str, "NOSCRIPT", 8);
}

/* By its SHA, and by its text when the server has forgotten it or never had it. */
static enum result script_run(struct redis_lock *l, const struct script *s, struct request *q,
	int64_t latest_us, int64_t *ret, struct error *err)
{
	CLEANUP(freeReplyObject_ptr) redisReply *by_sha = NULL, *by_text = NULL;
	int argc = (int)(ARG_KEYS + q->count) + s->arguments;
	redisReply **reply = &by_sha;

	argument(q, ARG_COMMAND, "EVALSHA");
	argument(q, ARG_SCRIPT, s->sha);

	enum result r =
		redis_conn_command(l->conn, argc, q->argv, q->lengths, latest_us, reply, err);

	if (!r && script_is_unknown(by_sha)) {
		reply = &by_text;
		argument(q, ARG_COMMAND, "EVAL");
		argument(q, ARG_SCRIPT, s->text);
		r = redis_conn_command(l->conn, argc, q->argv, q->lengths, latest_us, reply, err);
	}
	if (r)
		return r;
	if ((*reply)->type != REDIS_REPLY_INTEGER)
		return redis_conn_refused(l->conn, *reply, err);
	redis_conn_worked(l->conn);
	*ret = (*reply)->integer;
	return RESULT_OK;
}

/* ---- acquire --------------------------------------------------------------------------------- */

/* Keys of an earlier request that nobody could free would stand in everybody's way for a lease. */
static enum result free_at_large(struct redis_lock *l, int64_t latest_us, struct error *err)
{
	int64_t freed;

	if (!l->at_large)
		return RESULT_OK;

	enum result r = script_run(l, &script_free, &l->request, latest_us, &freed, err);

	if (!r)
		l->at_large = false;
	return r;
}

/* Ask once. BUSY: somebody has one of the keys. */
static enum result take(struct redis_lock *l, const struct batch *b, int64_t latest_us,
	struct lock_lease *ret, struct error *err)
{
	enum result r = redis_conn_open(l->conn, latest_us, err);

	if (r)
		return r;

	int64_t sent_us = clock_monotonic_us(), taken = 0;

	l->at_large = true;
	r = script_run(l, &script_take, &l->request, latest_us, &taken, err);
	if (r)
		return r;
	if (taken > 0 && (uint64_t)taken <= b->stock_count) {
		l->at_large = false;
		return fail(err, RESULT_BUSY, 0,
			"ticket type %" PRId64 " is locked by another owner",
			b->stock[taken - 1].id);
	}
	*ret = (struct lock_lease){.held = true, .until_us = sent_us + l->lease_us};
	memcpy(ret->token, l->request.token, sizeof(ret->token));
	return RESULT_OK;
}

/* xorshift; only to keep processes from polling in step. */
static int64_t jittered(struct redis_lock *l, int64_t pause_us)
{
	l->jitter ^= l->jitter << 13;
	l->jitter ^= l->jitter >> 17;
	l->jitter ^= l->jitter << 5;
	return pause_us * 3 / 4 + (int64_t)(l->jitter % (uint64_t)(pause_us / 2));
}

/* As the queue's head: ask until it is ours or the deadline has passed. */
static enum result take_in_time(struct redis_lock *l, const struct batch *b, int64_t deadline_us,
	struct lock_lease *ret, struct error *err)
{
	int64_t now_us = clock_monotonic_us(), pause_us = PAUSE_FIRST_US;
	int64_t latest_us = (deadline_us > now_us ? deadline_us : now_us) + l->timeout_us;
	enum result r = RESULT_OK;

	if (l->at_large) {
		r = redis_conn_open(l->conn, latest_us, err);
		if (!r)
			r = free_at_large(l, latest_us, err);
	}
	if (!r)
		r = request_of_batch(l, b, err);
	while (!r) {
		r = take(l, b, latest_us, ret, err);
		if (r != RESULT_BUSY || clock_monotonic_us() >= deadline_us)
			break;

		int64_t until_us = clock_monotonic_us() + jittered(l, pause_us);

		if (until_us > deadline_us)
			until_us = deadline_us;
		if (lock_queue_pause(l->queue, &l->place, l->waker, until_us) == WAIT_WOKEN)
			break;
		pause_us = pause_us * 3 / 2 < PAUSE_MAX_US ? pause_us * 3 / 2 : PAUSE_MAX_US;
		r = RESULT_OK;
	}
	return r;
}

static enum result lock_acquire(void *self, const struct batch *b, int64_t deadline_us,
	struct lock_lease *ret, struct error *err)
{
	struct redis_lock *l = self;

	if (b->stock_count == 0) {
		*ret = (struct lock_lease){0};
		return RESULT_OK;
	}
	if (lock_queue_enter(l->queue, &l->place, l->waker, deadline_us) != WAIT_READY)
		return fail(err, RESULT_BUSY, 0,
			"other workers of this process wait for the lock as well and came first");

	enum result r = take_in_time(l, b, deadline_us, ret, err);

	lock_queue_leave(l->queue, &l->place);
	return r;
}

static void lock_forget(void *self)
{
	struct redis_lock *l = self;

	lock_queue_leave(l->queue, &l->place);
}

static void lock_release(void *self, const struct batch *b, struct lock_lease *lease)
{
	struct redis_lock *l = self;

	(void)b; /* its stock may have shrunk since: the request knows */
	if (!lease->held)
		return;
	lease->held = false;
	/* No new connection for it: that can wait, and the next acquire() begins with it. */
	if (redis_conn_usable(l->conn))
		(void)free_at_large(l, clock_monotonic_us() + l->timeout_us, NULL);
	lock_queue_kick(l->queue);
}

/* ---- check and life -------------------------------------------------------------------------- */

static enum result lock_check(void *self, struct error *err)
{
	struct redis_lock *l = self;
	int64_t latest_us = clock_monotonic_us() + 2 * l->timeout_us, n;
	enum result r = redis_conn_open(l->conn, latest_us, err);

	if (!r)
		r = request_begin(l, &l->check, 1, err);
	if (r)
		return r;
	request_key(l, &l->check, 0, "check:%s", l->check.token);
	r = script_run(l, &script_take, &l->check, latest_us, &n, err);
	return r ? r : script_run(l, &script_free, &l->check, latest_us, &n, err);
}

const struct lock_ops redis_lock_ops = {
	.check = lock_check,
	.acquire = lock_acquire,
	.forget = lock_forget,
	.release = lock_release,
};

enum result redis_lock_new(
	const struct redis_lock_config *config, struct redis_lock **ret, struct error *err)
{
	CLEANUP(redis_lock_free_ptr) struct redis_lock *l = calloc(1, sizeof(*l));
	struct redis_conn_config conn = {
		.address = config->address,
		.user = config->user,
		.password_file = config->password_file,
		.timeout_ms = config->timeout_ms,
	};

	if (!l)
		return fail(err, RESULT_FATAL, ENOMEM, "no memory for the Redis lock");
	l->place.turn.fd = -1;
	l->timeout_us = config->timeout_ms * 1000;
	l->lease_us = config->lease_ms * 1000;
	l->waker = config->waker;
	l->queue = config->queue;
	snprintf(l->lease_text, sizeof(l->lease_text), "%" PRId64, config->lease_ms);

	int n = snprintf(l->key_head, sizeof(l->key_head), "%s:{lock:%s}:", config->key_prefix,
		config->scope);

	if (n < 0 || (size_t)n >= sizeof(l->key_head))
		return fail(err, RESULT_FATAL, 0, "lock.key_prefix: over %d bytes",
			KEY_HEAD_MAX_BYTES - 32);
	if (getrandom(&l->jitter, sizeof(l->jitter), 0) != sizeof(l->jitter) || l->jitter == 0)
		l->jitter = 1;
	if (!lock_place_init(&l->place))
		return fail(err, RESULT_FATAL, errno, "no eventfd for the Redis lock: %s",
			strerror(errno));

	enum result r = redis_conn_new(&conn, &l->conn, err);

	if (r)
		return r;
	*ret = TAKE(l);
	return RESULT_OK;
}

void redis_lock_free(struct redis_lock *l)
{
	if (!l)
		return;
	lock_queue_leave(l->queue, &l->place);
	lock_place_done(&l->place);
	redis_conn_free(l->conn);
	request_done(&l->request);
	request_done(&l->check);
	free(l);
}
