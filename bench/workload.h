/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core/record.h"
#include "options.h"

/*
 * The events of a benchmark. Event i is a pure function of the options and i, so that a backlog in
 * Kafka, rows for raw COPY and the stages alone all work on the same data.
 */
struct workload {
	const struct options *options;
	bool time_ordered;
	double *cumulated; /* shares of the ticket types; NULL: all alike */
};

enum { WORKLOAD_ID_BYTES = 32, WORKLOAD_ROOM = 64, WORKLOAD_JSON_MAX = 256 };

/* false: said what is wrong with the options. */
bool workload_init(struct workload *w, const struct options *o);
void workload_done(struct workload *w);

/* Is event i the first of its order, not a repetition? */
bool workload_is_fresh(const struct workload *w, int64_t i);

/* room: gets the strings */
void workload_event(
	const struct workload *w, int64_t i, char room[WORKLOAD_ROOM], struct payment_event *ret);

/* Returns the length. */
size_t workload_json(const struct payment_event *e, char ret[WORKLOAD_JSON_MAX]);

/* The number in an order id of ours, or -1. */
int64_t workload_number(const struct workload *w, struct bytes order_id);

/* Reads "NAME":"TEXT" out of JSON without white space; data NULL if there is none. */
struct bytes json_text(struct bytes json, const char *name);
