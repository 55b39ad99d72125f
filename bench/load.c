/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Load for the benchmarks: one producer, one consumer, bounded in count and time. The result is one
 * line of JSON on standard output.
 */
#include <stdio.h>
#include <string.h>

#include "load.h"

static const char usage[] =
	"Usage: load fill|consume|closed|open|echo [OPTION VALUE]...\n"
	"  fill      make a backlog of --events, as fast as possible\n"
	"  consume   read a backlog of --events and do nothing with it\n"
	"  closed    --vus users for --seconds: an event, its answer, a pause\n"
	"  open      --rate events a second for --seconds; latency counts from the\n"
	"            moment at which an event was due\n"
	"  echo      answer each event without a database, until SIGTERM\n";

static const struct {
	const char *name;
	int (*run)(const struct workload *w);
} modes[] = {
	{"fill", load_fill},
	{"consume", load_consume},
	{"closed", load_closed},
	{"open", load_open},
	{"echo", load_echo},
};

int main(int argc, char **argv)
{
	struct options o;
	struct workload w;

	if (!options_parse(argc, argv, usage, &o) || !workload_init(&w, &o))
		return 64;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (o.mode && !strcmp(o.mode, modes[i].name)) {
			int status = modes[i].run(&w);

			workload_done(&w);
			return status;
		}
	}
	fputs(usage, stderr);
	return 64;
}
