/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/waker.h"
#include "core/ops.h"
#include "io/lock_queue.h"

/*
 * The lock of ticket types in Redis, one key each: "<key_prefix>:{lock:<scope>}:<ticketTypeId>", a
 * string with the owner's token and a time to live. The braces put all keys of a scope into one
 * slot of a cluster.
 *
 * It is there to keep workers from crowding at PostgreSQL's row locks and may lose everything
 * without harm. Any failure is RETRY, with the server's words.
 *
 * Redis' user needs: +ping +eval +evalsha +exists +get +set +del on ~<key_prefix>:{lock:*.
 *
 * source: https://redis.io/docs/latest/commands/set/ (the pattern for a single instance)
 */
struct redis_lock;

struct redis_lock_config {
	const char *address;       /* "host:port", "[v6]:port" or a socket's path */
	const char *user;          /* "": the default user */
	const char *password_file; /* "": none */
	int64_t timeout_ms;        /* for connecting and for each command */
	const char *key_prefix;    /* one per database */
	const char *scope;         /* "stock" or "transaction" */
	int64_t lease_ms;

	struct waker *waker; /* ends waits for other owners (BUSY), never a command; may be NULL */
	struct lock_queue *queue; /* one for all locks of the process */
};

/* config: copied, but for waker and queue. fails: FATAL; no server is asked yet. */
enum result redis_lock_new(const struct redis_lock_config *config, struct redis_lock **ret,
	struct error *err) MUST_CHECK;
void redis_lock_free(struct redis_lock *l);
DEFINE_CLEANUP(struct redis_lock *, redis_lock_free)

/*
 * With a struct redis_lock as `self`, for the thread of its worker.
 *
 * acquire: one try at least, also past the deadline; at the latest it ends timeout_ms after it.
 *          What it or release() could not free for want of an answer is freed first in the next
 *          acquire(), if that comes before the lease runs out.
 * release: frees what acquire() took, whatever the batch's stock looks like by then.
 * check:   takes and frees a key of its own, so that a read-only server or a missing right shows.
 */
extern const struct lock_ops redis_lock_ops;
