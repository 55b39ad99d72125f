/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/clock.h"
#include "load.h"
#include "load_answers.h"

/*
 * Virtual users, as the experiment had them: each produces an event, waits for its outcome, pauses.
 * All begin at once. The event numbers tell whose they are: base + user + users * round.
 */
struct user {
	int64_t round;
	int64_t sent_us; /* 0: pauses */
};

struct crowd {
	struct answers answers;
	struct user *users;
	int64_t count;
	struct pause {
		int64_t user, until_us;
	} * pauses; /* a ring: all pauses are of the same length, so the first to begin ends first
		     */
	int64_t first, pausing;
	int64_t failed;
};

static void pause_user(struct crowd *c, int64_t user, int64_t until_us)
{
	c->users[user].sent_us = 0;
	c->users[user].round++;
	c->pauses[(c->first + c->pausing++) % c->count] = (struct pause){user, until_us};
}

static void send_due(struct crowd *c, int64_t now_us)
{
	for (; c->pausing > 0 && c->pauses[c->first].until_us <= now_us; c->pausing--) {
		int64_t user = c->pauses[c->first].user;

		c->first = (c->first + 1) % c->count;
		c->users[user].sent_us = clock_monotonic_us();
		answers_produce(
			&c->answers, c->answers.base + user + c->count * c->users[user].round);
	}
}

static void take_answer(struct crowd *c, int64_t number, bool confirmed)
{
	int64_t at = number - c->answers.base, now_us = clock_monotonic_us();
	struct user *u = &c->users[at % c->count];

	if (!u->sent_us || u->round != at / c->count) {
		c->answers.repeated++;
		return;
	}
	answers_count(&c->answers, u->sent_us, now_us, confirmed);
	pause_user(c, at % c->count, now_us + c->answers.w->options->pause_ms * 1000);
}

/* Users who waited too long give up; returns how many still wait. */
static int64_t give_up(struct crowd *c, int64_t now_us)
{
	const struct options *o = c->answers.w->options;
	int64_t waiting = 0;

	for (int64_t i = 0; i < c->count; i++) {
		if (!c->users[i].sent_us)
			continue;
		if (now_us - c->users[i].sent_us < o->timeout_ms * 1000) {
			waiting++;
			continue;
		}
		c->failed++;
		pause_user(c, i, now_us + o->pause_ms * 1000);
	}
	return waiting;
}

static void run(struct crowd *c)
{
	int64_t now_us = clock_monotonic_us(), look_us = 0;
	int64_t end_us = now_us + c->answers.w->options->seconds * 1000000;
	int64_t waiting = 1;

	while (now_us < end_us || waiting > 0) {
		int64_t wait_us = 10000;
		bool confirmed = false;

		if (now_us < end_us) {
			send_due(c, now_us);
			if (c->pausing > 0 && c->pauses[c->first].until_us - now_us < wait_us)
				wait_us = c->pauses[c->first].until_us - now_us;
		}

		int64_t number = answers_wait(
			&c->answers, wait_us > 0 ? (int)(wait_us + 999) / 1000 : 0, &confirmed);

		if (number >= c->answers.base)
			take_answer(c, number, confirmed);
		now_us = clock_monotonic_us();
		if (now_us >= look_us || now_us >= end_us) {
			waiting = give_up(c, now_us);
			look_us = now_us + 100000;
		}
		answers_progress(&c->answers, now_us);
	}
}

int load_closed(const struct workload *w)
{
	struct crowd *c = calloc(1, sizeof(*c));
	int64_t n = w->options->vus;

	if (!c || !(c->users = calloc((size_t)n, sizeof(*c->users))) ||
		!(c->pauses = calloc((size_t)n, sizeof(*c->pauses))))
		die("no memory");
	answers_open(&c->answers, w);
	for (c->count = n; c->pausing < n; c->pausing++)
		c->pauses[c->pausing] = (struct pause){c->pausing, 0};
	run(c);
	answers_close(&c->answers, c->failed);
	free(c->users);
	free(c->pauses);
	free(c);
	return 0;
}
