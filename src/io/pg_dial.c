/* SPDX-License-Identifier: Apache-2.0 */
#include "io/pg_dial.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/pg_error.h"
#include "io/secret_file.h"

enum { KEYWORDS_MAX = 12 };

/* PQconnectStartParams() takes two arrays; of a keyword given twice the last value counts. */
struct keywords {
	const char *names[KEYWORDS_MAX + 1], *values[KEYWORDS_MAX + 1];
	int count;
};

static void add(struct keywords *k, const char *name, const char *value)
{
	k->names[k->count] = name;
	k->values[k->count++] = value;
}

/* ---- conninfo ------------------------------------------------------------------------------ */

DEFINE_CLEANUP(PQconninfoOption *, PQconninfoFree)

static PQconninfoOption *parse(const char *conninfo)
{
	char *message = NULL;
	PQconninfoOption *options = PQconninfoParse(conninfo, &message);

	PQfreemem(message); /* it quotes the conninfo, perhaps a password: nobody may see it */
	return options;
}

static const char *option(const PQconninfoOption *options, const char *keyword)
{
	for (const PQconninfoOption *o = options; o->keyword; o++) {
		if (!strcmp(o->keyword, keyword))
			return o->val;
	}
	return NULL;
}

enum result pg_dial_check(const struct pg_dial *d, struct error *err)
{
	CLEANUP(PQconninfoFree_ptr) PQconninfoOption *options = parse(d->conninfo);

	if (!options)
		return fail(err, RESULT_FATAL, 0,
			"database.conninfo cannot be read: write it as keyword=value words or as a "
			"postgresql:// URI (it is not shown here, it may hold a password)");
	return RESULT_OK;
}

/* "a,b,c" turned left by `by`: "c,a,b" for 2. NULL: there is nothing to turn, or no memory. */
static char *turn(const char *list, unsigned by)
{
	unsigned items = 1;
	const char *from = list;

	if (!list || !strchr(list, ','))
		return NULL;
	for (const char *p = list; *p; p++)
		items += *p == ',';
	for (by %= items; by > 0; by--)
		from = strchr(from, ',') + 1;
	if (from == list)
		return strdup(list);

	char *turned = NULL;

	if (asprintf(&turned, "%s,%.*s", from, (int)(from - list - 1), list) < 0)
		return NULL;
	return turned;
}

/* ---- password file ------------------------------------------------------------------------- */

/*
 * libpq refuses a file that the group can read, and that is what the access list of a systemd
 * credential looks like (systemd 254 and later): hand it a copy in memory instead.
 */
static int copy_credential(const char *path, struct error *err)
{
	char text[16 * 1024];
	int from = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = from >= 0 ? read(from, text, sizeof(text)) : -1;
	int to = n >= 0 ? memfd_create("passfile", MFD_CLOEXEC) : -1;
	bool ok = to >= 0 && fchmod(to, 0600) == 0 && write(to, text, (size_t)n) == n;

	if (!ok)
		fail(err, RESULT_RETRY, errno, "cannot read database.passfile %s: %s", path,
			strerror(errno));
	explicit_bzero(text, sizeof(text));
	if (from >= 0)
		close(from);
	if (!ok && to >= 0)
		close(to);
	return ok ? to : -1;
}

/* libpq passes over a file that it does not like and then misses a password: say it here instead.
 */
static enum result check_passfile(const char *path, struct error *err)
{
	struct stat st;

	if (access(path, R_OK) || stat(path, &st))
		return fail(err, RESULT_RETRY, errno, "cannot read database.passfile %s: %s", path,
			strerror(errno));
	if (!S_ISREG(st.st_mode) || (st.st_mode & (S_IRWXG | S_IRWXO)))
		return fail(err, RESULT_RETRY, 0,
			"database.passfile %s: libpq wants a plain file that nobody but its owner can "
			"read: chmod 600",
			path);
	return RESULT_OK;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* The file to name to libpq, or "". *ret_fd is open as long as libpq needs it, or -1. */
static enum result find_passfile(
	const struct pg_dial *d, char ret_path[PATH_MAX], int *ret_fd, struct error *err)
{
	enum result r;

	ret_path[0] = '\0';
	if (!d->passfile || !*d->passfile)
		return RESULT_OK;
	r = secret_path(d->passfile, ret_path, err);
	if (r != RESULT_OK)
		return RESULT_RETRY;
	if (strchr(d->passfile, '/'))
		return check_passfile(ret_path, err);

	*ret_fd = copy_credential(ret_path, err);
	if (*ret_fd < 0)
		return RESULT_RETRY;
	snprintf(ret_path, PATH_MAX, "/proc/self/fd/%d", *ret_fd);
	return RESULT_OK;
}

/* ---- connect ------------------------------------------------------------------------------- */

static enum result start(const struct pg_dial *d, PGconn **ret, struct error *err)
{
	CLEANUP(PQconninfoFree_ptr) PQconninfoOption *options = parse(d->conninfo);
	CLEANUP(close_fd) int fd = -1;
	char passfile[PATH_MAX];
	struct keywords k = {.count = 0};

	if (!options)
		return pg_dial_check(d, err);

	enum result r = find_passfile(d, passfile, &fd, err);

	if (r != RESULT_OK) {
		if (err)
			memcpy(err->sqlstate, "28000",
				sizeof(err->sqlstate)); /* a person must act */
		return r;
	}

	CLEANUP(free_ptr) char *host = turn(option(options, "host"), d->first_host);
	CLEANUP(free_ptr) char *hostaddr = turn(option(options, "hostaddr"), d->first_host);
	CLEANUP(free_ptr) char *port = turn(option(options, "port"), d->first_host);

	if (!getenv("PGTARGETSESSIONATTRS"))
		add(&k, "target_session_attrs", "primary");
	add(&k, "fallback_application_name", d->application_name);
	add(&k, "dbname", d->conninfo); /* read as a whole conninfo; what follows overrides it */
	add(&k, "client_encoding", "UTF8");
	if (*passfile)
		add(&k, "passfile", passfile);
	if (host)
		add(&k, "host", host);
	if (hostaddr)
		add(&k, "hostaddr", hostaddr);
	if (port)
		add(&k, "port", port);
	*ret = PQconnectStartParams(k.names, k.values, 1);
	return RESULT_OK;
}

static void say_nothing(void *self, const PGresult *res)
{
	(void)self;
	(void)res; /* notices would go to stderr */
}

static enum result finish(struct pg_dial *d, PGconn *conn, int64_t deadline_us, struct error *err)
{
	PostgresPollingStatusType s = PGRES_POLLING_WRITING;

	for (;;) {
		short events = s == PGRES_POLLING_READING ? POLLIN : POLLOUT;

		switch (waker_wait(d->waker, PQsocket(conn), events, deadline_us)) {
		case WAIT_READY:
			break;
		case WAIT_TIMEOUT:
			d->first_host++;
			return fail(err, RESULT_RETRY, 0,
				"connection to server at \"%s\", port %s failed: no answer within "
				"database.connect_timeout_ms",
				PQhost(conn) ? PQhost(conn) : "?",
				PQport(conn) ? PQport(conn) : "?");
		case WAIT_WOKEN:
			return fail(err, RESULT_RETRY, 0, "stopping");
		}
		s = PQconnectPoll(conn);
		if (s == PGRES_POLLING_OK)
			return RESULT_OK;
		if (s == PGRES_POLLING_FAILED)
			return pg_error_of_connect(conn, err);
	}
}

enum result pg_dial(struct pg_dial *d, int64_t deadline_us, PGconn **ret, struct error *err)
{
	CLEANUP(PQfinish_ptr) PGconn *conn = NULL;
	int64_t limit_us = clock_monotonic_us() + d->connect_timeout_ms * 1000;
	enum result r = start(d, &conn, err);

	if (r != RESULT_OK)
		return r;
	if (!conn)
		return fail(err, RESULT_RETRY, ENOMEM, "no memory for a PostgreSQL connection");
	PQsetErrorVerbosity(conn, PQERRORS_VERBOSE); /* the only way to the SQLSTATE of a refusal */
	PQsetNoticeReceiver(conn, say_nothing, NULL);
	if (PQstatus(conn) == CONNECTION_BAD)
		return pg_error_of_connect(conn, err);

	r = finish(d, conn, limit_us < deadline_us ? limit_us : deadline_us, err);
	if (r != RESULT_OK)
		return r;
	PQsetErrorVerbosity(conn, PQERRORS_DEFAULT);
	*ret = TAKE(conn);
	return RESULT_OK;
}
