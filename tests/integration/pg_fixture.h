/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core/decide.h"
#include "io/pg_dial.h"
#include "io/pg_ledger.h"

/* After ours: cmocka has a macro fail(). */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/*
 * A database and two roles of our own on the server of $TICKETPAY_TEST_CONNINFO (a superuser's, in
 * the keyword form), made from sql/ and dropped at the end.
 */
#define TOPIC "payment-completed"
#define GROUP "ticketpayd"

enum { TIMEOUT_MS = 1500 }; /* of a transaction; a case that runs into it waits so long */

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* For each case: empty tables, ticket types 1 (100 left) and 2 (3 left), progress rows at offset 0
 * of partitions 0 and 1, and *state a ledger. */
int case_setup(void **state);
int case_teardown(void **state);

/* As superuser, in our database. */
void sql(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The statement's only value is this. */
void assert_sql(const char *expected, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Wait until the statement's value is "t", for 10 s at most. */
void wait_sql(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Another session of the superuser. */
PGconn *session_open(void);
void session_sql(PGconn *session, const char *statement);
void session_close(PGconn *session);
DEFINE_CLEANUP(PGconn *, session_close)

const char *fixture_daemon(void); /* role */
const char *fixture_owner(void);
const char *fixture_database(void);
const char *fixture_host(void);
const char *fixture_port(void);

/* A ledger of the daemon's role; `more` is added to its conninfo. */
struct pg_ledger *ledger_open(const char *more, bool prepare);
struct pg_ledger *ledger_open_with(
	const char *more, bool prepare, const char *passfile, int64_t connect_ms, struct waker *w);

/* Claim, and fail the test if it cannot be had. */
struct progress claim(struct pg_ledger *l, int32_t partition);

/* A record's value; the text lasts until the eighth call after it. */
const char *event(const char *order, const char *key, int type, int quantity);

/* A slice of `count` values from `offset` on, for the claim; NULL is a tombstone. */
struct batch *batch_of(const struct progress *p, int32_t partition, int64_t offset, size_t count,
	const char *const *values);
void batch_done(struct batch *b);
DEFINE_CLEANUP(struct batch *, batch_done)
#define BATCH(p, partition, offset, ...)                                                           \
	batch_of(p, partition, offset,                                                             \
		sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *),                      \
		(const char *[]){__VA_ARGS__})

/* The worker's way up to a point; the last result. */
enum result decide_until_stock(struct pg_ledger *l, struct batch *b, struct error *err);
enum result decide_until_commit(struct pg_ledger *l, struct batch *b, struct error *err);
enum result decide_all(struct pg_ledger *l, struct batch *b, struct error *err);

/* The call has this result, or its error is shown. */
#define assert_result(expected, call, err)                                                         \
	do {                                                                                       \
		enum result r_ = (call);                                                           \
		if (r_ != (expected))                                                              \
			fail_msg("%s: %s: %s", #call, result_name(r_), (err)->text);               \
	} while (0)

#define assert_says(err, part)                                                                     \
	do {                                                                                       \
		if (!strstr((err)->text, part))                                                    \
			fail_msg("\"%s\" is not in: %s", part, (err)->text);                       \
	} while (0)

/* Nothing is booked, everything is as case_setup() made it. */
void assert_no_effect(void);
/* End the daemon's sessions, and wait until they are gone. */
void kill_sessions(void);
/* Wait until a session of the daemon waits for a lock. */
void wait_for_waiter(void);

/* `when`: "BEFORE INSERT ON payment FOR EACH ROW"; body: PL/pgSQL. One at a time. */
void trigger_create(const char *when, const char *body);
void trigger_drop(void);

/* A call in a thread of its own, while the test does something to it. */
struct other {
	pthread_t thread;
	enum result (*call)(struct pg_ledger *l, struct batch *b, struct error *err);
	struct pg_ledger *l;
	struct batch *b;
	struct error err;
	enum result r;
};
void other_start(struct other *o);
enum result other_end(struct other *o);
