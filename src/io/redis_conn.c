/* SPDX-License-Identifier: Apache-2.0 */
#include "io/redis_conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <hiredis/hiredis.h>

#include "base/clock.h"
#include "base/waker.h"
#include "io/redis_address.h"
#include "io/secret_file.h"

enum {
	GRACE_US = 10 * 1000,       /* for a server that has timed out lately */
	REST_FIRST_US = 100 * 1000, /* see redis_conn.h */
	REST_MAX_US = 1000 * 1000,
};

enum stage {
	STAGE_CLOSED,
	STAGE_CONNECTING, /* connect() is under way */
	STAGE_GREETING,   /* AUTH (perhaps) and PING are sent, `awaited` replies are missing */
	STAGE_OPEN,
};

struct redis_conn {
	char *address_text, *user, *password_file;
	struct redis_address address;
	int64_t timeout_us;

	redisContext *context; /* NULL: STAGE_CLOSED */
	enum stage stage;
	int awaited;
	int64_t begun_us; /* when connecting began; the greeting's time counts anew if `slow` */

	/* Of the failures since a command last succeeded. */
	unsigned failures;
	bool slow; /* the server has timed out since */
	int64_t rest_until_us;
	struct error last;
};

DEFINE_CLEANUP(redisReply *, freeReplyObject)

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* ---- failing --------------------------------------------------------------------------------- */

static void conn_close(struct redis_conn *c)
{
	if (c->context)
		redisFree(c->context);
	c->context = NULL;
	c->stage = STAGE_CLOSED;
}

static int64_t rest_us(unsigned failures)
{
	if (failures < 2)
		return 0;
	return failures > 5 ? REST_MAX_US : (int64_t)REST_FIRST_US << (failures - 2);
}

__attribute__((format(printf, 4, 5))) static enum result broken(
	struct redis_conn *c, struct error *err, int code, const char *format, ...)
{
	char what[200];
	va_list ap;

	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);

	/* `what` may come from the context: close last. */
	(void)fail(&c->last, RESULT_RETRY, code, "Redis at %.80s %s", c->address_text, what);
	conn_close(c);
	c->failures++;
	c->rest_until_us = clock_monotonic_us() + rest_us(c->failures);
	if (err)
		*err = c->last;
	return RESULT_RETRY;
}

static enum result broken_by_library(struct redis_conn *c, struct error *err)
{
	return broken(c, err, c->context->err, "is lost: %s", c->context->errstr);
}

static enum result timed_out(struct redis_conn *c, struct error *err)
{
	c->slow = true;
	return broken(c, err, ETIMEDOUT, "does not answer within %lld ms",
		(long long)(c->timeout_us / 1000));
}

enum result redis_conn_refused(
	struct redis_conn *c, const struct redisReply *reply, struct error *err)
{
	if (reply->type == REDIS_REPLY_ERROR)
		return broken(c, err, 0, "says: %s", reply->str);
	return broken(
		c, err, 0, "gives a reply of an unexpected type (%d): is it a Redis?", reply->type);
}

/* ---- sending and receiving ------------------------------------------------------------------- */

/*
 * Not by redisBufferWrite(): it raises SIGPIPE, and leaves what it has sent, a password too, in
 * freed memory.
 */
static enum result send_all(
	struct redis_conn *c, const char *data, size_t length, int64_t until_us, struct error *err)
{
	while (length > 0) {
		ssize_t n = send(c->context->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			data += n;
			length -= (size_t)n;
		} else if (errno != EAGAIN && errno != EINTR) {
			return broken(c, err, errno, "is lost: %s", strerror(errno));
		} else if (clock_monotonic_us() >= until_us ||
			   waker_wait(NULL, c->context->fd, POLLOUT, until_us) == WAIT_TIMEOUT) {
			return timed_out(c, err);
		}
	}
	return RESULT_OK;
}

/* BUSY at until_us, with nothing written or closed: that is for the caller to judge. */
static enum result receive(
	struct redis_conn *c, int64_t until_us, redisReply **ret, struct error *err)
{
	for (bool last_look = false;;) {
		void *reply = NULL;

		if (redisGetReplyFromReader(c->context, &reply) != REDIS_OK)
			return broken_by_library(c, err);
		if (reply) {
			*ret = reply;
			return RESULT_OK;
		}
		/* Asked here as well: bytes that trickle in for ever keep the socket readable. */
		if (last_look)
			return RESULT_BUSY;
		last_look = clock_monotonic_us() >= until_us;
		if (waker_wait(NULL, c->context->fd, POLLIN, until_us) == WAIT_TIMEOUT)
			return RESULT_BUSY;
		if (redisBufferRead(c->context) != REDIS_OK)
			return broken_by_library(c, err);
	}
}

enum result redis_conn_command(struct redis_conn *c, int argc, const char **argv,
	const size_t *lengths, int64_t latest_us, struct redisReply **ret, struct error *err)
{
	int64_t until_us = earlier(clock_monotonic_us() + c->timeout_us, latest_us);
	char *text = NULL;
	int length = redisFormatCommandArgv(&text, argc, argv, lengths);

	if (length < 0)
		return broken(c, err, ENOMEM, "is not asked: no memory for the command");

	enum result r = send_all(c, text, (size_t)length, until_us, err);

	redisFreeCommand(text);
	if (!r)
		r = receive(c, until_us, ret, err);
	return r == RESULT_BUSY ? timed_out(c, err) : r;
}

/* ---- connecting ------------------------------------------------------------------------------ */

static enum result begin_connect(struct redis_conn *c, struct error *err)
{
	const struct redis_address *a = &c->address;

	c->begun_us = clock_monotonic_us();
	c->context = a->path[0] ? redisConnectUnixNonBlock(a->path)
				: redisConnectNonBlock(a->host, a->port);
	if (!c->context)
		return broken(c, err, ENOMEM, "cannot be reached: no memory");
	if (c->context->err)
		return broken(c, err, c->context->err, "cannot be reached: %s", c->context->errstr);
	c->stage = STAGE_CONNECTING;
	return RESULT_OK;
}

static enum result send_auth(struct redis_conn *c, struct error *err)
{
	char password[SECRET_MAX_BYTES] = "", *text = NULL;
	const char *argv[3] = {"AUTH", c->user, password};
	struct error why = {0};

	if (c->password_file[0] && secret_read(c->password_file, password, NULL, &why))
		return broken(c, err, why.code, "is not asked: %s", why.text);
	if (!c->user[0])
		argv[1] = password;

	int length = redisFormatCommandArgv(&text, c->user[0] ? 3 : 2, argv, NULL);

	explicit_bzero(password, sizeof(password));
	if (length < 0)
		return broken(c, err, ENOMEM, "is not asked: no memory");

	/* A new socket takes it whole: no wait. */
	enum result r = send_all(c, text, (size_t)length, 0, err);

	explicit_bzero(text, (size_t)length);
	redisFreeCommand(text);
	return r;
}

/* connect() has ended: well? Then greet. */
static enum result begin_greeting(struct redis_conn *c, struct error *err)
{
	static const char ping[] = "*1\r\n$4\r\nPING\r\n";
	int code = 0, on = 1;
	socklen_t size = sizeof(code);

	if (getsockopt(c->context->fd, SOL_SOCKET, SO_ERROR, &code, &size))
		code = errno;
	if (code)
		return broken(c, err, code, "cannot be reached: %s", strerror(code));
	/* hiredis 1.x leaves it out when not blocking; fails on a Unix socket, which is fine. */
	(void)setsockopt(c->context->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

	enum result r = RESULT_OK;

	c->stage = STAGE_GREETING;
	c->awaited = 1;
	if (c->slow) /* looked at now and then only: what comes late is no reason to begin again */
		c->begun_us = clock_monotonic_us();
	if (c->user[0] || c->password_file[0]) {
		c->awaited = 2;
		r = send_auth(c, err);
	}
	return r ? r : send_all(c, ping, sizeof(ping) - 1, 0, err);
}

/*
 * The words of a refused AUTH may repeat the password ("ERR unknown command 'AUTH', with args
 * beginning with: ..."): only its first word is told, and all of those that are known to be
 * harmless.
 */
static enum result auth_refused(struct redis_conn *c, const redisReply *reply, struct error *err)
{
	static const char *const harmless[] = {"WRONGPASS ", "NOAUTH ", "LOADING ", "DENIED "};

	if (reply->type != REDIS_REPLY_ERROR)
		return redis_conn_refused(c, reply, err);
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
		if (!strncmp(reply->str, harmless[i], strlen(harmless[i])))
			return redis_conn_refused(c, reply, err);
	}
	return broken(c, err, 0,
		"refuses the login (%.*s): check lock.redis_user and lock.redis_password_file, and "
		"that the server has a password for this user",
		(int)strcspn(reply->str, " "), reply->str);
}

static enum result greeting_reply(struct redis_conn *c, int64_t until_us, struct error *err)
{
	CLEANUP(freeReplyObject_ptr) redisReply *reply = NULL;
	enum result r = receive(c, until_us, &reply, err);

	if (r)
		return r;
	if (reply->type != REDIS_REPLY_STATUS)
		return c->awaited == 2 ? auth_refused(c, reply, err)
				       : redis_conn_refused(c, reply, err);
	if (--c->awaited == 0)
		c->stage = STAGE_OPEN;
	return RESULT_OK;
}

/* Take one step towards STAGE_OPEN. BUSY: none is possible by until_us. */
static enum result step(struct redis_conn *c, int64_t until_us, struct error *err)
{
	switch (c->stage) {
	case STAGE_CLOSED:
		return begin_connect(c, err);
	case STAGE_CONNECTING:
		if (waker_wait(NULL, c->context->fd, POLLOUT, until_us) == WAIT_TIMEOUT)
			return RESULT_BUSY;
		return begin_greeting(c, err);
	case STAGE_GREETING:
		return greeting_reply(c, until_us, err);
	case STAGE_OPEN:
		break;
	}
	return RESULT_OK;
}

bool redis_conn_usable(struct redis_conn *c)
{
	/* Readable without a question: closed by the server, or something that is no answer. */
	return c->stage == STAGE_OPEN && c->context->reader->pos == c->context->reader->len &&
	       waker_wait(NULL, c->context->fd, POLLIN, 0) == WAIT_TIMEOUT;
}

enum result redis_conn_open(struct redis_conn *c, int64_t latest_us, struct error *err)
{
	int64_t now_us = clock_monotonic_us(), until_us = now_us;

	if (c->stage == STAGE_OPEN) {
		if (redis_conn_usable(c))
			return RESULT_OK;
		conn_close(c);
	}
	if (c->stage == STAGE_CLOSED) {
		if (now_us < c->rest_until_us) {
			if (err)
				*err = c->last;
			return RESULT_RETRY;
		}
		until_us = now_us + (c->slow ? earlier(GRACE_US, c->timeout_us) : c->timeout_us);
	} else if (!c->slow) {
		until_us = c->begun_us + c->timeout_us;
	}
	until_us = earlier(until_us, latest_us);

	enum result r = RESULT_OK;

	while (!r && c->stage != STAGE_OPEN)
		r = step(c, until_us, err);
	if (r != RESULT_BUSY)
		return r;
	if (clock_monotonic_us() >= c->begun_us + c->timeout_us)
		return timed_out(c, err);
	if (!c->slow) /* latest_us came first */
		return fail(err, RESULT_RETRY, 0, "Redis at %.80s is being connected to",
			c->address_text);
	if (err)
		*err = c->last;
	return RESULT_RETRY;
}

void redis_conn_worked(struct redis_conn *c)
{
	c->failures = 0;
	c->slow = false;
	c->rest_until_us = 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

enum result redis_conn_new(
	const struct redis_conn_config *config, struct redis_conn **ret, struct error *err)
{
	CLEANUP(redis_conn_free_ptr) struct redis_conn *c = calloc(1, sizeof(*c));

	if (c) {
		c->address_text = strdup(config->address);
		c->user = strdup(config->user);
		c->password_file = strdup(config->password_file);
	}
	if (!c || !c->address_text || !c->user || !c->password_file)
		return fail(err, RESULT_FATAL, ENOMEM, "no memory for the Redis connection");
	c->timeout_us = config->timeout_ms * 1000;

	enum result r = redis_address_parse(config->address, &c->address, err);

	if (r)
		return r;
	*ret = TAKE(c);
	return RESULT_OK;
}

void redis_conn_free(struct redis_conn *c)
{
	if (!c)
		return;
	conn_close(c);
	free(c->address_text);
	free(c->user);
	free(c->password_file);
	free(c);
}
