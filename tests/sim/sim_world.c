/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim.h"

/* The most of 1000 chances that a seed gives a fault; a chance is a call, or a step of the world.
 */
static const int most[FAULT_COUNT] = {
	[FAULT_KILL] = 4,
	[FAULT_FREEZE] = 4,
	[FAULT_RESTART] = 3,
	[FAULT_DB_RETRY] = 50,
	[FAULT_DB_ANSWER_LOST] = 50,
	[FAULT_IN_DOUBT] = 250,
	[FAULT_DB_BUSY] = 50,
	[FAULT_REDIS_RETRY] = 100,
	[FAULT_REDIS_BUSY] = 100,
	[FAULT_REDIS_FLUSH] = 10,
	[FAULT_SINK_BUSY] = 100,
	[FAULT_SINK_UNDELIVERED] = 30,
	[FAULT_SINK_FATAL] = 10,
	[FAULT_SINK_SLOW] = 300,
	[FAULT_SINK_STALL] = 50,
	[FAULT_SOURCE_RETRY] = 50,
	[FAULT_UNREACHABLE] = 10,
	[FAULT_DISTURBED] = 30,
	[FAULT_SEEK_RACE] = 300,
	[FAULT_STALE] = 30,
	[FAULT_LATE_RECORD] = 50,
	[FAULT_COMMIT_FAILED] = 100,
	[FAULT_COMMIT_LOST] = 100,
	[FAULT_LATE_GENERATION] = 500,
	[FAULT_REBALANCE] = 6,
	[FAULT_OFFSETS_RESET] = 12,
	[FAULT_OPERATOR_SEEK] = 4,
	[FAULT_RETENTION] = 20,
};

uint64_t sim_random(struct sim_world *w)
{
	uint64_t z = w->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

int64_t sim_below(struct sim_world *w, int64_t n)
{
	return n > 1 ? (int64_t)(sim_random(w) % (uint64_t)n) : 0;
}

bool sim_fault(struct sim_world *w, enum sim_fault f)
{
	return !w->calm && w->rate[f] > 0 && sim_below(w, 1000) < w->rate[f];
}

void sim_trace(struct sim_world *w, const char *format, ...)
{
	va_list ap;

	if (!w->trace)
		return;
	printf("# %6" PRId64 " %11.6f ", w->steps, (double)w->now_us / 1e6);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
}

void sim_violation(struct sim_world *w, const char *format, ...)
{
	va_list ap;

	if (w->violation[0])
		return;
	va_start(ap, format);
	vsnprintf(w->violation, sizeof(w->violation), format, ap);
	va_end(ap);
	sim_trace(w, "VIOLATION: %s", w->violation);
}

bool sim_enter(struct sim_worker *k, const char *call)
{
	struct sim_world *w = k->world;

	if (k->doomed)
		return false;
	w->calls++;
	w->now_us += 20 + sim_below(w, 500);
	if (w->calls == w->kill_at_call || sim_fault(w, FAULT_KILL)) {
		sim_trace(w, "worker %d dies in %s", k->slot, call);
		k->doomed = true;
	}
	return true;
}

/* ---- processes ---------------------------------------------------------------------------- */

static int64_t clock_now(void *self)
{
	struct sim_worker *k = self;

	return k->world->now_us;
}

static uint64_t clock_random(void *self)
{
	struct sim_worker *k = self;

	return sim_random(k->world);
}

static const struct clock_ops clock_ops = {.now_us = clock_now, .random = clock_random};

static void write_log(void *self, const struct log_entry *e)
{
	struct sim_worker *k = self;

	sim_trace(k->world, "worker %d says: partition %d [%" PRId64 ", %" PRId64 "]: %s", k->slot,
		e->partition, e->first_offset, e->last_offset, e->text);
}

static const struct log_ops log_ops = {.write = write_log};

void sim_worker_start(struct sim_worker *k)
{
	struct sim_world *w = k->world;
	struct worker_ops ops = {
		.clock = &clock_ops,
		.source = &sim_source_ops,
		.ledger = &sim_ledger_ops,
		.lock = w->redis ? &sim_lock_ops : NULL,
		.sink = &sim_sink_ops,
		.clock_self = k,
		.source_self = k,
		.ledger_self = k,
		.lock_self = k,
		.sink_self = k,
		.log = {.ops = &log_ops, .self = k},
	};

	k->incarnation++;
	k->doomed = k->frozen = k->stopping = false;
	k->wake_us = w->now_us;
	k->source = (struct sim_source){.poll_us = w->now_us};
	k->tx = NULL;
	k->sink.count = 0;
	k->sink.stalled_until_us = 0;
	k->life = WORKER_STARTING;
	k->core = worker_new(&w->config, &ops);
	if (!k->core)
		sim_violation(w, "no memory");
	sim_group_restart(k);
	sim_trace(w, "worker %d starts", k->slot);
}

void sim_worker_kill(struct sim_worker *k, const char *why)
{
	struct sim_world *w = k->world;

	sim_trace(w, "worker %d is gone: %s", k->slot, why);
	sim_sink_die(k);
	sim_ledger_disconnect(k);
	worker_free(k->core);
	k->core = NULL;
	k->wake_us = w->now_us + sim_below(w, 2500000);
}

static void processes_tick(struct sim_world *w)
{
	for (int i = 0; i < w->worker_count; i++) {
		struct sim_worker *k = &w->workers[i];

		if ((!k->core || k->frozen) && (w->calm || w->now_us >= k->wake_us)) {
			if (!k->core)
				sim_worker_start(k);
			else
				sim_trace(w, "worker %d thaws", k->slot);
			k->frozen = false;
			k->wake_us = w->now_us;
			continue;
		}
		if (!k->core || k->frozen)
			continue;
		if (sim_fault(w, FAULT_FREEZE)) {
			sim_trace(w, "worker %d freezes", k->slot);
			k->frozen = true;
			k->wake_us = w->now_us + sim_below(w, 8000000);
			w->zombies++;
		} else if (!k->stopping && sim_fault(w, FAULT_RESTART)) {
			sim_trace(w, "worker %d is asked to stop", k->slot);
			k->stopping = true;
			worker_stop(k->core);
		}
	}
}

void sim_world_tick(struct sim_world *w)
{
	for (int32_t p = 0; p < w->partition_count; p++) {
		struct sim_partition *part = &w->partitions[p];

		if (part->visible < part->total && (w->calm || sim_below(w, 20) == 0))
			part->visible++;
	}
	sim_group_tick(w);
	sim_ledger_tick(w);
	if (!w->calm)
		sim_operator_tick(w);
	if (sim_fault(w, FAULT_REDIS_FLUSH))
		sim_lock_flush(w);
	if (sim_fault(w, FAULT_REBALANCE))
		sim_group_rebalance(w);
	processes_tick(w);
}

void sim_world_init(struct sim_world *w, uint64_t seed, bool faults)
{
	bool trace = w->trace;

	memset(w, 0, sizeof(*w));
	w->trace = trace;
	w->seed = seed;
	w->faulty = faults;
	w->random = seed * UINT64_C(0x2545f4914f6cdd1d) + 1;
	w->now_us = 1000000;
	w->wall_us = SIM_EPOCH_US + sim_below(w, 1000000);
	sim_topic_init(w);
	for (int f = 0; faults && f < FAULT_COUNT; f++)
		w->rate[f] = sim_below(w, 3) ? (int)sim_below(w, most[f] + 1) : 0;
	w->session_us = 300000 + sim_below(w, 3000000);
	w->static_members = sim_below(w, 2);
	w->redis = sim_below(w, 4) != 0;
	w->config = (struct worker_config){
		.topic = SIM_TOPIC,
		.scope = sim_below(w, 2) ? LOCK_SCOPE_STOCK : LOCK_SCOPE_TRANSACTION,
		.fallback = sim_below(w, 2) ? LOCK_FALLBACK_DATABASE : LOCK_FALLBACK_WAIT,
		.start = sim_below(w, 8) ? START_EARLIEST : START_LATEST,
		.lock_wait_ms = 1 + sim_below(w, 200),
		.max_events = 1 + sim_below(w, 12),
		.max_bytes = sim_below(w, 4) ? 1000000 : 500,
		.linger_ms = sim_below(w, 3) ? 0 : sim_below(w, 30),
		.event_bytes = SIM_EVENT_BYTES,
		.breaker = sim_below(w, 6) ? 0 : 5,
		.drain_ms = 3000,
	};
	w->worker_count = 1 + (int)sim_below(w, SIM_WORKERS_MAX);
	for (int i = 0; i < w->worker_count; i++)
		w->workers[i] = (struct sim_worker){.world = w, .slot = i};

	/* Now and then the database is new, but the group is not. */
	if (faults && sim_below(w, 10) == 0)
		w->partitions[0].committed = w->partitions[0].low + sim_below(w, 3);
}
