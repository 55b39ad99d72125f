/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "sim.h"

/*
 * The outcome producer: messages wait in the client, arrive at the broker in any order (they go to
 * several partitions), and are acknowledged later, or not.
 */

static enum result publish_one(struct sim_worker *k, struct bytes key, struct bytes value,
	uint64_t mark, struct error *err)
{
	struct sim_world *w = k->world;
	struct sim_sink *s = &k->sink;

	if (!sim_enter(k, "publish"))
		return fail(err, RESULT_RETRY, 0, "dead");
	if (s->count == SIM_QUEUE_MAX || sim_fault(w, FAULT_SINK_BUSY))
		return fail(err, RESULT_BUSY, 0, "simulated: queue full");

	struct sim_message *m = &s->queue[s->count];

	if (key.length >= sizeof(m->key) || value.length >= sizeof(m->value)) {
		sim_violation(w, "an outcome of %zu bytes", value.length);
		return RESULT_OK;
	}
	m->mark = mark;
	memcpy(m->key, key.data, key.length);
	m->key[key.length] = '\0';
	memcpy(m->value, value.data, value.length);
	m->value[value.length] = '\0';
	m->value_bytes = value.length;
	m->arrived = false;
	/* Each goes to a partition of its own, some of which are slow. */
	m->due_us = w->now_us + (sim_fault(w, FAULT_SINK_SLOW) ? sim_below(w, 2000000) : 0);
	s->count++;
	return RESULT_OK;
}

static enum result sink_publish(void *self, const struct sink_message *m, size_t count,
	uint64_t mark, struct sink_taken *ret, struct error *err)
{
	enum result r = RESULT_OK;

	*ret = (struct sink_taken){0};
	for (size_t i = 0; i < count; i++) {
		enum result one =
			publish_one(self, m[i].key, m[i].value, mark, r == RESULT_OK ? err : NULL);

		/* Behind one that was not taken, others may be. */
		ret->count += one == RESULT_OK;
		ret->next += one == RESULT_OK && r == RESULT_OK;
		if (r == RESULT_OK)
			r = one;
	}
	return r;
}

static void arrive(struct sim_worker *k, struct sim_message *m)
{
	if (m->arrived)
		return;
	m->arrived = true;
	sim_trace(k->world, "sink: outcome of worker %d arrives: %s", k->slot, m->value);
	sim_judge_outcome(k->world, m);
}

static void tell(struct sim_worker *k, int i, bool delivered, sink_delivered_fn *fn, void *context)
{
	struct sim_sink *s = &k->sink;
	uint64_t mark = s->queue[i].mark;

	s->queue[i] = s->queue[--s->count];
	fn(context, mark, delivered);
}

static enum result sink_serve(
	void *self, int64_t wait_ms, sink_delivered_fn *delivered, void *context, struct error *err)
{
	struct sim_worker *k = self;
	struct sim_world *w = k->world;
	struct sim_sink *s = &k->sink;

	if (!sim_enter(k, "serve"))
		return fail(err, RESULT_RETRY, 0, "dead");
	if (s->count > 0 && sim_fault(w, FAULT_SINK_FATAL)) {
		sim_trace(w, "sink: fatal error of worker %d", k->slot);
		while (s->count > 0) {
			if (sim_below(w, 2))
				arrive(k, &s->queue[s->count - 1]);
			tell(k, s->count - 1, false, delivered, context);
		}
		return fail(err, RESULT_RETRY, 0, "simulated: fatal error of the producer");
	}
	/* A broker that stands still: long enough for partitions to go and come back meanwhile. */
	if (s->count > 0 && sim_fault(w, FAULT_SINK_STALL))
		s->stalled_until_us = w->now_us + sim_below(w, 4000000);
	for (int i = s->count - 1; i >= 0 && (w->calm || s->stalled_until_us <= w->now_us); i--) {
		if (sim_fault(w, FAULT_SINK_UNDELIVERED)) {
			if (sim_below(w, 2))
				arrive(k, &s->queue[i]);
			tell(k, i, false, delivered, context);
		} else if (w->calm || s->queue[i].due_us <= w->now_us) {
			arrive(k, &s->queue[i]);
			/* Acknowledged now, or in a later call. */
			if (w->calm || sim_below(w, 2))
				tell(k, i, true, delivered, context);
		}
	}
	if (wait_ms > 0 && k->wake_us < w->now_us + wait_ms * 1000)
		k->wake_us = w->now_us + wait_ms * 1000;
	return RESULT_OK;
}

void sim_sink_die(struct sim_worker *k)
{
	for (int i = 0; i < k->sink.count; i++) {
		if (sim_below(k->world, 3) == 0) /* it was on the wire */
			arrive(k, &k->sink.queue[i]);
	}
	k->sink.count = 0;
}

static void sink_close(void *self)
{
	struct sim_worker *k = self;

	if (!sim_enter(k, "sink close"))
		return;
	sim_sink_die(k);
}

const struct sink_ops sim_sink_ops = {
	.publish = sink_publish,
	.serve = sink_serve,
	.close = sink_close,
};
