/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What a worker tells the main thread about itself: plain values, copied under one mutex. */

enum {
	SNAPSHOT_PARTITIONS_MAX = 64,
	STOP_REASON_MAX_BYTES = 400, /* why a partition is stopped and what cures it, with the NUL */
};

/* What the line waits for; the order is the order of importance in STATUS. */
enum wait_cause {
	WAIT_NOTHING = 0,
	WAIT_LOCK,        /* another owner holds the lock of a ticket type */
	WAIT_ROW_LOCK,    /* another session holds rows we need, or PostgreSQL refused for now */
	WAIT_REDIS,
	WAIT_KAFKA,
	WAIT_DELIVERY,    /* outcomes are not acknowledged */
	WAIT_DATABASE,
	WAIT_ENVIRONMENT, /* a table, right or topic is missing: a person must act */
};

struct partition_snapshot {
	int32_t partition;
	const char *state;          /* task_state_name(): static text */
	bool consuming;             /* claimed, not stopped, not waiting */
	bool stopped;
	char reason[STOP_REASON_MAX_BYTES]; /* why stopped, or "" */
	int64_t next_offset;        /* -1: not known */
	int64_t published_offset;   /* -1: not known */
	int64_t high;               /* -1: not known */
	int64_t last_record_at_ms;  /* timestamp of the last decided record, -1: none */
};

struct worker_snapshot {
	int life;                   /* enum worker_life */
	bool joined;                /* the group has answered once, even with no partition */
	enum wait_cause wait;
	int64_t wait_since_us;      /* monotonic; meaningful when wait != WAIT_NOTHING */
	char wait_text[240];        /* the server's own words */
	bool lock_fallback;         /* going on without Redis since the last batch */
	int64_t step_us;            /* monotonic: when the last step ended; the watchdog's stamp */

	int64_t decided;            /* records decided since the start, replays not counted */
	int64_t fresh, duplicates, conflicts, refused;
	int64_t batches;
	int64_t lock_fallbacks, leases_expired, fenced, in_doubt, republished, dropped;
	int64_t batch_records;      /* of the last batch */
	int64_t batch_us;           /* how long its transaction took */

	int32_t partition_count;    /* of the topic; 0: not known yet */
	int32_t task_count;         /* entries of tasks[] */
	struct partition_snapshot tasks[SNAPSHOT_PARTITIONS_MAX];
};
