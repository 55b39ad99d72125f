/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/options.h"
#include "io/config_file.h"

const struct verb ctl_verbs[] = {
	{"migrate", "[--plan | --apply]",
		"show what is missing of the tables, or make it (as their owner)",
		OPTION_PLAN | OPTION_APPLY, 0, migrate_run},
	{"verify", "[--kafka] [--json]",
		"prove that nothing is lost, booked twice or oversold; beside a working daemon",
		OPTION_KAFKA | OPTION_JSON, 0, verify_run},
	{"status", "[--json]",
		"where each partition is, and why one is stopped; dead letters, stock", OPTION_JSON,
		0, status_run},
	{"stock create", "ID --total N [--name T]",
		"make a ticket type (as the owner of the tables)", OPTION_TOTAL | OPTION_NAME, 1,
		stock_create_run},
	{"stock add", "ID N", "add N tickets to a type, or take some away (N < 0)", 0, 2,
		stock_add_run},
	{"progress show", "", "where each partition is, by the database alone", 0, 0,
		progress_show_run},
	{"progress adopt", "[--partition P] [--yes]",
		"for a new database: go on from Kafka's committed offsets, skip what is below",
		OPTION_PARTITION | OPTION_YES, 0, progress_adopt_run},
	{"progress seek", "--partition P --to earliest|latest|committed|OFFSET [--yes]",
		"go on from another offset: back replays, forward leaves records undecided",
		OPTION_PARTITION | OPTION_TO | OPTION_YES, 0, progress_seek_run},
	{"resume", "[--partition P]",
		"let stopped partitions go on where they stopped, once the cause is gone",
		OPTION_PARTITION, 0, resume_run},
	{NULL, NULL, NULL, 0, 0, NULL},
};

static enum ctl_exit print_help(void)
{
	puts("usage: ticketpayctl [-c FILE] [--set SECTION.KEY=VALUE]... VERB\n");
	for (const struct verb *v = ctl_verbs; v->name; v++)
		printf("  %s%s%s\n      %s\n", v->name, v->synopsis[0] ? " " : "", v->synopsis,
			v->help);
	printf("\n  -c FILE    the daemon's configuration, by default %s\n"
	       "  --set      override a key of it, any number of times\n"
	       "  --version, --help\n\n"
	       "exit status: 0 done or holds, 1 refused or broken, 2 a server was not reached,\n"
	       "64 usage, 78 configuration. See ticketpayctl(1).\n",
		CONFIG_PATH);
	return CTL_DONE;
}

static enum ctl_exit run(int argc, char **argv)
{
	CLEANUP(free_ptr) const char **sets = calloc((size_t)argc + 1, sizeof(*sets));
	CLEANUP(config_free_ptr) struct config *config = NULL;
	struct ctl c = {.sets = sets};
	struct error err;

	if (!sets)
		return ctl_say(CTL_REFUSED, "no memory");

	enum ctl_exit code = options_parse(argc, argv, &c);

	if (code != CTL_DONE)
		return code;
	if (c.help)
		return print_help();
	if (c.version) {
		puts("ticketpayctl " PACKAGE_VERSION);
		return CTL_DONE;
	}

	const struct verb *verb = options_verb(&c);

	if (!verb)
		return CTL_USAGE;
	if (config_file_load(c.config_file ? c.config_file : CONFIG_PATH, !c.config_file, c.sets,
		    c.set_count, &config, &err) != RESULT_OK)
		return ctl_say(CTL_CONFIG, "%s", err.text);
	c.config = config;
	return verb->run(&c);
}

int main(int argc, char **argv)
{
	enum ctl_exit code = run(argc, argv);

	if (fflush(stdout) != 0 && code == CTL_DONE)
		code = ctl_say(CTL_REFUSED, "cannot write the output");
	/* A Kafka client that would not end may have left a thread behind: no exit handlers. */
	_exit(code);
}
