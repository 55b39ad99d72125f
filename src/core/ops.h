/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "core/batch.h"
#include "core/log.h"
#include "core/snapshot.h"

/*
 * What a worker asks of the world. io/ has the real adapters, tests/sim/ simulated ones.
 *
 * Every call is bounded in time and made by the worker's own thread. A call that would wait for
 * another worker may answer BUSY at once: the worker comes back later. RETRY is always "nothing has
 * happened that counts"; adapters reconnect by themselves in the next call.
 */

/* ---- clock ------------------------------------------------------------------------------- */

struct clock_ops {
	int64_t (*now_us)(void *self);      /* monotonic */
	uint64_t (*random)(void *self);     /* for jitter */
};

/* ---- source: the group member -------------------------------------------------------------- */

enum source_event_kind {
	SOURCE_NOTHING,     /* nothing within wait_ms */
	SOURCE_RECORD,
	SOURCE_ASSIGNED,    /* the group gave us exactly these partitions; none is fetched yet */
	SOURCE_REVOKED,     /* all partitions are gone; `lost`: perhaps others have them already */
	SOURCE_COMMIT,      /* an answer to commit(): `err` was filled if `failed` */
	SOURCE_DISTURBED,   /* an error in the stream of `partition`: what comes next may have a gap */
	SOURCE_UNREACHABLE, /* no broker answers; `err` says why; said again every few seconds */
	SOURCE_OTHER_TOOK_NAME, /* another member with our instance name: we are out for good */
};

struct source_event {
	enum source_event_kind kind;
	struct raw_record record;      /* RECORD: valid until the next call */
	const int32_t *partitions;     /* ASSIGNED: ascending; valid until the next call */
	size_t partition_count;
	bool lost;                     /* REVOKED */
	bool failed;                   /* COMMIT */
	int32_t partition;             /* COMMIT, DISTURBED */
};

/* What Kafka knows of a partition. */
struct source_offsets {
	int32_t partition;
	int64_t low, high;  /* watermarks: the first offset kept, the next to be written */
	int64_t committed;  /* the group's; -1: there is none (never "could not be read") */
};

struct position {
	int32_t partition;
	int64_t offset;     /* the next to fetch */
};

/* What timestamp_at() answers in place of a timestamp. */
enum {
	TIMESTAMP_NONE = -1, /* that offset holds no record (any more), or one without a timestamp */
	TIMESTAMP_END = -2,  /* and no later one does */
};

struct source_ops {
	/* Do both topics exist? OK, RETRY (err names the missing one or the unreachable brokers), or
	 * FATAL for what no waiting heals. ret: partitions of `topic`. */
	enum result (*check)(void *self, int32_t *ret_partition_count, struct error *err);
	/* Join the group. ASSIGNED follows (perhaps with no partition) from poll(). */
	enum result (*subscribe)(void *self, struct error *err);
	/* Serve Kafka for at most wait_ms; 0: what is there. OK with one event, even SOURCE_NOTHING. */
	enum result (*poll)(void *self, int64_t wait_ms, struct source_event *ret, struct error *err);
	/* Ask the servers; all three numbers are real or the call fails with RETRY. */
	enum result (*offsets)(void *self, int32_t partition, struct source_offsets *ret,
		struct error *err);
	/* The timestamp of the record at `offset`, or a TIMESTAMP_ constant. */
	enum result (*timestamp_at)(void *self, int32_t partition, int64_t offset, int64_t *ret_ms,
		struct error *err);
	/* Fetch exactly these from now on; none of them stays paused. */
	enum result (*assign)(void *self, const struct position *p, size_t count, struct error *err);
	enum result (*seek)(void *self, int32_t partition, int64_t offset, struct error *err);
	enum result (*pause)(void *self, int32_t partition, bool pause, struct error *err);
	/* Commit next-to-read offset; asynchronous: SOURCE_COMMIT follows. */
	enum result (*commit)(void *self, int32_t partition, int64_t offset, struct error *err);
	/* The same and wait for the answer, bounded. */
	enum result (*commit_wait)(void *self, int32_t partition, int64_t offset, struct error *err);
	/* Is the assignment still ours, as far as the member knows without asking? */
	bool (*owns)(void *self, int32_t partition);
	/* The partition's high watermark as last fetched, for the lag; -1: not known yet. No I/O. */
	int64_t (*high_watermark)(void *self, int32_t partition);
	/* Leave, bounded; nothing is called after it but the adapter's own free. */
	void (*close)(void *self);
};

/* ---- ledger: PostgreSQL --------------------------------------------------------------------- */

struct progress {
	bool exists;               /* false: no row for this partition; the rest is then not set */
	bool group_exists;         /* some partition of the topic has a row of this group */
	char owner[37];            /* the token of this claim */
	int64_t next_offset;
	int64_t published_offset;
	bool stopped;
	char stopped_reason[STOP_REASON_MAX_BYTES];
	bool sought;
	int64_t last_record_at_ms; /* -1: none */
	int32_t unclean_claims;    /* this one included, when the row was not released */
};

enum resolution { RESOLUTION_COMMITTED, RESOLUTION_NOT_COMMITTED };

struct ledger_ops {
	/* Right database, encoding, schema version and rights? OK; RETRY: no server; FATAL: a person
	 * must act (err says what is missing). */
	enum result (*check)(void *self, struct error *err);

	/* Make the partition ours: lock its progress row, set a new owner. OK with exists == false
	 * when there is no row; nothing was changed then. */
	enum result (*claim)(void *self, int32_t partition, struct progress *ret, struct error *err);
	/* Write progress rows (next = published = offset, released) where there are none, in one
	 * transaction, one worker at a time. */
	enum result (*create)(
		void *self, const struct position *starts, size_t count, struct error *err);
	/* The operator's seek has been taken over to Kafka: clear `sought`. FENCED when not ours. */
	enum result (*clear_sought)(
		void *self, int32_t partition, const char *owner, struct error *err);

	/* A transaction, in this order. Any failure, or abort(), ends it without effect; IN_DOUBT
	 * comes from commit() alone. All share one deadline, counted from begin(). BUSY is no
	 * failure but "call again": from begin() nothing has begun, later the transaction is as
	 * it was before the call. */

	/* BEGIN; move the progress row (FENCED unless next_offset == expected, owner ours, running);
	 * insert the candidates with their predicted status; mark and read those that existed; write
	 * the letters of refused records; set decided_at_us, of a record whose letter existed its
	 * own. With b->stock_early it may also do at once what lock_stock() does, for all of b->stock,
	 * and say so by b->stock_read: that saves small batches a round trip.
	 * REJECT: the server refuses some row's data. */
	enum result (*begin)(void *self, struct batch *b, struct error *err);
	/* Lock the stock rows of b->stock by ascending id and read them; it may take already what
	 * will probably be taken, and write() then corrects that. */
	enum result (*lock_stock)(void *self, struct batch *b, struct error *err);
	/* Write what was decided: stock taken, statuses predicted wrongly, letters of conflicts. */
	enum result (*write)(void *self, struct batch *b, struct error *err);
	/* COMMIT. OK is certain, every failure but IN_DOUBT is certain to have changed nothing. */
	enum result (*commit)(void *self, struct batch *b, struct error *err);
	/* Drop the open transaction, if any; never waits, closes the connection if it must. */
	void (*abort)(void *self);

	/* In doubt: was the slice committed? OK with the answer; RETRY or BUSY: still in doubt;
	 * FENCED: the partition has another owner. */
	enum result (*resolve)(
		void *self, const struct batch *b, enum resolution *ret, struct error *err);
	/* Replay: set verdict, status, decided_at_us (and first_payment_key) of the slice's records
	 * from what is stored. Writes nothing. */
	enum result (*lookup)(void *self, struct batch *b, struct error *err);
	/* Write published_offset (never lower than it stands). FENCED when not ours. */
	enum result (*publish_progress)(void *self, int32_t partition, const char *owner,
		int64_t published_offset, struct error *err);
	/* The same, and give the row up: owner NULL. Not ours any more: OK, nothing done. */
	enum result (*release)(void *self, int32_t partition, const char *owner,
		int64_t published_offset, struct error *err);
	/* Stop the partition until a person acts: state, reason; released. FENCED when not ours. */
	enum result (*stop)(void *self, int32_t partition, const char *owner, const char *reason,
		struct error *err);
};

/* ---- lock: Redis, or nothing (provider "database") -------------------------------------------- */

struct lock_lease {
	bool held;
	int64_t until_us; /* on the monotonic clock: may have lost it from here on */
	char token[33];
};

struct lock_ops {
	/* Reachable? Asked before READY and for STATUS. */
	enum result (*check)(void *self, struct error *err);
	/* Take the lock of every ticket type in b->stock, or none. Waits for other owners until
	 * deadline_us at most. BUSY: still held by others; RETRY: the provider does not answer. */
	enum result (*acquire)(void *self, const struct batch *b, int64_t deadline_us,
		struct lock_lease *ret, struct error *err);
	/* Leave the queue of those who wait, if acquire() answered BUSY before the deadline. */
	void (*forget)(void *self);
	/* Free it; what cannot be freed runs out by itself. */
	void (*release)(void *self, const struct batch *b, struct lock_lease *lease);
};

/* ---- sink: the outcome producer ---------------------------------------------------------------- */

/* Told once for every outcome taken: `mark` as given with it. Called from serve() only. */
typedef void sink_delivered_fn(void *context, uint64_t mark, bool delivered);

struct sink_message {
	struct bytes key, value;
};

/* What came of a publish(). */
struct sink_taken {
	size_t count; /* so many were taken, and each will be told */
	size_t next;  /* the first one that was not: from there on they are to be handed over again */
};

struct sink_ops {
	/* Hand outcomes over, all with one mark; keys and values are copied. BUSY: the queue is full,
	 * serve() first. ret: set on failure as well; behind one that was not taken others may be. */
	enum result (*publish)(void *self, const struct sink_message *m, size_t count, uint64_t mark,
		struct sink_taken *ret, struct error *err);
	/* Serve deliveries for at most wait_ms. 0: what is there; else the caller has nothing better to
	 * do, and what waits to be sent together with more is sent at once. RETRY: the producer had a fatal error and is being
	 * made anew; everything not told delivered before is told undelivered. */
	enum result (*serve)(void *self, int64_t wait_ms, sink_delivered_fn *delivered, void *context,
		struct error *err);
	/* Bounded; undelivered outcomes are dropped. */
	void (*close)(void *self);
};

/* ---- together ----------------------------------------------------------------------------------- */

struct worker_ops {
	const struct clock_ops *clock;
	const struct source_ops *source;
	const struct ledger_ops *ledger;
	const struct lock_ops *lock; /* NULL: provider "database" */
	const struct sink_ops *sink;
	void *clock_self, *source_self, *ledger_self, *lock_self, *sink_self;
	struct logger log;
};
