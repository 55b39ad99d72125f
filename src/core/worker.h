/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core/config.h"
#include "core/ops.h"
#include "core/snapshot.h"

/*
 * One worker: a group member and the partitions it was assigned, each a task (task.h). The worker
 * polls the source, deals records and rebalances out to its tasks and lets one task at a time go on.
 *
 * thread: one thread makes and uses a worker; nothing here locks.
 */
struct worker;

/* What the worker takes from the settings; plain values, copied. */
struct worker_config {
	const char *topic;        /* outlives the worker */
	enum lock_scope scope;
	enum lock_fallback fallback;
	enum start_at start;
	int64_t lock_wait_ms;
	int64_t max_events, max_bytes, linger_ms;
	int64_t event_bytes;
	int64_t breaker;          /* 0: none */
	int64_t drain_ms;         /* how long to wait for deliveries when asked to stop */
};

/* ops: copied; the adapters outlive the worker. NULL when memory is out. */
struct worker *worker_new(const struct worker_config *config, const struct worker_ops *ops);
void worker_free(struct worker *w);
DEFINE_CLEANUP(struct worker *, worker_free)

/* How the worker stands after a step. */
enum worker_life {
	WORKER_STARTING, /* servers checked, group joined: not yet */
	WORKER_RUNNING,
	WORKER_DRAINING, /* asked to stop: finishes what is in a transaction, waits for deliveries */
	WORKER_STOPPED,  /* source and sink are closed; nothing is left to do */
	WORKER_UNFIT,    /* before READY: configuration or a server's state needs a person (exit 78) */
	WORKER_REPLACED, /* another member took our instance name (exit 69) */
	WORKER_BROKEN,   /* an internal error (exit 70) */
};

/*
 * Make one step: at most one call that may wait (for at most 100 ms when there is nothing to do),
 * then return.
 */
enum worker_life worker_step(struct worker *w);

/* Drain: from the next step on. The same thread; a signal's flag is looked at by the caller. */
void worker_stop(struct worker *w);

/* New settings: taken between two batches. The topic must not change. */
void worker_reconfigure(struct worker *w, const struct worker_config *config);

/* What STATUS, the metrics file and tests see. Cheap; made anew at every call. */
void worker_snapshot(const struct worker *w, struct worker_snapshot *ret);
