/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "base/waker.h"
#include "core/config.h"
#include "core/log.h"

/* What the Kafka adapters take from the settings. All text outlives the adapters. */
struct kafka_settings {
	const char *brokers;
	const char *topic;
	const char *group;
	const char *outcome_topic;
	const char *instance; /* the static member's name, the host's already put in; "": dynamic */
	int worker;           /* from 0; part of the member's name */
	struct config_list properties; /* "NAME=VALUE" */
	const char *properties_file;   /* "": none; without a "/": in $CREDENTIALS_DIRECTORY */
	struct waker *waker;           /* NULL: not to be woken */
	struct logger log;
};

enum kafka_role {
	KAFKA_ROLE_MEMBER,   /* the group member that consumes */
	KAFKA_ROLE_READER,   /* reads records and the group's offsets, never joins */
	KAFKA_ROLE_PRODUCER, /* publishes outcomes */
};

struct rd_kafka_conf_s;

/*
 * librdkafka's configuration for one client: our defaults, then properties_file, then properties;
 * what the guarantees need cannot be overridden (core/kafka_properties.h).
 *
 * ret:   the caller's, until rd_kafka_new() or rd_kafka_conf_destroy() takes it
 * fails: FATAL, naming the property, for a file also its line, with librdkafka's own text
 */
enum result kafka_conf_new(const struct kafka_settings *s, enum kafka_role role,
	struct rd_kafka_conf_s **ret, struct error *err) MUST_CHECK;

/* Would kafka_conf_new() accept the settings, for every role? For --check-config: no server. */
enum result kafka_conf_check(const struct kafka_settings *s, struct error *err) MUST_CHECK;
