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

double shares_run(void *shares, size_t count, size_t size, void (*work)(void *share))
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

void shares_print(int64_t events, double seconds)
{
	printf("{\"events\":%lld,\"seconds\":%.3f,\"rate\":%.0f}\n", (long long)events, seconds,
		(double)events / seconds);
}

int shares_main(int argc, char **argv, const char *usage, void (*body)(const struct workload *w))
{
	struct options o;
	struct workload w;

	if (!options_parse(argc, argv, usage, &o) || !workload_init(&w, &o))
		return 64;
	body(&w);
	workload_done(&w);
	return 0;
}
