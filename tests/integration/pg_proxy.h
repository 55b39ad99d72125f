/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/*
 * A proxy between libpq and PostgreSQL that does to the next COMMIT what networks do. It sees the
 * word in the clear: use it with prepare = false and sslmode=disable. BEGIN ... READ COMMITTED
 * holds the word as well: set a fault when the transaction has begun.
 */
enum pg_proxy_fault {
	PG_PROXY_NONE,
	PG_PROXY_CUT_BEFORE,      /* COMMIT never reaches the server */
	PG_PROXY_CUT_AFTER,       /* it does, and the answer is thrown away */
	PG_PROXY_ANSWER_ROLLBACK, /* the answer's command tag reads ROLLBACK */
	PG_PROXY_FREEZE,          /* nothing passes from now on, nothing is closed; any statement */
};

struct pg_proxy;

/* Starts a thread that listens on a port of 127.0.0.1. host: a directory or an address. */
struct pg_proxy *pg_proxy_start(const char *host, const char *port);
/* Closes its connections and waits for the thread. */
void pg_proxy_stop(struct pg_proxy *p);

int pg_proxy_port(const struct pg_proxy *p);
/* Until it has struck once (FREEZE: until the next call). */
void pg_proxy_fault(struct pg_proxy *p, enum pg_proxy_fault fault);
