/* SPDX-License-Identifier: Apache-2.0 */
#include "io/lock_queue.h"

#include <pthread.h>
#include <poll.h>
#include <unistd.h>

struct lock_queue {
	pthread_mutex_t mutex;
	struct lock_place *head, **tail;
};

struct lock_queue *lock_queue_new(void)
{
	struct lock_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	pthread_mutex_init(&q->mutex, NULL);
	q->tail = &q->head;
	return q;
}

void lock_queue_free(struct lock_queue *q)
{
	if (!q)
		return;
	pthread_mutex_destroy(&q->mutex);
	free(q);
}

bool lock_place_init(struct lock_place *p)
{
	*p = (struct lock_place){.turn.fd = -1};
	return waker_init(&p->turn);
}

void lock_place_done(struct lock_place *p)
{
	waker_done(&p->turn);
}

/* A waker stays woken; a place is used again. */
static void turn_reset(struct lock_place *p)
{
	uint64_t count;

	(void)!read(p->turn.fd, &count, sizeof(count));
}

static bool is_head(struct lock_queue *q, struct lock_place *p)
{
	pthread_mutex_lock(&q->mutex);
	bool head = q->head == p;
	pthread_mutex_unlock(&q->mutex);
	return head;
}

enum wait_end lock_queue_enter(
	struct lock_queue *q, struct lock_place *p, struct waker *w, int64_t deadline_us)
{
	turn_reset(p);

	pthread_mutex_lock(&q->mutex);
	p->next = NULL;
	p->queued = true;
	*q->tail = p;
	q->tail = &p->next;
	pthread_mutex_unlock(&q->mutex);

	while (!is_head(q, p)) {
		enum wait_end end = waker_wait(w, p->turn.fd, POLLIN, deadline_us);

		if (end != WAIT_READY) {
			lock_queue_leave(q, p);
			return end;
		}
		turn_reset(p);
	}
	return WAIT_READY;
}

enum wait_end lock_queue_pause(
	struct lock_queue *q, struct lock_place *p, struct waker *w, int64_t until_us)
{
	(void)q;

	enum wait_end end = waker_wait(w, p->turn.fd, POLLIN, until_us);

	turn_reset(p);
	return end;
}

void lock_queue_leave(struct lock_queue *q, struct lock_place *p)
{
	pthread_mutex_lock(&q->mutex);
	if (p->queued) {
		bool was_head = q->head == p;
		struct lock_place **at = &q->head;

		while (*at != p)
			at = &(*at)->next;
		*at = p->next;
		if (!p->next)
			q->tail = at;
		p->queued = false;
		if (was_head && q->head)
			waker_wake(&q->head->turn);
	}
	pthread_mutex_unlock(&q->mutex);
}

void lock_queue_kick(struct lock_queue *q)
{
	pthread_mutex_lock(&q->mutex);
	if (q->head)
		waker_wake(&q->head->turn);
	pthread_mutex_unlock(&q->mutex);
}

size_t lock_queue_length(struct lock_queue *q)
{
	size_t n = 0;

	pthread_mutex_lock(&q->mutex);
	for (const struct lock_place *p = q->head; p; p = p->next)
		n++;
	pthread_mutex_unlock(&q->mutex);
	return n;
}
