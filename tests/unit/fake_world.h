/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/worker.h"

/*
 * A world around one worker, in memory: a topic, a database, Redis and a clock that only the test
 * and the worker's own polling move. Everything works until a test scripts a call's answer. Every
 * call leaves a word in the trace, so that a test can claim what was done, and in which order:
 *
 *     offsets:0 assign:0@5,1@3 seek:0@5 pause:0 resume:0 commit:0@8 commit_wait:0@8 timestamp:0@4
 *     claim:0 create:0@0,1@0 clear_sought:0 begin:0@5-7 lock_stock write COMMIT abort resolve
 *     lookup:0@5-7 progress:0@8 give_back:0@8 stop:0 acquire:1,2 forget unlock publish:ORDER
 */

#define FAKE_TOPIC "payment-completed"

enum {
	FAKE_PARTITIONS = 4,
	FAKE_RECORDS = 2048, /* of a partition */
	FAKE_EVENTS = 64,
	FAKE_ANSWERS = 2048,
	FAKE_PAYMENTS = 4096,
	FAKE_TYPES = 16,
	FAKE_OUTCOMES = 4096,
	FAKE_LINES = 1024,
	FAKE_TRACE_BYTES = 1 << 16,
};

/* The calls whose answers can be scripted. */
enum fake_call {
	CALL_NONE,
	CALL_LEDGER_CHECK,
	CALL_LOCK_CHECK,
	CALL_SOURCE_CHECK,
	CALL_SUBSCRIBE,
	CALL_POLL,
	CALL_OFFSETS,
	CALL_TIMESTAMP,
	CALL_ASSIGN,
	CALL_SEEK,
	CALL_PAUSE,
	CALL_COMMIT_OFFSET,
	CALL_COMMIT_WAIT,
	CALL_CLAIM,
	CALL_CREATE,
	CALL_CLEAR_SOUGHT,
	CALL_BEGIN,
	CALL_LOCK_STOCK,
	CALL_WRITE,
	CALL_COMMIT,
	CALL_RESOLVE,
	CALL_LOOKUP,
	CALL_PROGRESS,
	CALL_RELEASE,
	CALL_STOP,
	CALL_ACQUIRE,
	CALL_PUBLISH,
	CALL_SERVE,
};

struct fake_answer {
	enum fake_call call;
	enum result result;
	const char *sqlstate, *text;
	int64_t takes_us;  /* the clock moves on by so much before it is given */
	bool takes_effect; /* COMMIT: it was applied, whatever the answer says */
};

struct fake_record {
	int64_t offset, timestamp_ms;
	char value[512];
	size_t value_bytes;
	bool tombstone;
};

struct fake_partition {
	/* Kafka's. */
	struct fake_record records[FAKE_RECORDS];
	int record_count;
	int64_t low, high, committed; /* high: grows with the records */
	bool assigned, paused, owned;
	int64_t position;

	/* The database's. */
	struct progress row;
	char reason[240]; /* why stopped */
	bool released;
};

struct fake_payment {
	char order_id[80], payment_key[80];
	int64_t amount_minor, ticket_type_id, member_id, offset;
	int32_t quantity, partition;
	enum payment_status status;
};

struct fake_letter {
	int32_t partition;
	int64_t offset;
	enum refusal reason;
	char detail[240];
};

struct fake_outcome {
	char order_id[80], value[1024];
	uint64_t mark;
	bool due, told, undelivered; /* due: to be told by the next serve() */
};

struct fake_event {
	struct source_event event;
	struct fake_record record;
	int32_t partitions[FAKE_PARTITIONS];
	char text[120];
};

struct fake_world {
	struct worker *worker;
	struct worker_config config;
	bool without_redis; /* lock.provider = "database": set before fake_start() */
	int64_t now_us;
	int64_t polls, busy_polls; /* busy: without a wait */
	int64_t last_wait_ms;

	int32_t partition_count;
	struct fake_partition partitions[FAKE_PARTITIONS];
	struct fake_event events[FAKE_EVENTS];
	int event_count;
	struct fake_answer answers[FAKE_ANSWERS];
	int answer_count;

	struct fake_payment payments[FAKE_PAYMENTS];
	int payment_count;
	struct fake_letter letters[FAKE_PAYMENTS];
	int letter_count;
	struct stock types[FAKE_TYPES];
	int type_count;
	int owners;
	bool in_transaction;
	bool reads_early;       /* begin() reads the stock when it may */
	char refused_order[80]; /* begin() rejects a batch with it; "": none */

	int64_t lease_us;
	bool lock_held;

	struct fake_outcome outcomes[FAKE_OUTCOMES];
	int outcome_count, first_outcome; /* first: the oldest one not told */
	bool deliver_by_hand;             /* else at the next serve() */
	bool sink_full;                   /* publish() answers BUSY */
	int hurries;                      /* serve() with a wait: nothing may wait to be sent */

	char trace[FAKE_TRACE_BYTES];
	size_t trace_used;
	struct log_entry lines[FAKE_LINES];
	char line_texts[FAKE_LINES][512];
	int line_count;
	struct worker_snapshot snapshot;
};

/* A world with `partitions` empty partitions, progress rows at 0, and ticket type 1 with 100 left.
 */
struct fake_world *fake_new(int32_t partitions);
void fake_free(struct fake_world *w);

/* cmocka's fixtures: *state is a world with one partition; not started. */
int fake_setup(void **state);
int fake_teardown(void **state);

/* ---- what the test arranges ---------------------------------------------------------------- */

/* The next call of this kind is answered so; more of them queue up. */
void fake_answer(struct fake_world *w, enum fake_call call, enum result r, const char *sqlstate,
	const char *text);
void fake_answers(struct fake_world *w, int times, enum fake_call call, enum result r,
	const char *sqlstate, const char *text);
struct fake_answer *fake_script(struct fake_world *w, struct fake_answer a);

/* Append a record to the log. Its timestamp is fake_ms(offset). */
void fake_order(
	struct fake_world *w, int32_t partition, const char *order_id, int64_t type, int quantity);
void fake_orders(struct fake_world *w, int32_t partition, int count); /* "P-OFFSET", type 1 */
void fake_value(struct fake_world *w, int32_t partition, const char *value);
int64_t fake_ms(int64_t offset);
/* The log goes on at `offset`; what is between is a gap. */
void fake_gap(struct fake_world *w, int32_t partition, int64_t offset);
void fake_type(struct fake_world *w, int64_t id, int64_t remaining);

/* Events that come before any record. */
void fake_assigned(struct fake_world *w, const char *partitions); /* "0 2" */
void fake_revoked(struct fake_world *w, bool lost);
void fake_commit_failed(struct fake_world *w, int32_t partition);
void fake_happens(struct fake_world *w, enum source_event_kind kind, int32_t partition);
/* A record that the log does not hold at this place of the stream. */
void fake_stray(struct fake_world *w, int32_t partition, int64_t offset);

/* ---- what it lets happen ------------------------------------------------------------------- */

void fake_start(struct fake_world *w); /* makes the worker: no step yet */
enum worker_life fake_step(struct fake_world *w);
void fake_steps(struct fake_world *w, int count);
void fake_run_ms(struct fake_world *w, int64_t ms);
/* Started, all partitions assigned, claimed, at their positions; the trace is empty. */
void fake_consuming(struct fake_world *w);
/* Step until the task is in the state (task_state_name()); aborts the test when that never comes.
 */
void fake_until(struct fake_world *w, int32_t partition, const char *state);
/* Step until the trace holds the word. */
void fake_until_saw(struct fake_world *w, const char *word);
/* Step until every record of the log is decided and published. */
void fake_settled(struct fake_world *w);
/* By hand: tell of the `index`th outcome ever published. */
void fake_tell(struct fake_world *w, int index, bool delivered);

/* ---- what it looks at ---------------------------------------------------------------------- */

void fake_forget(struct fake_world *w);                       /* empties trace and log */
int fake_count(const struct fake_world *w, const char *word); /* whole words of the trace */
int fake_count_prefix(const struct fake_world *w, const char *prefix);
/* Without the last space, and without commit:P@O: that is sent when there is time for it. */
const char *fake_trace(const struct fake_world *w);
int fake_logged(const struct fake_world *w, enum log_event event);
/* The last line of the event; "" when there is none. */
const char *fake_line(const struct fake_world *w, enum log_event event);
const struct log_entry *fake_entry(const struct fake_world *w, enum log_event event);
/* NULL: the partition is not one of the worker's */
const struct partition_snapshot *fake_task(struct fake_world *w, int32_t partition);
const char *fake_state(struct fake_world *w, int32_t partition); /* "": not ours */
const struct worker_snapshot *fake_snapshot(struct fake_world *w);
const struct fake_payment *fake_payment(const struct fake_world *w, const char *order_id);

/* ---- for the adapters in fake_*.c ---------------------------------------------------------- */

void fake_word(struct fake_world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The scripted answer of this call, or RESULT_OK. took_effect may be NULL. */
enum result fake_answered(
	struct fake_world *w, enum fake_call call, struct error *err, bool *took_effect);
/* Both, for the calls that have no effect when they fail. */
enum result fake_called(struct fake_world *w, enum fake_call call, struct error *err,
	const char *format, ...) __attribute__((format(printf, 4, 5)));
_Noreturn void fake_abort(const struct fake_world *w, const char *why);

extern const struct source_ops fake_source_ops;
extern const struct sink_ops fake_sink_ops;
extern const struct ledger_ops fake_ledger_ops;
