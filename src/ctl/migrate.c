/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/migrations.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/db.h"

/* A later migration may rewrite a large table; its locks are not waited for nearly as long. */
enum { MIGRATE_BUDGET_MS = 3600000 };

struct schema {
	char name[64];   /* the first of the search path: where the tables are, or will be */
	int64_t version; /* 0: no tables yet */
};

static enum result read_version(struct db *d, struct schema *s, struct error *err)
{
	CLEANUP(PQclear_ptr) PGresult *r = NULL;
	enum result done = db_query(d, "SELECT max(version) FROM schema_version", 0, NULL, &r, err);

	if (done == RESULT_OK)
		s->version = db_int(r, 0, 0, 0);
	return done;
}

/* Where are we, and may we work here at all? */
static enum result read_schema(struct db *d, struct schema *ret, struct error *err)
{
	CLEANUP(PQclear_ptr) PGresult *r = NULL;
	enum result done = db_query(d,
		"SELECT current_setting('server_encoding'), current_schema(),"
		" to_regclass(quote_ident(current_schema()) || '.schema_version')",
		0, NULL, &r, err);

	if (done != RESULT_OK)
		return done;
	if (strcmp(PQgetvalue(r, 0, 0), "UTF8") != 0)
		return fail(err, RESULT_REJECT, 0,
			"the database's encoding is %s: it must be UTF8 (create a new database)",
			PQgetvalue(r, 0, 0));
	if (PQgetisnull(r, 0, 1))
		return fail(err, RESULT_REJECT, 0, "no schema of the search path exists");

	*ret = (struct schema){.version = 0};
	snprintf(ret->name, sizeof(ret->name), "%s", PQgetvalue(r, 0, 1));
	return PQgetisnull(r, 0, 2) ? RESULT_OK : read_version(d, ret, err);
}

static enum result check_not_newer(const struct schema *s, struct error *err)
{
	int64_t known = 0;

	for (const struct migration *m = migrations; m->version; m++)
		known = m->version;
	if (s->version <= known)
		return RESULT_OK;
	return fail(err, RESULT_REJECT, 0,
		"schema %s is version %" PRId64 ", this program knows %" PRId64
		": use the newer program",
		s->name, s->version, known);
}

static const struct migration *next_migration(const struct schema *s)
{
	const struct migration *m = migrations;

	while (m->version && m->version <= s->version)
		m++;
	return m->version ? m : NULL;
}

static enum ctl_exit plan(struct db *d)
{
	struct schema s;
	struct error err;
	enum result r = db_begin(d, DB_SNAPSHOT, 10000, &err);

	if (r == RESULT_OK)
		r = read_schema(d, &s, &err);
	if (r == RESULT_OK)
		r = check_not_newer(&s, &err);
	if (r != RESULT_OK)
		return ctl_failed(r, &err);

	const struct migration *m = next_migration(&s);

	printf("schema %s is version %" PRId64 "%s\n", s.name, s.version,
		m ? "; to be applied:" : ": nothing to do");
	if (!m)
		return CTL_DONE;
	for (; m->version; m++)
		printf("  %d %s\n", m->version, m->name);
	puts("run ticketpayctl migrate --apply as the owner of the tables, then sql/grants.sql");
	return CTL_DONE;
}

/*
 * One migration in a transaction of its own. Two of us at once queue at the lock, and the second
 * finds the work done.
 *
 * ret_done: nothing was left to do
 */
static enum result apply_next(struct db *d, bool *ret_done, struct error *err)
{
	struct schema s;
	enum result r = db_begin(d, DB_WRITE, MIGRATE_BUDGET_MS, err);

	if (r == RESULT_OK)
		r = db_script(d,
			"SET LOCAL lock_timeout = '10s';"
			" SELECT pg_advisory_xact_lock(hashtextextended('ticketpayctl migrate', 0))",
			err);
	if (r == RESULT_OK)
		r = read_schema(d, &s, err);
	if (r == RESULT_OK)
		r = check_not_newer(&s, err);
	if (r != RESULT_OK)
		return r;

	const struct migration *m = next_migration(&s);

	*ret_done = !m;
	if (!m) {
		printf("schema %s is version %" PRId64 "\n", s.name, s.version);
		db_rollback(d);
		return RESULT_OK;
	}

	r = db_script(d, m->sql, err);
	if (r == RESULT_OK)
		r = db_commit(d, err);
	if (r == RESULT_OK)
		printf("applied %d %s\n", m->version, m->name);
	return r;
}

static enum ctl_exit apply(struct db *d)
{
	bool done = false;

	while (!done) {
		struct error err;
		enum result r = apply_next(d, &done, &err);

		if (r != RESULT_OK)
			return ctl_failed(r, &err);
	}
	return CTL_DONE;
}

enum ctl_exit migrate_run(const struct ctl *c)
{
	CLEANUP(db_close_ptr) struct db *d = NULL;

	if (ctl_given(c, OPTION_PLAN) && ctl_given(c, OPTION_APPLY))
		return ctl_say(CTL_USAGE, "--plan or --apply, not both");

	enum ctl_exit code = db_open(c->config, &d);

	if (code != CTL_DONE)
		return code;
	return ctl_given(c, OPTION_APPLY) ? apply(d) : plan(d);
}
