/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/options.h"

#include <getopt.h>

const char options_help[] =
	"Usage: ticketpayd [-c FILE] [--set SECTION.KEY=VALUE]... [OPTION]\n"
	"\n"
	"Books paid tickets: payment events from Kafka, tickets and payments in PostgreSQL, exactly\n"
	"once, under a lock in Redis; publishes what became of each order.\n"
	"\n"
	"  -c, --config FILE   read FILE instead of " CONFIG_PATH "\n"
	"  --set KEY=VALUE     override one setting, for example --set batch.max_events=500\n"
	"  --check-config      say whether the settings are valid, touch no server\n"
	"  --print-config      print the settings as a file that -c accepts\n"
	"  --version           print the version\n"
	"  --help              print this\n"
	"\n"
	"Exit status: 0 stopped as asked, 64 usage, 69 another daemon has our kafka.instance,\n"
	"70 internal error, 78 configuration, or what a server holds does not fit.\n"
	"See ticketpayd(8); ticketpayctl looks after tables, stock and stopped partitions.\n";

enum { OPTION_SET = 256, OPTION_CHECK, OPTION_PRINT, OPTION_VERSION, OPTION_HELP };

static const struct option long_options[] = {
	{"config", required_argument, NULL, 'c'},
	{"set", required_argument, NULL, OPTION_SET},
	{"check-config", no_argument, NULL, OPTION_CHECK},
	{"print-config", no_argument, NULL, OPTION_PRINT},
	{"version", no_argument, NULL, OPTION_VERSION},
	{"help", no_argument, NULL, OPTION_HELP},
	{NULL, 0, NULL, 0},
};

enum result options_parse(int argc, char **argv, struct options *ret, struct error *err)
{
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":c:", long_options, NULL)) != -1) {
		switch (c) {
		case 'c':
			ret->config_file = optarg;
			break;
		case OPTION_SET:
			ret->sets[ret->set_count++] = optarg;
			break;
		case OPTION_CHECK:
			ret->check_config = true;
			break;
		case OPTION_PRINT:
			ret->print_config = true;
			break;
		case OPTION_VERSION:
			ret->version = true;
			break;
		case OPTION_HELP:
			ret->help = true;
			break;
		case ':':
			return fail(err, RESULT_FATAL, 0, "%s needs a value", argv[optind - 1]);
		default:
			return fail(err, RESULT_FATAL, 0,
				"there is no option %s, or it is used wrongly "
				"(see --help)",
				argv[optind - 1]);
		}
	}
	if (optind < argc)
		return fail(err, RESULT_FATAL, 0, "%s is not an option (see --help)", argv[optind]);
	return RESULT_OK;
}
