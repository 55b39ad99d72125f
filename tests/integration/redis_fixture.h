/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <hiredis/hiredis.h>

#include "core/batch.h"
#include "io/lock_queue.h"
#include "io/redis_lock.h"
#include "redis_server.h"

/* After ours: cmocka has a macro fail(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/*
 * A redis-server of the program's own, and locks on it. TICKETPAY_TEST_REDIS_SERVER: path of
 * redis-server; without it nothing is tested.
 */
enum {
	TIMEOUT_MS = 300,
	SLACK_MS = 250, /* for a machine with other things to do */
	LEASE_MS = 60000,
};

struct redis_fixture {
	struct redis_server server;
	redisContext *admin;      /* for ask() */
	struct lock_queue *queue; /* a new one for each case */
};
extern struct redis_fixture redis;

/* Says so, where there is no redis-server. */
bool redis_fixture_skipped(void);
int redis_fixture_setup(void **state);
int redis_fixture_teardown(void **state);

/* For each case: no key, nobody in the queue. */
int redis_case_setup(void **state);
int redis_case_teardown(void **state);
#define REDIS_CASE(f) cmocka_unit_test_setup_teardown(f, redis_case_setup, redis_case_teardown)

int64_t now_ms(void);
int64_t took_ms(int64_t begin_ms);
int64_t in_ms(int64_t ms); /* a deadline_us */

/* ---- locks ----------------------------------------------------------------------------------- */

struct redis_lock_config config(void);
struct redis_lock *lock_of(const struct redis_lock_config *c);
struct redis_lock *lock_new(void); /* of config() */

/* A batch of the ticket types first, first + 1, ... */
struct types {
	struct stock stock[1000];
	struct batch batch;
};
const struct batch *types(struct types *t, int64_t first, size_t count);

/* Of one ticket type. */
enum result acquire(struct redis_lock *l, int64_t type, int64_t wait_ms, struct lock_lease *lease,
	struct error *err);
void release(struct redis_lock *l, struct lock_lease *lease);
/* As a worker does: again and again, until it is ours; no call may take long. */
void acquire_within(struct redis_lock *l, int64_t type, int64_t ms, struct lock_lease *lease);

/* acquire() says RETRY, with these words. */
void refused(struct redis_lock *l, const char *words);
/* acquire() says RETRY after its timeout, neither before nor much later. */
void times_out_once(struct redis_lock *l);

/* ---- the server ------------------------------------------------------------------------------ */

/* A command, its words separated by single blanks; an error as the answer fails the case. */
redisReply *ask(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define TELL(...) freeReplyObject(ask(__VA_ARGS__))

/* About a ticket type's key of the scope "stock". */
long long ask_number(const char *what, int64_t type);
bool exists(int64_t type);
void take_as_another(int64_t type);

/* The path of a file that holds it, always the same one. To be unlinked before the case ends. */
const char *password_put(const char *password);
