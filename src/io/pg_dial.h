/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <libpq-fe.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/waker.h"

DEFINE_CLEANUP(PGconn *, PQfinish)
DEFINE_CLEANUP(PGresult *, PQclear)

/* How to reach PostgreSQL. The strings are borrowed and outlive what was made with them. */
struct pg_dial {
	const char *conninfo;
	const char *passfile;         /* "": none; without "/": a systemd credential */
	const char *application_name; /* unless the conninfo has one */
	int64_t connect_timeout_ms;
	struct waker *waker; /* may be NULL; ends a connect, nothing else */
	unsigned first_host; /* 0 at first; kept here: see pg_dial() */
};

/* Can libpq read the conninfo? FATAL; the text does not repeat it. */
enum result pg_dial_check(const struct pg_dial *d, struct error *err) MUST_CHECK;

/*
 * Connect to the server that takes writes (target_session_attrs=primary unless given otherwise; not
 * read-write, which would refuse a role whose transactions are read only by default).
 *
 * One time limit for all hosts of the conninfo: a host that swallows packets would use it up each
 * time, so after a timeout the next call begins with the next host.
 *
 * deadline_us: ends it as well
 * ret:         in no pipeline, not non-blocking
 * fails:       RETRY; err->sqlstate is filled when a person must act (28, 3D)
 * blocks:      while libpq asks for the addresses of names
 */
enum result pg_dial(
	struct pg_dial *d, int64_t deadline_us, PGconn **ret, struct error *err) MUST_CHECK;
