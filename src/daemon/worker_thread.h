/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/waker.h"
#include "core/config.h"
#include "core/log.h"
#include "core/snapshot.h"
#include "io/lock_queue.h"

/*
 * A worker (core/worker.h) with its own adapters on its own thread. What crosses to the main
 * thread: the stop request, a snapshot under a mutex, and an eventfd that says "look".
 */
struct worker_thread;

struct worker_thread_config {
	const struct config *config; /* outlives the thread */
	const char *instance;        /* resolved; "": dynamic membership */
	int index;                   /* from 0 */
	struct lock_queue *queue;    /* shared by all workers */
	struct waker *look;          /* woken when the worker's life changes */
	struct logger log;
};

/* Make the adapters; no server is asked. FATAL: a setting that an adapter refuses. thread: main */
enum result worker_thread_new(const struct worker_thread_config *config, struct worker_thread **ret,
	struct error *err) MUST_CHECK;
/* Start running; signals must be blocked already. */
enum result worker_thread_start(struct worker_thread *t, struct error *err) MUST_CHECK;

/* Take over what a reload changed in `c` (its strings are those it started with), soon. */
void worker_thread_reconfigure(struct worker_thread *t, const struct config *c);

/* Ask it to drain; returns at once. */
void worker_thread_stop(struct worker_thread *t);

void worker_thread_snapshot(struct worker_thread *t, struct worker_snapshot *ret);

/* Has the thread ended (or never begun)? Then free() does not wait. */
bool worker_thread_ended(struct worker_thread *t);

/* For how long it has been at its present step; 0 when it has ended. For the watchdog. */
int64_t worker_thread_step_us(struct worker_thread *t);

/* Waits for the thread. */
void worker_thread_free(struct worker_thread *t);
