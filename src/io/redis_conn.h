/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct redisReply;

/*
 * A connection to one Redis that makes itself anew. Whatever goes wrong closes it, so that a late
 * reply never answers the next command.
 *
 * A Redis that does not answer must not cost every batch its timeout. After a failure:
 * - the first try to connect again is made in the next call; when that fails too, calls fail at
 *   once for 100 ms, then 200, 400, 800 and from then on 1000 ms after each failed try;
 * - after a timeout (a black hole, a stalled server) the tries to connect are made on the side: a
 *   call begins one and gives it 10 ms, later calls only look whether the answer to PING has come.
 * A command that succeeds ends both: redis_conn_worked().
 *
 * thread: the one that owns it
 */
struct redis_conn;

struct redis_conn_config {
	const char *address;       /* as redis_address_parse() takes it */
	const char *user;          /* "": the server's default user */
	const char *password_file; /* "": none; read again for every connection */
	int64_t timeout_ms;        /* for connecting and for each command */
};

/* config: copied. fails: FATAL; no server is asked yet. */
enum result redis_conn_new(const struct redis_conn_config *config, struct redis_conn **ret,
	struct error *err) MUST_CHECK;
void redis_conn_free(struct redis_conn *c);
DEFINE_CLEANUP(struct redis_conn *, redis_conn_free)

/*
 * Connect, give the password and wait for the answer to PING, unless that is done. A connection
 * that the server has closed meanwhile is noticed here and replaced.
 *
 * latest_us: no wait goes on beyond it, nor beyond timeout_ms
 * fails:     RETRY
 *
 * Looking up a host's name blocks, and for as long as the resolver likes: give an address.
 */
enum result redis_conn_open(struct redis_conn *c, int64_t latest_us, struct error *err) MUST_CHECK;

/* Open, and nothing unasked has arrived. No I/O but a look at the socket. */
bool redis_conn_usable(struct redis_conn *c);

/*
 * Send one command on an open connection and wait for its reply, which may be an error reply.
 *
 * lengths: of argv; may hold any bytes
 * ret:     freed with freeReplyObject()
 * fails:   RETRY; the connection is closed, the server may have run the command or run it yet
 */
enum result redis_conn_command(struct redis_conn *c, int argc, const char **argv,
	const size_t *lengths, int64_t latest_us, struct redisReply **ret,
	struct error *err) MUST_CHECK;

/* A command has done what it should: the server is trusted again. */
void redis_conn_worked(struct redis_conn *c);

/* A reply that is an error or makes no sense: close. Always RETRY, with the server's words. */
enum result redis_conn_refused(
	struct redis_conn *c, const struct redisReply *reply, struct error *err) MUST_CHECK;
