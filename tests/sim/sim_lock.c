/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim.h"

/* Redis: a key with a lease for each ticket type. It may forget everything at any time. */

static struct sim_key *key_of(struct sim_world *w, int64_t type)
{
	return &w->keys[type >= 1 && type <= SIM_TYPES_MAX ? type - 1 : SIM_TYPES_MAX];
}

static enum result lock_check(void *self, struct error *err)
{
	struct sim_worker *k = self;

	if (!sim_enter(k, "lock check") || sim_fault(k->world, FAULT_REDIS_RETRY))
		return fail(err, RESULT_RETRY, 0, "simulated: Redis does not answer");
	return RESULT_OK;
}

static enum result lock_acquire(void *self, const struct batch *b, int64_t deadline_us,
	struct lock_lease *ret, struct error *err)
{
	struct sim_worker *k = self;
	struct sim_world *w = k->world;
	char token[33];

	(void)deadline_us; /* nobody waits inside a call here */
	if (!sim_enter(k, "acquire"))
		return fail(err, RESULT_RETRY, 0, "dead");
	if (b->stock_count == 0)
		sim_violation(w, "worker %d locks no ticket type at all", k->slot);
	if (sim_fault(w, FAULT_REDIS_BUSY))
		return fail(err, RESULT_BUSY, 0, "simulated: held by somebody");

	bool unanswered = sim_fault(w, FAULT_REDIS_RETRY);

	if (unanswered && sim_below(w, 2))
		return fail(err, RESULT_RETRY, 0, "simulated: Redis does not answer");
	for (size_t i = 0; i < b->stock_count; i++) {
		const struct sim_key *key = key_of(w, b->stock[i].id);

		if (key->token[0] && w->now_us < key->until_us)
			return fail(err, RESULT_BUSY, 0, "simulated: held by another worker");
	}
	snprintf(token, sizeof(token), "%016" PRIx64 "%016" PRIx64, sim_random(w), sim_random(w));
	for (size_t i = 0; i < b->stock_count; i++) {
		struct sim_key *key = key_of(w, b->stock[i].id);

		memcpy(key->token, token, sizeof(token));
		key->until_us = w->now_us + INT64_C(1000) * SIM_LEASE_MS;
	}
	/* Taken, but nobody knows: it runs out by itself. */
	if (unanswered)
		return fail(err, RESULT_RETRY, 0, "simulated: Redis' answer is lost");
	ret->held = true;
	ret->until_us = w->now_us + INT64_C(1000) * SIM_LEASE_MS;
	memcpy(ret->token, token, sizeof(token));
	return RESULT_OK;
}

static void lock_forget(void *self)
{
	(void)sim_enter(self, "forget");
}

static void lock_release(void *self, const struct batch *b, struct lock_lease *lease)
{
	struct sim_worker *k = self;
	struct sim_world *w = k->world;

	(void)b; /* the token names the keys; the batch may have been cut anew since */
	if (!sim_enter(k, "release"))
		return;
	for (int i = 0; i <= SIM_TYPES_MAX; i++) {
		if (strcmp(w->keys[i].token, lease->token) == 0)
			w->keys[i].token[0] = '\0';
	}
	lease->held = false;
}

void sim_lock_flush(struct sim_world *w)
{
	sim_trace(w, "redis: FLUSHALL");
	memset(w->keys, 0, sizeof(w->keys));
}

const struct lock_ops sim_lock_ops = {
	.check = lock_check,
	.acquire = lock_acquire,
	.forget = lock_forget,
	.release = lock_release,
};
