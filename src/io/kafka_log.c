/* SPDX-License-Identifier: Apache-2.0 */
#include "io/kafka_log.h"

#include <ctype.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 32 };
#define SAME_LINE_US INT64_C(10000000)

struct slot {
	uint64_t hash;
	int64_t said_us;
	unsigned dropped;
	bool used;
};

struct kafka_log {
	struct logger out;
	pthread_mutex_t lock; /* guards slots */
	struct slot slots[SLOTS];
};

struct kafka_log *kafka_log_new(struct logger out)
{
	struct kafka_log *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->out = out;
	pthread_mutex_init(&l->lock, NULL);
	return l;
}

void kafka_log_free(struct kafka_log *l)
{
	if (!l)
		return;
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/*
 * FNV-1a over what stays the same when a line is repeated: the times and counters, "(after 3ms in
 * state CONNECT, 12 identical error(s) suppressed)", are numbers or in brackets.
 */
static uint64_t line_hash(const char *facility, const char *text)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	int brackets = 0;

	for (const char *c = facility; *c; c++)
		hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
	for (const char *c = text; *c; c++) {
		if (*c == '(')
			brackets++;
		if (brackets == 0 && !isdigit((unsigned char)*c))
			hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
		if (*c == ')' && brackets > 0)
			brackets--;
	}
	return hash;
}

/* May this line be said now? *ret_dropped: how often it was not since it was said last. */
static bool may_say(struct kafka_log *l, uint64_t hash, int64_t now_us, unsigned *ret_dropped)
{
	struct slot *oldest = &l->slots[0];

	for (size_t i = 0; i < SLOTS; i++) {
		struct slot *s = &l->slots[i];

		if (s->used && s->hash == hash) {
			if (now_us - s->said_us < SAME_LINE_US) {
				s->dropped++;
				return false;
			}
			oldest = s;
			break;
		}
		if (!s->used || (oldest->used && s->said_us < oldest->said_us))
			oldest = s;
	}

	*ret_dropped = oldest->used && oldest->hash == hash ? oldest->dropped : 0;
	*oldest = (struct slot){.hash = hash, .said_us = now_us, .used = true};
	return true;
}

/* librdkafka says "error" of what it tries again by itself; only what it gives up on is for people.
 */
static enum log_level level_of(int level)
{
	if (level <= 2)
		return LOG_LEVEL_ERROR;
	if (level <= 4)
		return LOG_LEVEL_WARNING;
	if (level == 5)
		return LOG_LEVEL_NOTICE;
	return level == 6 ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
}

void kafka_log_line(
	struct kafka_log *l, int level, const char *facility, const char *text, int64_t now_us)
{
	unsigned dropped = 0;
	bool say = true;

	if (level < 7) { /* debug was asked for: all of it */
		pthread_mutex_lock(&l->lock);
		say = may_say(l, line_hash(facility, text), now_us, &dropped);
		pthread_mutex_unlock(&l->lock);
	}
	if (!say)
		return;

	char line[512];
	char again[48] = "";

	if (dropped)
		snprintf(again, sizeof(again), " (said %u more times since)", dropped);
	snprintf(line, sizeof(line), "Kafka: %.400s%s", text, again);
	for (char *c = line; *c; c++) {
		if ((unsigned char)*c < ' ')
			*c = ' ';
	}

	struct log_entry e = log_entry(level_of(level), LOG_EVENT_NONE, line);

	if (l->out.ops)
		l->out.ops->write(l->out.self, &e);
}
