/* SPDX-License-Identifier: Apache-2.0 */

/*
 * librdkafka's mock cluster as a program, for the demo and smoke tests on machines without Java:
 * one broker on a loopback port of its own choosing. Data and groups die with it; it knows no
 * static members and keeps 5 MiB a partition, so it proves nothing about crashes or latency.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

enum { TOPICS_MAX = 64, EXIT_USAGE = 64 };

struct options {
	const char *address_file;
	const char *topics[TOPICS_MAX];
	size_t topic_count;
};

static int usage(FILE *out, int status)
{
	fprintf(out,
		"Usage: embedded_broker [--topic NAME:PARTITIONS]... [--address-file FILE]\n"
		"Run a throw-away Kafka broker until SIGTERM or SIGINT. Its address goes to FILE,\n"
		"or to standard output. For demos and smoke tests only.\n");
	return status;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct options *ret)
{
	static const struct option long_options[] = {
		{"topic", required_argument, NULL, 't'},
		{"address-file", required_argument, NULL, 'a'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
		if (c == 'h')
			return usage(stdout, 0);
		if (c == 'a')
			ret->address_file = optarg;
		else if (c == 't' && ret->topic_count < TOPICS_MAX)
			ret->topics[ret->topic_count++] = optarg;
		else
			return usage(stderr, EXIT_USAGE);
	}
	return optind == argc ? -1 : usage(stderr, EXIT_USAGE);
}

static bool create_topic(rd_kafka_mock_cluster_t *cluster, const char *text)
{
	char name[250];
	const char *colon = strrchr(text, ':');
	char *end = NULL;
	long partitions = colon ? strtol(colon + 1, &end, 10) : 0;

	if (!colon || colon == text || (size_t)(colon - text) >= sizeof(name) || end == colon + 1 ||
		*end || partitions < 1 || partitions > 10000) {
		fprintf(stderr, "embedded_broker: --topic %s: not NAME:PARTITIONS\n", text);
		return false;
	}
	memcpy(name, text, (size_t)(colon - text));
	name[colon - text] = '\0';

	rd_kafka_resp_err_t e = rd_kafka_mock_topic_create(cluster, name, (int)partitions, 1);

	if (e)
		fprintf(stderr, "embedded_broker: topic %s: %s\n", name, rd_kafka_err2str(e));
	return !e;
}

/* Written beside and renamed: who waits for the file never reads half of it. */
static bool write_address(const char *path, const char *address)
{
	char draft[4096];

	if (!path)
		return printf("%s\n", address) > 0 && fflush(stdout) == 0;
	if (snprintf(draft, sizeof(draft), "%s.%ld", path, (long)getpid()) >= (int)sizeof(draft)) {
		fprintf(stderr, "embedded_broker: the name of the address file is too long\n");
		return false;
	}

	FILE *file = fopen(draft, "w");
	bool ok = file && fprintf(file, "%s\n", address) > 0;

	ok = file && fclose(file) == 0 && ok;
	ok = ok && rename(draft, path) == 0;
	if (!ok)
		fprintf(stderr, "embedded_broker: cannot write %s: %s\n", path, strerror(errno));
	return ok;
}

static bool run(const struct options *o, rd_kafka_t *rk, const sigset_t *stop)
{
	rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(rk, 1);
	bool ok = cluster != NULL;
	int received;

	if (!cluster) {
		fprintf(stderr, "embedded_broker: cannot make the mock cluster\n");
		return false;
	}
	for (size_t i = 0; ok && i < o->topic_count; i++)
		ok = create_topic(cluster, o->topics[i]);
	if (ok)
		ok = write_address(o->address_file, rd_kafka_mock_cluster_bootstraps(cluster));
	if (ok)
		sigwait(stop, &received);
	rd_kafka_mock_cluster_destroy(cluster);
	return ok;
}

int main(int argc, char **argv)
{
	struct options o = {0};
	int status = parse(argc, argv, &o);
	char text[256];
	sigset_t stop;

	if (status >= 0)
		return status;

	/* Before the library's threads, so that none of them takes the signal. */
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	sigprocmask(SIG_BLOCK, &stop, NULL);

	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	/* The client only carries the cluster; that it knows no broker is no news. */
	(void)rd_kafka_conf_set(conf, "log_level", "3", NULL, 0);

	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));

	if (!rk) {
		fprintf(stderr, "embedded_broker: %s\n", text);
		return EXIT_FAILURE;
	}

	bool ok = run(&o, rk, &stop);

	rd_kafka_destroy(rk);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
