/* SPDX-License-Identifier: Apache-2.0 */
#include "pg_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

static struct {
	char database[64], owner[64], daemon[64];
	char super[600], conninfo[700]; /* to our database: of the superuser, of the daemon */
	char host[300], port[16];
	PGconn *admin;
} fx;

const char *fixture_daemon(void)
{
	return fx.daemon;
}

const char *fixture_owner(void)
{
	return fx.owner;
}

const char *fixture_database(void)
{
	return fx.database;
}

const char *fixture_host(void)
{
	return fx.host;
}

const char *fixture_port(void)
{
	return fx.port;
}

/* ---- SQL ----------------------------------------------------------------------------------- */

static void ignore_notice(void *self, const PGresult *res)
{
	(void)self;
	(void)res;
}

static PGconn *must_connect(const char *conninfo)
{
	PGconn *c = PQconnectdb(conninfo);

	if (PQstatus(c) != CONNECTION_OK)
		fail_msg("%s", PQerrorMessage(c));
	PQsetNoticeReceiver(c, ignore_notice, NULL);
	return c;
}

static PGresult *must_exec(PGconn *c, const char *statement)
{
	PGresult *res = PQexec(c, statement);

	if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", statement, PQerrorMessage(c));
	return res;
}

void sql(const char *format, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, format);
	assert_true(vasprintf(&text, format, ap) >= 0);
	va_end(ap);
	PQclear(must_exec(fx.admin, text));
	free(text);
}

void assert_sql(const char *expected, const char *format, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, format);
	assert_true(vasprintf(&text, format, ap) >= 0);
	va_end(ap);

	CLEANUP(PQclear_ptr) PGresult *res = must_exec(fx.admin, text);

	if (PQntuples(res) != 1 || strcmp(PQgetvalue(res, 0, 0), expected) != 0)
		fail_msg("%s: %s, not %s", text, PQntuples(res) ? PQgetvalue(res, 0, 0) : "no row",
			expected);
	free(text);
}

void wait_sql(const char *format, ...)
{
	int64_t deadline_us = clock_monotonic_us() + 10000000;
	char *text = NULL;
	va_list ap;

	va_start(ap, format);
	assert_true(vasprintf(&text, format, ap) >= 0);
	va_end(ap);
	for (;;) {
		CLEANUP(PQclear_ptr) PGresult *res = must_exec(fx.admin, text);

		if (PQntuples(res) == 1 && !strcmp(PQgetvalue(res, 0, 0), "t"))
			break;
		if (clock_monotonic_us() > deadline_us)
			fail_msg("has not come true: %s", text);
		(void)!usleep(2000); /* between two looks at a condition with a deadline */
	}
	free(text);
}

PGconn *session_open(void)
{
	return must_connect(fx.super);
}

void session_sql(PGconn *session, const char *statement)
{
	PQclear(must_exec(session, statement));
}

void session_close(PGconn *session)
{
	PQfinish(session);
}

/* ---- database ------------------------------------------------------------------------------ */

/* $TICKETPAY_TEST_SQL, or sql/ in $TICKETPAY_SOURCE, or in the working directory. */
static void sql_path(const char *name, char *ret, size_t size)
{
	const char *directory = getenv("TICKETPAY_TEST_SQL"), *source = getenv("TICKETPAY_SOURCE");

	if (directory)
		snprintf(ret, size, "%s/%s", directory, name);
	else
		snprintf(ret, size, "%s/sql/%s", source ? source : ".", name);
}

static char *read_file(const char *name)
{
	char path[1000];
	char *text = calloc(1, 64 * 1024);

	sql_path(name, path, sizeof(path));

	FILE *f = fopen(path, "re");

	if (!f || !text)
		fail_msg("cannot read %s", path);
	assert_true(fread(text, 1, 64 * 1024 - 1, f) > 0);
	fclose(f);
	return text;
}

static void grant(void)
{
	char path[1000], daemon[100], connect[800];
	int status = -1;

	sql_path("grants.sql", path, sizeof(path));
	snprintf(daemon, sizeof(daemon), "daemon=%s", fx.daemon);
	snprintf(connect, sizeof(connect), "%s user=%s password=x", fx.super, fx.owner);

	pid_t child = fork();

	if (child == 0) {
		execlp("psql", "psql", "-X", "-q", "-v", daemon, "-f", path, connect, NULL);
		_exit(127);
	}
	assert_true(waitpid(child, &status, 0) == child);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("psql could not run grants.sql");
}

int fixture_setup(void **state)
{
	const char *server = getenv("TICKETPAY_TEST_CONNINFO");
	int pid = getpid();

	(void)state;
	if (!server || !*server) {
		fprintf(stderr, "TICKETPAY_TEST_CONNINFO names no PostgreSQL to test with\n");
		return -1;
	}
	snprintf(fx.database, sizeof(fx.database), "tp_ledger_%d", pid);
	snprintf(fx.owner, sizeof(fx.owner), "tp_owner_%d", pid);
	snprintf(fx.daemon, sizeof(fx.daemon), "tp_daemon_%d", pid);
	snprintf(fx.super, sizeof(fx.super), "%s dbname=%s", server, fx.database);
	snprintf(fx.conninfo, sizeof(fx.conninfo), "%s user=%s password=x", fx.super, fx.daemon);

	fx.admin = must_connect(server);
	if (strcmp(PQparameterStatus(fx.admin, "is_superuser"), "on") != 0) {
		fprintf(stderr, "TICKETPAY_TEST_CONNINFO must name a superuser\n");
		return -1;
	}
	snprintf(fx.host, sizeof(fx.host), "%s", PQhost(fx.admin));
	snprintf(fx.port, sizeof(fx.port), "%s", PQport(fx.admin));
	sql("CREATE ROLE %s LOGIN PASSWORD 'x'", fx.owner);
	sql("CREATE ROLE %s LOGIN PASSWORD 'x'", fx.daemon);
	sql("CREATE DATABASE %s OWNER %s ENCODING 'UTF8' TEMPLATE template0 LOCALE 'C'",
		fx.database, fx.owner);
	PQfinish(fx.admin);
	fx.admin = must_connect(fx.super);

	CLEANUP(free_ptr) char *migration = read_file("001_initial.sql");

	sql("CREATE SCHEMA tickets AUTHORIZATION %s", fx.owner);
	sql("ALTER DATABASE %s SET search_path = tickets", fx.database);
	sql("SET search_path = tickets");
	sql("SET ROLE %s", fx.owner);
	sql("BEGIN; %s COMMIT", migration);
	sql("RESET ROLE");
	grant();
	return 0;
}

int fixture_teardown(void **state)
{
	(void)state;
	if (!fx.admin)
		return 0;
	PQfinish(fx.admin);
	fx.admin = must_connect(getenv("TICKETPAY_TEST_CONNINFO"));
	sql("DROP DATABASE %s WITH (FORCE)", fx.database);
	sql("DROP ROLE %s", fx.daemon);
	sql("DROP ROLE %s", fx.owner);
	PQfinish(fx.admin);
	return 0;
}

/* ---- cases --------------------------------------------------------------------------------- */

int case_setup(void **state)
{
	sql("TRUNCATE ticket_type, payment, consumer_progress, dead_letter");
	sql("INSERT INTO ticket_type (id, name, total, remaining)"
	    " VALUES (1, 'front', 100, 100), (2, 'back', 3, 3)");
	sql("INSERT INTO consumer_progress (consumer_group, topic, kafka_partition, next_offset,"
	    " published_offset, claimed_by, unclean_claims, state, sought, updated_at)"
	    " SELECT '" GROUP "', '" TOPIC "', p, 0, 0, '', 0, 'running', false, now()"
	    " FROM generate_series(0, 1) p");
	*state = ledger_open("", true);
	return 0;
}

int case_teardown(void **state)
{
	pg_ledger_free(*state);
	return 0;
}

struct pg_ledger *ledger_open_with(
	const char *more, bool prepare, const char *passfile, int64_t connect_ms, struct waker *w)
{
	static char kept[32][900]; /* a ledger borrows its conninfo */
	static int next;
	char *conninfo = kept[next++ % 32];
	struct error err = {0};
	struct pg_ledger *l = NULL;
	struct pg_ledger_config config = {
		.passfile = passfile,
		.prepare = prepare,
		.transaction_timeout_ms = TIMEOUT_MS,
		.connect_timeout_ms = connect_ms,
		.topic = TOPIC,
		.group = GROUP,
		.claimed_by = "test:1/worker-0",
		.waker = w,
	};

	snprintf(conninfo, sizeof(kept[0]), "%s %s", fx.conninfo, more);
	config.conninfo = conninfo;
	if (pg_ledger_open(&config, &l, &err) != RESULT_OK)
		fail_msg("%s", err.text);
	return l;
}

struct pg_ledger *ledger_open(const char *more, bool prepare)
{
	return ledger_open_with(more, prepare, "", 1000, NULL);
}

struct progress claim(struct pg_ledger *l, int32_t partition)
{
	struct progress p = {0};
	struct error err = {0};

	if (pg_ledger_ops.claim(l, partition, &p, &err) != RESULT_OK)
		fail_msg("claim: %s", err.text);
	return p;
}

const char *event(const char *order, const char *key, int type, int quantity)
{
	static char texts[8][300];
	static int next;
	char *text = texts[next++ % 8];

	snprintf(text, sizeof(texts[0]),
		"{\"orderId\":\"%s\",\"paymentKey\":\"%s\",\"amount\":9900,\"ticketTypeId\":%d,"
		"\"memberId\":7,\"quantity\":%d}",
		order, key, type, quantity);
	return text;
}

struct batch *batch_of(const struct progress *p, int32_t partition, int64_t offset, size_t count,
	const char *const *values)
{
	struct batch *b = batch_new(count);
	struct error err = {0};

	assert_non_null(b);
	b->topic = TOPIC;
	b->partition = partition;
	memcpy(b->owner, p->owner, sizeof(b->owner));
	b->expected = p->next_offset;
	b->published = p->published_offset;
	for (size_t i = 0; i < count; i++) {
		struct raw_record raw = {
			.partition = partition,
			.offset = offset + (int64_t)i,
			.timestamp_ms = 1700000000000 + offset + (int64_t)i,
			.value = {values[i], values[i] ? strlen(values[i]) : 0},
		};

		if (batch_append(b, &raw, 65536, &err) != RESULT_OK)
			fail_msg("%s", err.text);
	}
	batch_slice(b, 0, count);
	return b;
}

void batch_done(struct batch *b)
{
	batch_free(b);
}

enum result decide_until_stock(struct pg_ledger *l, struct batch *b, struct error *err)
{
	enum result r = pg_ledger_ops.begin(l, b, err);

	if (r != RESULT_OK)
		return r;
	decide_classify(b);
	batch_stock(b);
	return RESULT_OK;
}

enum result decide_until_commit(struct pg_ledger *l, struct batch *b, struct error *err)
{
	static struct stock_hints hints; /* empty: what is predicted is CONFIRMED */
	enum result r = decide_until_stock(l, b, err);

	if (r == RESULT_OK)
		r = pg_ledger_ops.lock_stock(l, b, err);
	if (r != RESULT_OK)
		return r;
	decide_allocate(b, &hints);
	return pg_ledger_ops.write(l, b, err);
}

enum result decide_all(struct pg_ledger *l, struct batch *b, struct error *err)
{
	enum result r = decide_until_commit(l, b, err);

	return r == RESULT_OK ? pg_ledger_ops.commit(l, b, err) : r;
}

/* ---- faults --------------------------------------------------------------------------------- */

void assert_no_effect(void)
{
	assert_sql("0", "SELECT count(*) FROM (SELECT 1 FROM payment UNION ALL"
			" SELECT 1 FROM dead_letter) t");
	assert_sql("100", "SELECT remaining FROM ticket_type WHERE id = 1");
	assert_sql("0", "SELECT max(next_offset) FROM consumer_progress");
}

void kill_sessions(void)
{
	sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '%s'",
		fixture_daemon());
}

void wait_for_waiter(void)
{
	wait_sql("SELECT count(*) > 0 FROM pg_stat_activity"
		 " WHERE usename = '%s' AND wait_event_type = 'Lock'",
		fixture_daemon());
}

void trigger_create(const char *when, const char *body)
{
	sql("CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS"
	    " $$ BEGIN %s; RETURN NEW; END $$",
		body);
	sql("CREATE TRIGGER fault %s EXECUTE FUNCTION fault()", when);
}

void trigger_drop(void)
{
	sql("DROP FUNCTION fault CASCADE");
}

static void *other_run(void *self)
{
	struct other *o = self;

	o->r = o->call(o->l, o->b, &o->err);
	return NULL;
}

void other_start(struct other *o)
{
	assert_int_equal(pthread_create(&o->thread, NULL, other_run, o), 0);
}

enum result other_end(struct other *o)
{
	pthread_join(o->thread, NULL);
	return o->r;
}
