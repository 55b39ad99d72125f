/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/worker.h"

/*
 * A world in one thread: Kafka, PostgreSQL, Redis and several workers of the real core, driven step
 * by step from a seed. Everything outside a worker's memory lives here and survives its death.
 *
 * Time is simulated: a call takes a little, a wait lets the others run. Every call of the ops
 * tables goes through sim_enter(), which is where a worker may be killed: the call that is under
 * way has its effect, every later one of that worker has none.
 */

enum {
	SIM_PARTITIONS_MAX = 4,
	SIM_WORKERS_MAX = 4,
	SIM_RECORDS_MAX = 40, /* of a partition */
	SIM_ORDERS_MAX = SIM_PARTITIONS_MAX * SIM_RECORDS_MAX,
	SIM_TYPES_MAX = 5,
	SIM_UNKNOWN_TYPE = 99,
	SIM_VALUE_BYTES = 400,
	SIM_EVENT_BYTES = 320,
	SIM_TX_MAX = 16,
	SIM_MEMBERS_MAX = 16,
	SIM_COMMITS_MAX = 64,
	SIM_QUEUE_MAX = 64,
	SIM_TRANSACTION_MS = 4000,
	SIM_LEASE_MS = 6000,
};

#define SIM_TOPIC "payment-completed"
#define SIM_EPOCH_US INT64_C(1700000000000000)

/* What may go wrong; each seed has its own rate of each, many are off. */
enum sim_fault {
	FAULT_KILL,           /* the process dies in a call */
	FAULT_FREEZE,         /* SIGSTOP, SIGCONT later: the zombie */
	FAULT_RESTART,        /* SIGTERM, started again */
	FAULT_DB_RETRY,       /* a ledger call fails, a transaction is gone */
	FAULT_DB_ANSWER_LOST, /* a one-statement call took effect and answers RETRY */
	FAULT_IN_DOUBT,       /* COMMIT without an answer: applied, not, or later */
	FAULT_DB_BUSY,        /* a row is held by some other session */
	FAULT_REDIS_RETRY,    /* no answer; the keys may be taken all the same */
	FAULT_REDIS_BUSY,
	FAULT_REDIS_FLUSH,
	FAULT_SINK_BUSY,
	FAULT_SINK_UNDELIVERED,
	FAULT_SINK_FATAL, /* the idempotent producer's fatal error */
	FAULT_SINK_SLOW,  /* acknowledgements are late */
	FAULT_SINK_STALL, /* and for seconds there are none */
	FAULT_SOURCE_RETRY,
	FAULT_UNREACHABLE,
	FAULT_DISTURBED,   /* an error event, and the stream jumps ahead */
	FAULT_SEEK_RACE,   /* a record of before the seek comes first */
	FAULT_STALE,       /* records come twice */
	FAULT_LATE_RECORD, /* one more record of a partition that was paused */
	FAULT_COMMIT_FAILED,
	FAULT_COMMIT_LOST,
	FAULT_LATE_GENERATION, /* the coordinator takes a late member's commit */
	FAULT_REBALANCE,
	FAULT_OFFSETS_RESET, /* an operator resets or deletes the group's offset */
	FAULT_OPERATOR_SEEK,
	FAULT_RETENTION,
	FAULT_COUNT,
};

/* ---- the topic ---------------------------------------------------------------------------- */

struct sim_record {
	int64_t offset, timestamp_ms;
	char value[SIM_VALUE_BYTES];
	size_t value_bytes;
	bool tombstone;

	/* The truth, known by the one who made it; never taken from the core's decoder. */
	enum refusal refusal;
	int order; /* -1: none readable */
	char payment_key[16];
	int64_t amount, type, member;
	int32_t quantity;

	/* What became of it in the database. */
	bool decided;
	enum verdict verdict;
	enum refusal letter; /* REFUSAL_NONE: no row in dead_letter */
	int64_t parked_at_us;
	bool published;      /* its outcome is in the outcome topic */
	bool again;          /* an operator's seek went below it: decided once more */
	bool skipped;        /* an operator's seek, or start = latest, went over it */
	bool was_skipped;    /* once, whatever came after */
	bool unpublished_ok; /* a seek went over it before its outcome was out */
	bool parked_again;   /* decided once more: the letter's time is the first one's */
};

struct sim_partition {
	struct sim_record records[SIM_RECORDS_MAX];
	int total, visible; /* made, and produced so far */
	int64_t low;
	int64_t committed; /* the group's; -1: none */
};

/* ---- the database ------------------------------------------------------------------------- */

struct sim_tx;

struct sim_payment {
	bool committed;
	struct sim_tx *pending; /* inserted by this open transaction: others wait */
	char payment_key[16];
	int64_t amount, type, member, offset, decided_at_us;
	int32_t quantity, partition;
	enum payment_status status;
	int64_t remaining; /* the judge's: the stock right after; -1: none */
};

struct sim_type {
	int64_t id, total, remaining;
	struct sim_tx *locked;
};

struct sim_progress {
	bool exists;
	int64_t next, published;
	char owner[37]; /* "": released */
	int32_t unclean;
	bool stopped, sought;
	char reason[64];
	int64_t last_record_at_ms;
	int64_t seeks; /* by operators, so far */
	struct sim_tx *locked;
};

struct sim_insert {
	int order;
	struct sim_payment row;
};
struct sim_letter {
	int record; /* index into the partition's records */
	enum refusal reason;
};

/* An open transaction, or a COMMIT on its way. It has copies only: its worker may die. */
struct sim_tx {
	bool open, committing, applies;
	int slot;
	int32_t partition;
	int64_t expected, next, published, decided_at_us, last_record_at_ms, deadline_us;
	int64_t lands_us; /* committing: when the server gets to it */
	char owner[37];
	struct sim_insert inserts[SIM_RECORDS_MAX];
	struct sim_letter letters[SIM_RECORDS_MAX];
	int insert_count, letter_count;
	int64_t taken[SIM_TYPES_MAX];
};

/* ---- Redis -------------------------------------------------------------------------------- */

struct sim_key {
	char token[33]; /* "": free */
	int64_t until_us;
};

/* ---- the group ---------------------------------------------------------------------------- */

struct sim_member {
	int64_t id; /* 0: unused */
	int slot, incarnation;
	unsigned assigned;
	bool rejoined, told; /* told: it has had its assignment of this generation */
	int64_t heartbeat_us;
};

struct sim_commit {
	bool used;
	int slot, incarnation;
	int64_t member, generation;
	int32_t partition;
	int64_t offset, due_us;
};

/* ---- a worker ----------------------------------------------------------------------------- */

/* The member's own view: dies with it. */
struct sim_source {
	int64_t member, generation;
	bool subscribed, has_assignment, unassigning;
	unsigned mine, fetched, paused;
	int32_t list[SIM_PARTITIONS_MAX];
	int64_t position[SIM_PARTITIONS_MAX], race[SIM_PARTITIONS_MAX]; /* race: -1 none */
	bool lied[SIM_PARTITIONS_MAX]; /* a record came ahead of its turn: the next seek is honest
					*/
	int64_t poll_us;
	struct {
		int32_t partition;
		bool failed;
	} answers[SIM_COMMITS_MAX];
	int answer_count;
};

struct sim_message {
	uint64_t mark;
	char key[72];
	char value[1024];
	size_t value_bytes;
	bool arrived;   /* the broker has it; the acknowledgement is on its way */
	int64_t due_us; /* not there before */
};

struct sim_sink {
	struct sim_message queue[SIM_QUEUE_MAX];
	int count;
	int64_t stalled_until_us;
};

struct sim_worker {
	struct sim_world *world;
	int slot, incarnation;
	struct worker *core; /* NULL: no process */
	enum worker_life life;
	bool doomed; /* killed in a call: nothing it does counts any more */
	bool frozen, stopping;
	int64_t wake_us; /* not run before; of a frozen or dead one: when it comes back */
	struct sim_source source;
	struct sim_tx *tx;
	int64_t seeks[SIM_PARTITIONS_MAX]; /* of the partition, when it was claimed */
	struct sim_sink sink;
};

/* ---- everything --------------------------------------------------------------------------- */

struct sim_world {
	uint64_t seed, random;
	bool trace, faulty, calm;    /* faulty: a world with faults; calm: no faults any more */
	int rate[FAULT_COUNT];       /* of 1000 chances */
	int64_t now_us, wall_us;     /* wall: PostgreSQL's clock, never the same twice */
	int64_t calls, kill_at_call; /* 0: not by number */
	int64_t steps, kills, zombies, doubts, fenced, rebalances;
	unsigned version; /* raised by whatever a reader of the world could see */

	int partition_count, order_count, type_count, worker_count;
	struct sim_partition partitions[SIM_PARTITIONS_MAX];
	bool poisoned[SIM_ORDERS_MAX]; /* the database refuses a row of this order */
	struct sim_payment payments[SIM_ORDERS_MAX];
	struct sim_payment seen[SIM_ORDERS_MAX]; /* the judge's copy of what was committed */
	struct sim_type types[SIM_TYPES_MAX];
	struct sim_progress progress[SIM_PARTITIONS_MAX];
	struct sim_tx txs[SIM_TX_MAX];
	struct sim_key keys[SIM_TYPES_MAX + 1];

	struct sim_member members[SIM_MEMBERS_MAX];
	struct sim_commit commits[SIM_COMMITS_MAX];
	int64_t last_member, generation, session_us, rebalance_deadline_us;
	bool rebalancing, static_members;

	struct worker_config config;
	bool redis;
	struct sim_worker workers[SIM_WORKERS_MAX];
	char violation[400]; /* "": none; the first one stands */
	bool unfinished;     /* it is that nothing gets on, no invariant is broken */
};

/* sim_world.c: chance, time, what is said. */
uint64_t sim_random(struct sim_world *w);
int64_t sim_below(struct sim_world *w, int64_t n); /* 0 .. n-1 */
bool sim_fault(struct sim_world *w, enum sim_fault f);
void sim_trace(struct sim_world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_violation(struct sim_world *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* A call of a worker begins. false: the worker is dead, answer anything and do nothing. */
bool sim_enter(struct sim_worker *k, const char *call);
/* The world of a seed, before any worker runs. */
void sim_world_init(struct sim_world *w, uint64_t seed, bool faults);
/* What happens by itself as time passes, and what operators do. */
void sim_world_tick(struct sim_world *w);
void sim_worker_start(struct sim_worker *k);
void sim_worker_kill(struct sim_worker *k, const char *why);

/* sim_topic.c: records with a known truth. */
void sim_topic_init(struct sim_world *w);
void sim_order_name(int order, char ret[32]);
int sim_order_index(struct bytes id); /* -1: nobody made it */
struct sim_record *sim_record_at(struct sim_world *w, int32_t partition, int64_t offset);
int64_t sim_high(const struct sim_world *w, int32_t partition);

/* The adapters; self is a struct sim_worker. */
extern const struct source_ops sim_source_ops;
extern const struct ledger_ops sim_ledger_ops;
extern const struct lock_ops sim_lock_ops;
extern const struct sink_ops sim_sink_ops;

void sim_group_tick(struct sim_world *w);
void sim_group_restart(struct sim_worker *k); /* a new process has the name of a static member */
void sim_group_rebalance(struct sim_world *w);
void sim_ledger_tick(struct sim_world *w);
void sim_ledger_disconnect(struct sim_worker *k);
void sim_lock_flush(struct sim_world *w);
void sim_sink_die(struct sim_worker *k);

/* sim_operator.c: what people do with ticketpayctl and Kafka's tools. */
void sim_operator_tick(struct sim_world *w);
void sim_operator_seek(struct sim_world *w, int32_t partition, int64_t offset);
void sim_operator_cure(struct sim_world *w);

/* Are the six fields equal? The event that was made, and a row. */
bool sim_same_content(const struct sim_record *r, const struct sim_payment *p);

/* sim_judge.c: the invariants. Each says what is broken through sim_violation(). */
void sim_judge_batch(struct sim_world *w, const struct batch *b);
void sim_judge_commit(struct sim_world *w, const struct sim_tx *tx); /* just before it applies */
void sim_judge_outcome(struct sim_world *w, const struct sim_message *m);
void sim_judge_offset(const struct sim_worker *k, int32_t partition, int64_t offset);
void sim_judge_scan(struct sim_world *w);            /* all that can be read now */
bool sim_judge_done(const struct sim_world *w);      /* everything is decided and published */
bool sim_judge_committed(const struct sim_world *w); /* and Kafka has the offsets */
