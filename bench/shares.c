/* SPDX-License-Identifier: Apache-2.0 */
#include "shares.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "options.h"

struct runner {
	void *share;
	void (*work)(void *share);
	pthread_barrier_t *start;
	int64_t begin_us, end_us;
	pthread_t thread;
};

static void *run(void *argument)
{
	struct runner *r = argument;

	pthread_barrier_wait(r->start);
	r->begin_us = clock_monotonic_us();
	r->work(r->share);
	r->end_us = clock_monotonic_us();
	return NULL;
}

/* returns: seconds */
static double run_all(void *shares, size_t count, size_t size, void (*work)(void *share))
{
	struct runner *runners = calloc(count, sizeof(*runners));
	int64_t begin_us = INT64_MAX, end_us = 0;
	pthread_barrier_t start;

	if (!runners || pthread_barrier_init(&start, NULL, (unsigned)count))
		die("no memory");
	for (size_t i = 0; i < count; i++) {
		runners[i] = (struct runner){
			.share = (char *)shares + i * size, .work = work, .start = &start};
		if (pthread_create(&runners[i].thread, NULL, run, &runners[i]))
			die("no thread");
	}
	for (size_t i = 0; i < count; i++) {
		pthread_join(runners[i].thread, NULL);
		begin_us = runners[i].begin_us < begin_us ? runners[i].begin_us : begin_us;
		end_us = runners[i].end_us > end_us ? runners[i].end_us : end_us;
	}
	pthread_barrier_destroy(&start);
	free(runners);
	return (double)(end_us - begin_us) / 1e6;
}

static void measure(const struct workload *w, const struct share_kind *kind)
{
	size_t count = (size_t)w->options->connections;
	int64_t rows = kind->rows ? kind->rows(w) : w->options->events;
	char *shares = calloc(count, kind->size);

	if (!shares)
		die("no memory");
	for (size_t i = 0; i < count; i++)
		kind->open(shares + i * kind->size, w, (int)i);
	if (kind->prepare)
		(void)run_all(shares, count, kind->size, kind->prepare);

	double seconds = run_all(shares, count, kind->size, kind->work);

	for (size_t i = 0; i < count; i++)
		kind->close(shares + i * kind->size);
	free(shares);
	printf("{\"events\":%lld,\"seconds\":%.3f,\"rate\":%.0f}\n", (long long)rows, seconds,
		(double)rows / seconds);
}

int shares_main(int argc, char **argv, const char *usage, const struct share_kind *kind)
{
	struct options o;
	struct workload w;

	if (!options_parse(argc, argv, usage, &o) || !workload_init(&w, &o))
		return 64;
	measure(&w, kind);
	workload_done(&w);
	return 0;
}
