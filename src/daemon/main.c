/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "core/config.h"
#include "daemon/app.h"
#include "daemon/options.h"
#include "io/config_file.h"
#include "io/journal.h"
#include "io/kafka_conf.h"

/* Would every library take the settings? Touches no server. */
static enum result check_libraries(const struct config *c, struct error *err)
{
	const struct kafka_settings settings = {
		.brokers = c->kafka.brokers,
		.topic = c->kafka.topic,
		.group = c->kafka.group,
		.outcome_topic = c->kafka.outcome_topic,
		.instance = "",
		.properties = c->kafka.properties,
		.properties_file = c->kafka.properties_file,
	};

	return kafka_conf_check(&settings, err);
}

/* Without -c the default file is read if there is one; a file that was asked for must be there. */
static enum result load(const struct options *o, struct config **ret, struct error *err)
{
	const char *path = o->config_file ? o->config_file : CONFIG_PATH;

	return config_file_load(path, !o->config_file, o->sets, o->set_count, ret, err);
}

/* What a reload needs. */
struct serving {
	const struct options *options;
	struct journal *journal;
};

static enum result load_again(void *self, struct config **ret, struct error *err)
{
	return load(((struct serving *)self)->options, ret, err);
}

static void set_level(void *self, enum log_level level)
{
	journal_set_level(((struct serving *)self)->journal, level);
}

static int serve(const struct options *o, struct config *c)
{
	CLEANUP(journal_close_ptr) struct journal *journal = NULL;
	const struct journal_config journal_config = {
		.identifier = "ticketpayd",
		.level = (enum log_level)c->log.level,
		.fd = STDERR_FILENO,
	};
	struct error err = {0};

	if (journal_open(&journal_config, &journal, &err) != RESULT_OK) {
		fprintf(stderr, "ticketpayd: %s\n", err.text);
		return APP_EXIT_INTERNAL;
	}

	struct serving serving = {.options = o, .journal = journal};
	const struct app_settings settings = {
		.config = c,
		.load = load_again,
		.set_level = set_level,
		.self = &serving,
		.log = journal_logger(journal),
	};
	bool abandoned = false;
	int code = app_run(&settings, &abandoned);

	if (abandoned) {
		journal_close(TAKE(journal)); /* bounded; without it the last lines would be lost */
		_exit(code);
	}
	return code;
}

/* A closed descriptor below 3 would be given to a socket, and log lines written into it. */
static void open_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", O_RDWR);
	}
}

/*
 * librdkafka allocates and frees a few megabytes with each fetch. Given back to the kernel each
 * time they cost a tenth of our CPU in page faults; the peak is what has to be there anyway.
 */
static void keep_freed_memory(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

int main(int argc, char **argv)
{
	open_standard_descriptors();
	keep_freed_memory();

	CLEANUP(free_ptr) const char **sets = calloc((size_t)argc + 1, sizeof(char *));
	CLEANUP(config_free_ptr) struct config *config = NULL;
	struct options options = {.sets = sets};
	struct error err = {0};

	if (!sets || options_parse(argc, argv, &options, &err) != RESULT_OK) {
		fprintf(stderr, "ticketpayd: %s\n", err.text);
		return APP_EXIT_USAGE;
	}
	if (options.help || options.version) {
		fputs(options.help ? options_help : "ticketpayd " PACKAGE_VERSION "\n", stdout);
		return APP_EXIT_DONE;
	}
	if (load(&options, &config, &err) != RESULT_OK ||
		check_libraries(config, &err) != RESULT_OK) {
		fprintf(stderr, "ticketpayd: %s\n", err.text);
		return APP_EXIT_CONFIG;
	}
	if (options.print_config)
		config_print(config, stdout);
	else if (options.check_config)
		puts("the configuration is valid");
	else
		return serve(&options, config);
	return APP_EXIT_DONE;
}
