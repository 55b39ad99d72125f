/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/result.h"
#include "base/waker.h"

/*
 * The workers of this process that want the Redis lock, first come, first served. The head alone
 * asks Redis: when all asked, the one with the luckiest polls would get the lock again and again
 * and another would wait for seconds.
 *
 * thread: any; a place belongs to one thread
 */
struct lock_queue;

/* NULL when memory is out. Freed after every place is done. */
struct lock_queue *lock_queue_new(void);
void lock_queue_free(struct lock_queue *q);
DEFINE_CLEANUP(struct lock_queue *, lock_queue_free)

/* What one worker stands in the queue with. */
struct lock_place {
	struct waker turn;       /* readable: look again */
	struct lock_place *next; /* guarded by the queue's mutex, as is `queued` */
	bool queued;
};

bool lock_place_init(struct lock_place *p); /* false: errno says why */
void lock_place_done(struct lock_place *p); /* not while it is in a queue */

/*
 * Join at the end and wait to become the head.
 *
 * w:       ends the wait; may be NULL
 * returns: WAIT_READY: the head, until lock_queue_leave(). Else not in the queue. An empty queue
 *          makes its first comer the head, even past the deadline or woken.
 */
enum wait_end lock_queue_enter(struct lock_queue *q, struct lock_place *p, struct waker *w,
	int64_t deadline_us) MUST_CHECK;

/*
 * The head waits before it asks Redis again: WAIT_READY when lock_queue_kick() says that it is
 * worth it, WAIT_TIMEOUT at until_us.
 */
enum wait_end lock_queue_pause(
	struct lock_queue *q, struct lock_place *p, struct waker *w, int64_t until_us) MUST_CHECK;

/* Let the next one be the head. Nothing happens when `p` is not in the queue. */
void lock_queue_leave(struct lock_queue *q, struct lock_place *p);

/* A worker of this process has freed a lock: perhaps the one that the head waits for. */
void lock_queue_kick(struct lock_queue *q);

/* How many are in it, the head included. */
size_t lock_queue_length(struct lock_queue *q);
