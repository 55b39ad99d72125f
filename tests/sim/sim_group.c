/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "sim_group.h"

/*
 * The group's coordinator, eager protocol: everybody gives everything up, rejoins, and is told a
 * range. Who does not rejoin in time is left out and does not know: a zombie until it polls.
 */

struct sim_member *sim_group_member(struct sim_world *w, int64_t id)
{
	for (int i = 0; i < SIM_MEMBERS_MAX; i++) {
		if (id != 0 && w->members[i].id == id)
			return &w->members[i];
	}
	return NULL;
}

void sim_group_rebalance(struct sim_world *w)
{
	if (w->rebalancing)
		return;
	sim_trace(w, "group: rebalance begins");
	w->rebalancing = true;
	w->rebalances++;
	w->rebalance_deadline_us = w->now_us + w->session_us;
	for (int i = 0; i < SIM_MEMBERS_MAX; i++)
		w->members[i].rejoined = false;
}

int64_t sim_group_join(struct sim_worker *k)
{
	struct sim_world *w = k->world;

	for (int i = 0; i < SIM_MEMBERS_MAX; i++) {
		struct sim_member *m = &w->members[i];

		if (m->id != 0)
			continue;
		*m = (struct sim_member){.id = ++w->last_member,
			.slot = k->slot,
			.incarnation = k->incarnation,
			.heartbeat_us = w->now_us};
		sim_group_rebalance(w);
		m->rejoined = true;
		sim_trace(w, "group: worker %d joins as member %" PRId64, k->slot, m->id);
		return m->id;
	}
	return 0; /* full: asked again by the next poll */
}

void sim_group_leave(struct sim_world *w, int64_t id)
{
	struct sim_member *m = sim_group_member(w, id);

	if (!m)
		return;
	sim_trace(w, "group: member %" PRId64 " of worker %d is out", id, m->slot);
	m->id = 0;
	sim_group_rebalance(w);
}

void sim_group_restart(struct sim_worker *k)
{
	struct sim_world *w = k->world;

	if (!w->static_members)
		return;
	/* Its partitions are back at once, without a rebalance, under a new member id. */
	for (int i = 0; i < SIM_MEMBERS_MAX; i++) {
		struct sim_member *m = &w->members[i];

		if (m->id == 0 || m->slot != k->slot)
			continue;
		m->id = ++w->last_member;
		m->incarnation = k->incarnation;
		m->heartbeat_us = w->now_us;
		m->told = false;
		m->rejoined = true;
		k->source.member = m->id;
	}
}

/* In the order of ids, as the range assignor does. */
static void assign(struct sim_world *w)
{
	struct sim_member *order[SIM_MEMBERS_MAX];
	int n = 0, next = 0;

	for (int64_t id = 1; id <= w->last_member; id++) {
		struct sim_member *m = sim_group_member(w, id);

		if (m)
			order[n++] = m;
	}
	w->generation++;
	w->rebalancing = false;
	for (int i = 0; i < n; i++) {
		int count = w->partition_count / n + (i < w->partition_count % n);

		order[i]->assigned = ((1U << count) - 1) << next;
		order[i]->told = false;
		next += count;
		sim_trace(w, "group: generation %" PRId64 ": member %" PRId64 " of worker %d: %x",
			w->generation, order[i]->id, order[i]->slot, order[i]->assigned);
	}
}

static bool beats(const struct sim_world *w, const struct sim_member *m)
{
	const struct sim_worker *k = &w->workers[m->slot];

	return k->core && !k->frozen && k->incarnation == m->incarnation &&
	       k->source.member == m->id;
}

static void land(struct sim_world *w, struct sim_commit *c)
{
	const struct sim_member *m = sim_group_member(w, c->member);
	struct sim_worker *k = &w->workers[c->slot];
	bool ok = (m && c->generation == w->generation) || sim_fault(w, FAULT_LATE_GENERATION);

	c->used = false;
	if (sim_fault(w, FAULT_COMMIT_FAILED))
		ok = false;
	sim_trace(w, "group: commit of partition %d at %" PRId64 " %s", c->partition, c->offset,
		ok ? "lands" : "is refused");
	if (ok) {
		w->partitions[c->partition].committed = c->offset;
		w->version++;
	}
	/* Lost: applied or not, its sender hears that it failed. */
	if (ok && sim_fault(w, FAULT_COMMIT_LOST))
		ok = false;
	if (k->core && k->incarnation == c->incarnation &&
		k->source.answer_count < SIM_COMMITS_MAX) {
		int n = k->source.answer_count++;

		k->source.answers[n].partition = c->partition;
		k->source.answers[n].failed = !ok;
	}
}

void sim_group_tick(struct sim_world *w)
{
	bool all = true, any = false;

	for (int i = 0; i < SIM_MEMBERS_MAX; i++) {
		struct sim_member *m = &w->members[i];

		if (m->id == 0)
			continue;
		if (beats(w, m))
			m->heartbeat_us = w->now_us;
		if (w->now_us - m->heartbeat_us > w->session_us) {
			sim_group_leave(w, m->id);
			continue;
		}
		any = true;
		all = all && m->rejoined;
	}
	if (w->rebalancing && !all && w->now_us >= w->rebalance_deadline_us) {
		for (int i = 0; i < SIM_MEMBERS_MAX; i++) {
			if (w->members[i].id != 0 && !w->members[i].rejoined)
				sim_group_leave(w, w->members[i].id);
		}
		all = true;
	}
	if (w->rebalancing && all && any)
		assign(w);
	for (int i = 0; i < SIM_COMMITS_MAX; i++) {
		if (w->commits[i].used && w->now_us >= w->commits[i].due_us)
			land(w, &w->commits[i]);
	}
}

bool sim_group_send(struct sim_worker *k, int32_t partition, int64_t offset)
{
	struct sim_world *w = k->world;

	for (int i = 0; i < SIM_COMMITS_MAX; i++) {
		if (w->commits[i].used)
			continue;
		w->commits[i] = (struct sim_commit){.used = true,
			.slot = k->slot,
			.incarnation = k->incarnation,
			.member = k->source.member,
			.generation = k->source.generation,
			.partition = partition,
			.offset = offset,
			/* Some are slow enough to come after later ones. */
			.due_us = w->now_us +
				  (w->calm ? 1000 : sim_below(w, sim_below(w, 4) ? 3000 : 400000))};
		return true;
	}
	return false;
}
