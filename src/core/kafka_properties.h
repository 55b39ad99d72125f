/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/*
 * librdkafka's properties that kafka.properties and kafka.properties_file may pass through, and why
 * others are refused. config_property_allowed() of config.h is the rule for kafka.properties.
 */

/* Which client knows a property; librdkafka complains about one that is set on the other side. */
enum kafka_side {
	KAFKA_SIDE_CONSUMER = 1 << 0,
	KAFKA_SIDE_PRODUCER = 1 << 1,
	KAFKA_SIDE_BOTH = KAFKA_SIDE_CONSUMER | KAFKA_SIDE_PRODUCER,
};

struct kafka_property {
	const char *name;
	unsigned sides; /* enum kafka_side */
	bool secret;    /* only in kafka.properties_file, and its value is in no message */
};

/* All that may be passed through, sorted; the manual prints it. Ends with name == NULL. */
extern const struct kafka_property kafka_properties[];

struct kafka_refused_property {
	const char *name; /* that ends in a dot: all names that begin so */
	const char *reason;
};

/* Refused by name, so that the message can say why; the manual prints them. Ends like the other. */
extern const struct kafka_refused_property kafka_refused_properties[];

/*
 * Find a property that may be passed through.
 *
 * fails: FATAL with the reason: it would break a guarantee, a key of ours sets it, or it is not on
 *        the list
 */
enum result kafka_property_find(
	const char *name, const struct kafka_property **ret, struct error *err) MUST_CHECK;
