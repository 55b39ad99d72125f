/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "sim.h"

/* What people do with ticketpayctl and Kafka's own tools, in the middle of everything. */

static int32_t some_partition(struct sim_world *w)
{
	return (int32_t)sim_below(w, w->partition_count);
}

void sim_operator_seek(struct sim_world *w, int32_t partition, int64_t offset)
{
	struct sim_progress *g = &w->progress[partition];
	struct sim_partition *p = &w->partitions[partition];

	if (g->locked)
		return; /* it would wait; it comes again */
	sim_trace(w, "operator: seek partition %d to %" PRId64, partition, offset);
	for (int i = 0; i < p->total; i++) {
		struct sim_record *r = &p->records[i];

		if (r->offset >= offset) { /* these come (again) */
			r->again = r->decided;
			r->skipped = r->unpublished_ok = false;
		} else if (!r->decided) {
			r->skipped = r->was_skipped = true;
		}
		/* Nobody is left to publish what was jumped over. */
		r->unpublished_ok = r->unpublished_ok || r->offset < offset;
	}
	*g = (struct sim_progress){.exists = true,
		.next = offset,
		.published = offset,
		.sought = true,
		.seeks = g->seeks + 1,
		.last_record_at_ms = -1};
	w->version++;
}

static void resume(struct sim_world *w, int32_t partition)
{
	struct sim_progress *g = &w->progress[partition];

	if (!g->exists || !g->stopped || g->locked)
		return;
	if (g->next < w->partitions[partition].low) { /* what is gone cannot be decided */
		sim_operator_seek(w, partition, w->partitions[partition].low);
		return;
	}
	sim_trace(w, "operator: resume partition %d", partition);
	g->stopped = false;
	g->unclean = 0;
	g->reason[0] = '\0';
	w->version++;
}

static void reset_offsets(struct sim_world *w, int32_t partition)
{
	struct sim_partition *p = &w->partitions[partition];

	if (p->committed < 0)
		return;
	/* Deleted, or lower; a higher one is for `progress seek`. */
	p->committed = sim_below(w, 3) ? sim_below(w, p->committed + 1) : -1;
	sim_trace(
		w, "operator: group's offset of partition %d is %" PRId64, partition, p->committed);
}

/* Only what is published: the rest would be a loss that no program can make good. */
static void retention(struct sim_world *w, int32_t partition)
{
	struct sim_progress *g = &w->progress[partition];
	struct sim_partition *p = &w->partitions[partition];

	if (!g->exists || g->published <= p->low)
		return;
	p->low += sim_below(w, g->published - p->low + 1);
	sim_trace(w, "kafka: partition %d begins at %" PRId64, partition, p->low);
}

void sim_operator_cure(struct sim_world *w)
{
	for (int32_t p = 0; p < w->partition_count; p++) {
		resume(w, p);
		/* `progress adopt`: where a database is new and the group is not */
		if (!w->progress[p].exists && w->partitions[p].committed >= 0)
			sim_operator_seek(w, p, w->partitions[p].committed);
	}
}

void sim_operator_tick(struct sim_world *w)
{
	int32_t p = some_partition(w);

	if (sim_fault(w, FAULT_OFFSETS_RESET))
		reset_offsets(w, p);
	if (sim_fault(w, FAULT_RETENTION))
		retention(w, p);
	if (w->progress[p].exists && sim_fault(w, FAULT_OPERATOR_SEEK)) {
		int64_t low = w->partitions[p].low;

		sim_operator_seek(w, p, low + sim_below(w, sim_high(w, p) - low + 1));
	}
	if (sim_below(w, 200) == 0)
		sim_operator_cure(w);
}
