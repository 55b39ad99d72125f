/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "load.h"
#include "load_answers.h"

/*
 * Event i is due at begin + i / rate, whether earlier ones were answered or not, and its latency
 * counts from then: what a late sender or a stalled server makes others wait is in the figures.
 */
struct stream {
	struct answers answers;
	int64_t total;
	bool *answered;
};

static int64_t due_us(const struct stream *s, int64_t i)
{
	return s->answers.begin_us +
	       (int64_t)((double)i * 1e6 / (double)s->answers.w->options->rate);
}

static void sleep_until(int64_t us)
{
	struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* A thread of its own: waiting for answers has only milliseconds. */
static void *produce(void *argument)
{
	struct stream *s = argument;

	for (int64_t i = 0; i < s->total; i++) {
		if (due_us(s, i) > clock_monotonic_us())
			sleep_until(due_us(s, i));
		answers_produce(&s->answers, s->answers.base + i);
	}
	return NULL;
}

static void take_answers(struct stream *s)
{
	int64_t deadline_us = due_us(s, s->total) + s->answers.w->options->timeout_ms * 1000;
	int64_t now_us = clock_monotonic_us();

	while (s->answers.answered < s->total && now_us < deadline_us) {
		bool confirmed = false;
		int64_t i = answers_wait(&s->answers, 100, &confirmed) - s->answers.base;

		now_us = clock_monotonic_us();
		answers_progress(&s->answers, now_us);
		if (i < 0 || i >= s->total)
			continue;
		if (s->answered[i]) {
			s->answers.repeated++;
			continue;
		}
		s->answered[i] = true;
		answers_count(&s->answers, due_us(s, i), now_us, confirmed);
	}
}

int load_open(const struct workload *w)
{
	struct stream *s = calloc(1, sizeof(*s));
	pthread_t producer;

	if (!s)
		die("no memory");
	s->total = w->options->rate * w->options->seconds;
	s->answered = calloc((size_t)s->total, sizeof(bool));
	if (!s->answered)
		die("no memory");
	answers_open(&s->answers, w);
	if (pthread_create(&producer, NULL, produce, s))
		die("no thread");
	take_answers(s);
	pthread_join(producer, NULL);
	answers_close(&s->answers, s->total - s->answers.answered);
	free(s->answered);
	free(s);
	return 0;
}
