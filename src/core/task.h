/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core/breaker.h"
#include "core/decide.h"
#include "core/deliveries.h"
#include "core/ops.h"
#include "core/snapshot.h"
#include "core/worker.h"

/*
 * One assigned partition of a worker: the state machine of docs/design.md, "Life of a batch".
 * task.c holds the states, task_claim.c the way to a position, task_fill.c the reading,
 * task_transact.c the transaction, task_publish.c what comes after it. worker.c owns the tasks,
 * worker_group.c hears of rebalances and records.
 */
enum task_state {
	TASK_CLAIM,      /* nothing is held: asks for the progress row */
	TASK_SURVEY,     /* no row yet: asks Kafka where partitions start, then creates rows */
	TASK_POSITION,   /* the row is ours: finds where to read on */
	TASK_FILL,       /* reads; the work batch is empty */
	TASK_LOOKUP,     /* a replayed slice: reads what was decided; holds nothing */
	TASK_LOCK,       /* scope transaction: waits for the lock; holds nothing */
	TASK_BEGIN,      /* begins the transaction; may hold the lock */
	TASK_LOCK_STOCK, /* scope stock: waits for the lock; the transaction is open */
	TASK_STOCK,  /* reads the stock rows; the transaction is open, the lock held or given up */
	TASK_WRITE,  /* the same; writes what was decided */
	TASK_COMMIT, /* the same; nothing is left but COMMIT */
	TASK_IN_DOUBT, /* COMMIT was sent, its answer lost; the lock is given up */
	TASK_PUBLISH,  /* committed: hands outcomes to the sink; holds nothing */
	TASK_HOLD,     /* waits for a server; holds nothing, keeps its records */
	TASK_FENCED,   /* another worker owns the partition; waits, then claims if still assigned */
	TASK_STOPPED,  /* a person must act; looks again every second */
	TASK_RELEASE,  /* revoked or draining: gives the row up, once */
	TASK_GONE,     /* to be freed by the worker */
};

const char *task_state_name(enum task_state s);

struct task {
	struct worker *worker;
	int32_t partition;
	uint32_t epoch; /* unlike any other task's of the worker: marks outcomes */
	enum task_state state;
	int64_t due_us; /* when it wants its next step; INT64_MAX: something must happen */
	int attempt;    /* failures in a row */
	int answered;   /* of these, the ones that the database itself answered */

	/* What is waited for, for STATUS. */
	enum wait_cause wait;
	int64_t wait_since_us;
	char wait_text[240];
	char stop_reason[STOP_REASON_MAX_BYTES]; /* "": not stopped */

	/* The claim. */
	bool group_exists; /* other partitions of the topic have rows of our group */
	bool claimed, positioned;
	char owner[37];
	int64_t next_offset; /* -1 until claimed */
	int32_t unclean_claims;
	int64_t last_record_at_ms;
	bool sought;
	int64_t above_high_us; /* since when next_offset is above the high watermark; 0: it is not */
	int64_t decided_us;    /* when a batch was committed last, or the position taken */
	int64_t batch_us;      /* how long its transaction took */
	int64_t check_offset;  /* the record before the first batch after a pause; -1: none */
	int64_t check_ms;      /* its timestamp as it was decided */

	/* The stream. */
	int64_t expected; /* the offset of the next record */
	bool disturbed;   /* the next record may leave a gap that is none */
	int disturbances; /* errors since the last good record */
	int64_t gap_at;   /* the offset that came instead of the expected one; -1: none */
	bool seek_wanted, paused;

	/* The batches. */
	struct batch *fill, *work; /* what is read now; what is in process */
	int64_t fill_since_us;     /* when its first record came */
	bool from_rest;            /* the last batch's first record came when we had rested */
	size_t slice_max;          /* halved by failures */
	size_t publish_index;      /* next record of the slice to publish */
	bool publishing;           /* its slice has begun in `deliveries` */
	int64_t full_since_us;     /* since when the sink takes no more of it; 0: it does */
	int64_t tripped_us;        /* when the breaker tripped: to be stopped; 0: it has not */
	bool settled;              /* what was delivered until then is written */
	int64_t lock_deadline_us;  /* 0: not waiting for the lock */
	int64_t began_us;          /* when this attempt of the transaction began */
	struct lock_lease lease;

	/* What is delivered. */
	int undelivered;        /* failed deliveries in a row */
	int64_t undelivered_at; /* delivered_to at the last of them */
	struct deliveries deliveries;
	uint32_t sequence;         /* of the slice being published */
	int64_t published_written; /* published_offset as it stands in the database */
	int64_t committed_known;   /* Kafka's committed offset when we began; -1: none */
	int64_t committed_asked;   /* the last offset given to Kafka, or the same */
	int64_t commit_due_us;     /* not before, so that small batches do not flood the broker */
	int64_t idle_since_us;     /* the last time a batch ended */

	struct breaker breaker;
	int64_t example_due_us; /* when a refused record may be shown again */
};

struct worker {
	struct worker_config config, next_config;
	bool reconfigure;
	struct worker_ops ops;
	enum worker_life life;
	enum {
		START_LEDGER,
		START_LOCK,
		START_SOURCE,
		START_SUBSCRIBE,
		START_JOIN,
		START_DONE,
	} start;
	int64_t start_due_us;
	int start_attempt;
	bool stop, joined;
	int64_t polled_us; /* when Kafka was asked last */
	bool polled;       /* Kafka was asked since the last slice ended */
	int64_t drain_until_us;

	struct task **tasks;
	size_t task_count, turn; /* turn: whose step comes first */
	struct task *open;       /* the task with the transaction, or that has the lock; or NULL */
	int32_t partition_count;
	struct stock_hints hints;
	char values[65536]; /* outcomes on their way to the sink */

	enum wait_cause wait; /* of the worker itself; tasks have their own */
	int64_t wait_since_us;
	char wait_text[240];
	int64_t unreachable_us; /* when Kafka was last said to be out of reach; 0: it is not */
	int64_t batch_id;
	uint32_t task_epoch;           /* of the newest task */
	struct worker_snapshot totals; /* its counters only */
};

/* task.c */
struct task *task_new(struct worker *w, int32_t partition);
void task_free(struct task *t);
/* The one place where a state changes. */
void task_enter(struct task *t, enum task_state s);
void task_step(struct task *t);
/* When it wants to: monotonic; INT64_MAX: not before something happens. */
int64_t task_due_us(const struct task *t);
void task_forget_records(struct task *t);
/* An unsuccessful call: say what is waited for, enter `s` again after a back-off. */
void task_wait(struct task *t, enum task_state s, enum wait_cause cause, const struct error *err);
/* What was waited for has come. */
void task_recovered(struct task *t);
/* Stop until a person acts. write: in the progress row, which is ours */
void task_stop(struct task *t, bool write, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
enum wait_cause task_database_cause(const struct error *err);
/* An entry that names the task's topic and partition. */
struct log_entry task_log_entry(
	const struct task *t, enum log_level level, enum log_event event, const char *text);
void task_log(struct task *t, enum log_level level, enum log_event event, const struct error *err,
	const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The same with the slice's batch, offsets and duration. */
void task_log_slice(struct task *t, enum log_level level, enum log_event event,
	const struct error *err, const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Offsets without a record, as fields as well; text: what is so of them. */
void task_log_gap(
	struct task *t, enum log_level level, int64_t first, int64_t last, const char *text);
/* Wait for the lock no longer. */
void task_leave_queue(struct task *t);
/* The partition was taken from us. */
void task_leave(struct task *t);
bool task_in_transaction(const struct task *t);

/* task_fill.c */
/* When the batch that is being filled is to be taken; INT64_MAX: it is empty. */
int64_t task_fill_due_us(const struct task *t);
void task_step_fill(struct task *t);
/* A record of the task's partition; the source's until the next call. */
void task_record(struct task *t, const struct raw_record *raw);
/* After a failed delivery: has it gone on since? */
void task_look_at_deliveries(struct task *t);
/* Is there room for another record? */
bool task_has_room(const struct task *t);
/* The source is asked next: may it bring records of this partition? */
void task_before_poll(struct task *t);
/* The source fetches from the expected offset on, as if for the first time. */
void task_fetched_anew(struct task *t);
/* The stream broke: what comes next is looked at twice. */
void task_disturbed(struct task *t);
/* Start over with the records in `work` from `first` on: replay, transaction, or fill when none. */
void task_next_slice(struct task *t, size_t first);

/* task_claim.c */
void task_step_claim(struct task *t);
void task_step_survey(struct task *t);
void task_step_position(struct task *t);
/* A batch begins: was there a pause before it, in which the topic may have been made anew? */
void task_note_pause(struct task *t);
/* After that batch: is the record before it still the one that was decided? */
void task_step_check(struct task *t);

/* task_transact.c */
void task_step_lookup(struct task *t);
void task_step_lock(struct task *t);
void task_step_begin(struct task *t);
void task_step_stock(struct task *t);
void task_step_write(struct task *t);
void task_step_commit(struct task *t);
void task_step_in_doubt(struct task *t);

/* task_publish.c */
void task_step_publish(struct task *t);
/* Write the progress row at the next occasion: proof that we live and own it. */
void task_touch(struct task *t);
/* Delivered offsets to Kafka and, when idle, to the database. */
void task_step_progress(struct task *t);
/* The first half of it, which does not wait: false when nothing was due. */
bool task_commit_if_due(struct task *t);
int64_t task_progress_due_us(const struct task *t);
/* Release the claim, once; not ours any more after it, whatever came of it. */
void task_give_back(struct task *t);
void task_step_release(struct task *t);

/* worker.c */
int64_t worker_now(const struct worker *w);
/* Let the sink tell what it has delivered; waits for it at most wait_ms. */
void worker_serve_sink(struct worker *w, int64_t wait_ms);
/* Is any outcome handed over and not told of? */
bool worker_outstanding(const struct worker *w);
/* The next server at the start. */
void worker_start_next(struct worker *w);
void worker_say(struct worker *w, enum wait_cause cause, const char *text);
void worker_log(struct worker *w, enum log_level level, enum log_event event, const char *format,
	...) __attribute__((format(printf, 4, 5)));

/* worker_group.c */
/* Give the source every positioned task with its position. */
enum result worker_assign(struct worker *w, struct error *err) MUST_CHECK;
/* Serve Kafka: wait for the first event, then take all that is there and that there is room for. */
void worker_poll(struct worker *w);
/* Has each task that is fetched room for a record? */
bool worker_has_room(const struct worker *w);
/* Free the tasks that are gone. */
void worker_sweep(struct worker *w);
