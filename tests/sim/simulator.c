/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

/*
 * simulator [--seeds FROM:TO] [--seed N [--trace]] [--kill-at CALL] [--expect-violation]
 *
 * Without arguments: 1000 seeds, then small worlds in which a worker is killed at every single
 * call.
 */

enum {
	SEEDS = 1000,
	SCENARIOS = 6, /* small worlds, killed at every call */
	CALM_STEPS_MAX =
		60000, /* within so many everything must be decided, published, committed */
	STOP_STEPS_MAX = 5000,
	QUIET_US = 3000000, /* all is done for so long: nobody has anything in hand any more */
};

struct totals {
	int64_t seeds, steps, kills, zombies, doubts, fenced, rebalances;
};

struct options {
	uint64_t from, to;
	int64_t kill_at_call;
	bool trace, one, expect_violation;
};

/* Mutable and of the file: an assert of the core must name its seed, and a handler sees nothing
 * else. */
static struct sim_world *running;

static void aborted(int signal_number)
{
	(void)signal_number;
	/* The process ends here in any case: stdio is worth the risk. */
	printf("not ok - aborted in seed %" PRIu64 ", step %" PRId64
	       "\n# replay: simulator --seed %" PRIu64 "%s --trace\n",
		running->seed, running->steps, running->seed,
		running->faulty ? "" : " --kill-at CALL");
	fflush(stdout);
	_Exit(1);
}

/* Somebody who is not waiting; time jumps when all are. */
static struct sim_worker *next_worker(struct sim_world *w)
{
	int first = (int)sim_below(w, w->worker_count);
	int64_t wake_us = w->now_us + 50000; /* commits and deadlines are looked at so often */

	for (int i = 0; i < w->worker_count; i++) {
		struct sim_worker *k = &w->workers[(first + i) % w->worker_count];

		if (k->core && !k->frozen && k->wake_us <= w->now_us)
			return k;
		if (k->wake_us > w->now_us && k->wake_us < wake_us)
			wake_us = k->wake_us;
	}
	w->now_us = wake_us;
	return NULL;
}

static void step(struct sim_world *w)
{
	struct sim_worker *k;
	unsigned version = w->version;

	w->steps++;
	sim_world_tick(w);
	k = next_worker(w);
	if (k) {
		k->life = worker_step(k->core);
		if (k->doomed) {
			w->kills++;
			sim_worker_kill(k, "killed");
		} else if (k->life == WORKER_STOPPED) {
			sim_worker_kill(k, "stopped");
		} else if (k->life == WORKER_UNFIT || k->life == WORKER_REPLACED ||
			   k->life == WORKER_BROKEN) {
			sim_violation(w, "worker %d gave up (%d)", k->slot, (int)k->life);
		}
	}
	if (w->version != version)
		sim_judge_scan(w);
}

/* Is every worker up, and every row held by one of them? */
static bool settled(const struct sim_world *w)
{
	for (int i = 0; i < w->worker_count; i++) {
		if (!w->workers[i].core || w->workers[i].stopping ||
			w->workers[i].life != WORKER_RUNNING)
			return false;
	}
	for (int p = 0; p < w->partition_count; p++) {
		int slot, incarnation;

		if (sscanf(w->progress[p].owner, "%*[0-9a-f]-%d-%d", &slot, &incarnation) != 2 ||
			w->workers[slot].incarnation != incarnation)
			return false;
	}
	for (int i = 0; i < SIM_COMMITS_MAX; i++) {
		if (w->commits[i].used)
			return false;
	}
	return !w->rebalancing;
}

static void not_done(struct sim_world *w)
{
	char text[300] = "";
	size_t n = 0;

	for (int i = 0; i < w->partition_count && n < sizeof(text); i++) {
		const struct sim_partition *p = &w->partitions[i];
		const struct sim_progress *g = &w->progress[i];

		n += (size_t)snprintf(text + n, sizeof(text) - n,
			"; partition %d: log [%" PRId64 ", %" PRId64 "), next %" PRId64
			", published %" PRId64 ", committed %" PRId64 "%s%s",
			i, p->low, sim_high(w, i), g->next, g->published, p->committed,
			g->stopped ? ", stopped" : "", g->owner[0] ? "" : ", not owned");
	}
	w->unfinished = true;
	sim_violation(w, "faults are over, but not everything gets done%s", text);
}

/* Go on until everything is done; committed: in Kafka too. */
static void settle(struct sim_world *w, bool committed)
{
	int64_t until = w->steps + CALM_STEPS_MAX, done_us = INT64_MAX;

	while (!w->violation[0] && w->now_us - QUIET_US < done_us) {
		if (!settled(w) || !sim_judge_done(w) || (committed && !sim_judge_committed(w)))
			done_us = INT64_MAX;
		else if (done_us == INT64_MAX)
			done_us = w->now_us;
		if (w->steps >= until)
			not_done(w);
		if (w->steps % 50 == 0)
			sim_operator_cure(w);
		step(w);
	}
}

/* Everybody is asked to stop, and does. */
static void stop_all(struct sim_world *w)
{
	int64_t until = w->steps + STOP_STEPS_MAX;
	bool any = true, killed = false;

	for (int i = 0; i < w->worker_count; i++)
		worker_stop(w->workers[i].core);
	while (any && !w->violation[0]) {
		if (w->steps++ >= until)
			sim_violation(w, "not every worker stops");
		any = false;
		w->now_us += 1000;
		sim_group_tick(w);
		sim_ledger_tick(w);
		for (int i = 0; i < w->worker_count; i++) {
			struct sim_worker *k = &w->workers[i];

			if (k->life == WORKER_STOPPED || k->doomed)
				continue;
			any = true;
			k->life = worker_step(k->core);
			killed = killed || k->doomed;
			sim_judge_scan(w);
		}
	}
	for (int i = 0; i < w->worker_count; i++)
		sim_worker_kill(&w->workers[i], "stopped");
	for (int p = 0; !killed && !w->violation[0] && p < w->partition_count; p++) {
		if (w->progress[p].owner[0])
			sim_violation(w, "partition %d was not released", p);
	}
}

/*
 * Faults have stopped: everything must be finished, and then everybody stops as asked. An offset
 * that an operator reset, or a late commit overtook, is put right by whoever claims next.
 */
static void finish(struct sim_world *w)
{
	w->calm = true;
	sim_trace(w, "calm");
	settle(w, false);
	for (int i = 0; i < 2 && !w->violation[0]; i++) {
		sim_trace(w, "everything is done, everybody stops");
		stop_all(w);
		w->kill_at_call = 0;
		if (i == 0 && !w->violation[0])
			settle(w, true);
	}
	if (!w->violation[0] && (!sim_judge_done(w) || !sim_judge_committed(w)))
		sim_violation(w, "stopping undid something");
}

static void run(struct sim_world *w, uint64_t seed, bool faults, int64_t kill_at_call)
{
	sim_world_init(w, seed, faults);
	w->kill_at_call = kill_at_call;

	int64_t chaos = faults ? 300 + sim_below(w, 1500) : 0;

	while (!w->violation[0] && w->steps < chaos)
		step(w);
	finish(w);
	for (int i = 0; i < w->worker_count; i++) {
		worker_free(w->workers[i].core);
		w->workers[i].core = NULL;
	}
}

static void add(struct totals *t, const struct sim_world *w)
{
	t->seeds++;
	t->steps += w->steps;
	t->kills += w->kills;
	t->zombies += w->zombies;
	t->doubts += w->doubts;
	t->fenced += w->fenced;
	t->rebalances += w->rebalances;
}

/* The first seed that breaks something, or `to`. What is expected to break is an invariant. */
static uint64_t run_seeds(struct sim_world *w, const struct options *o, struct totals *t)
{
	for (uint64_t seed = o->from; seed < o->to; seed++) {
		run(w, seed, true, 0);
		add(t, w);
		if (w->violation[0] && !(o->expect_violation && w->unfinished))
			return seed;
	}
	return o->to;
}

static bool report_seeds(struct sim_world *w, const struct options *o, int number)
{
	struct totals t = {0};
	uint64_t seed = run_seeds(w, o, &t);
	bool ok = (seed != o->to) == o->expect_violation;

	if (o->expect_violation)
		printf("%s %d - a ledger that does not compare owners is found out (%s%s)\n",
			ok ? "ok" : "not ok", number, ok ? "" : "nothing found",
			ok ? w->violation : "");
	else if (ok)
		printf("ok %d - %" PRId64 " seeds, %" PRId64 " kills, %" PRId64 " zombies, %" PRId64
		       " commits in doubt, %" PRId64 " fenced, %" PRId64
		       " rebalances: invariants hold after each of %" PRId64 " steps\n",
			number, t.seeds, t.kills, t.zombies, t.doubts, t.fenced, t.rebalances,
			t.steps);
	else
		printf("not ok %d - seed %" PRIu64 ", step %" PRId64
		       ": %s\n# replay: simulator --seed %" PRIu64 " --trace\n",
			number, seed, w->steps, w->violation, seed);
	fflush(stdout);
	return ok;
}

/* One small world without any fault but a kill, at each call in turn. */
static bool report_kills(struct sim_world *w, uint64_t seed, int number)
{
	run(w, seed, false, 0);

	int64_t calls = w->calls, steps = w->steps, at = 0;

	while (!w->violation[0] && at < calls) {
		run(w, seed, false, ++at);
		steps += w->steps;
	}

	bool ok = !w->violation[0];

	if (ok)
		printf("ok %d - world %" PRIu64 ", killed at each of %" PRId64
		       " calls: invariants hold after each of %" PRId64 " steps\n",
			number, seed, calls, steps);
	else
		printf("not ok %d - world %" PRIu64 ", killed at call %" PRId64
		       ": %s\n# replay: simulator --seed %" PRIu64 " --kill-at %" PRId64
		       " --trace\n",
			number, seed, at, w->violation, seed, at);
	fflush(stdout);
	return ok;
}

static bool parse(int argc, char **argv, struct options *o)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (!strcmp(argv[i], "--trace")) {
			o->trace = true;
		} else if (!strcmp(argv[i], "--expect-violation")) {
			o->expect_violation = true;
		} else if (!strcmp(argv[i], "--seed") && sscanf(value, "%" SCNu64, &o->from) == 1) {
			o->to = o->from + 1;
			o->one = true;
			i++;
		} else if (!strcmp(argv[i], "--seeds") &&
			   sscanf(value, "%" SCNu64 ":%" SCNu64, &o->from, &o->to) == 2) {
			i++;
		} else if (!strcmp(argv[i], "--kill-at") &&
			   sscanf(value, "%" SCNd64, &o->kill_at_call) == 1) {
			i++;
		} else {
			return false;
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	struct options o = {.from = 1, .to = 1 + SEEDS};
	CLEANUP(free_ptr) struct sim_world *w = calloc(1, sizeof(*w));
	bool ok;

	if (!w || !parse(argc, argv, &o)) {
		fprintf(stderr, "usage: simulator [--seeds FROM:TO] [--seed N [--kill-at CALL]] "
				"[--trace] [--expect-violation]\n");
		return 64;
	}
	w->trace = o.trace;
	running = w;
	signal(SIGABRT, aborted);
	if (o.one && o.kill_at_call > 0) {
		run(w, o.from, false, o.kill_at_call);
		printf("1..1\n%s 1 - %s\n", w->violation[0] ? "not ok" : "ok", w->violation);
		return w->violation[0] != '\0';
	}
	if (o.one || o.expect_violation) {
		printf("1..1\n");
		return !report_seeds(w, &o, 1);
	}
	printf("1..%d\n", 1 + SCENARIOS);
	ok = report_seeds(w, &o, 1);
	for (int i = 0; i < SCENARIOS; i++)
		ok = report_kills(w, 1000001 + (uint64_t)i, 2 + i) && ok;
	return !ok;
}
