/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/verify.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "ctl/verify_checks.h"

/* Tens of millions of payments are read a few times; a snapshot that is kept longer hurts vacuum.
 */
enum { VERIFY_BUDGET_MS = 1800000 };

/* ---- the report ------------------------------------------------------------------------------ */

static void print_row(const json_t *row)
{
	const char *key;
	json_t *value;
	const char *separator = "          ";

	json_object_foreach((json_t *)row, key, value)
	{
		CLEANUP(free_ptr) char *text = json_dumps(value, JSON_ENCODE_ANY);

		printf("%s%s %s", separator, key, text ? text : "?");
		separator = ", ";
	}
	putchar('\n');
}

static void print_check(
	const char *name, const char *claim, int64_t checked, int64_t broken, const json_t *rows)
{
	size_t i;
	json_t *row;

	if (broken == 0) {
		printf("ok      %s: %s (%" PRId64 " checked)\n", name, claim, checked);
		return;
	}
	printf("BROKEN  %s: not so for %" PRId64 " of %" PRId64 ": %s\n", name, broken, checked,
		claim);
	json_array_foreach(rows, i, row) print_row(row);
	if (broken > (int64_t)json_array_size(rows))
		printf("          and %" PRId64 " more\n", broken - (int64_t)json_array_size(rows));
}

void report_check(struct report *r, const char *name, const char *claim, int64_t checked,
	int64_t broken, json_t *rows)
{
	CLEANUP(json_decref_ptr) json_t *named = rows ? rows : json_array();

	if (!r->json)
		print_check(name, claim, checked, broken, named);
	r->broken += broken != 0;
	(void)json_array_append_new(r->checks, /* no memory shows as a check that is missing */
		json_pack("{s:s, s:b, s:I, s:I, s:O}", "name", name, "ok", broken == 0, "checked",
			(json_int_t)checked, "broken", (json_int_t)broken, "rows", named));
	fflush(stdout);
}

static bool report_print_json(const struct report *r)
{
	CLEANUP(json_decref_ptr)
	json_t *all = json_pack("{s:b, s:O}", "ok", r->broken == 0, "checks", r->checks);

	if (!all || json_dumpf(all, stdout, JSON_INDENT(1)) != 0)
		return false;
	putchar('\n');
	return true;
}

/* ---- the tables ------------------------------------------------------------------------------ */

/* $1 is named once more: a parameter that a relation does not use has no type. */
#define GIVEN " WHERE $1::text IS NOT NULL"

static char *count_statement(const struct verify_check *first, size_t checks)
{
	char *sql = NULL;
	size_t length;
	FILE *out = open_memstream(&sql, &length);

	if (!out)
		return NULL;
	fputs("SELECT count(*)", out);
	for (size_t i = 0; i < checks; i++)
		fprintf(out, ", count(*) FILTER (WHERE x.%s)", first[i].name);
	fprintf(out, " FROM (%s) x" GIVEN, first->relation->sql);
	if (fclose(out) != 0) {
		free(sql);
		return NULL;
	}
	return sql;
}

/* The rows that break one check, as objects. */
static enum result read_rows(struct db *d, const struct config *config,
	const struct verify_check *check, json_t **ret, struct error *err)
{
	CLEANUP(free_ptr) char *sql = NULL;
	CLEANUP(PQclear_ptr) PGresult *res = NULL;
	CLEANUP(json_decref_ptr) json_t *rows = json_array();
	const char *topic = config->kafka.topic;

	if (asprintf(&sql,
		    "SELECT row_to_json(y) FROM (SELECT %s FROM (%s) x" GIVEN
		    " AND x.%s LIMIT %d) y",
		    check->relation->columns, check->relation->sql, check->name,
		    REPORT_ROWS_MAX) < 0) {
		sql = NULL;
		return fail(err, RESULT_REJECT, 0, "no memory");
	}

	enum result r = db_query(d, sql, 1, &topic, &res, err);

	if (r != RESULT_OK)
		return r;
	for (int i = 0; i < PQntuples(res); i++)
		(void)json_array_append_new(rows, json_loads(PQgetvalue(res, i, 0), 0, NULL));
	*ret = TAKE(rows);
	return RESULT_OK;
}

static size_t checks_of_relation(const struct verify_check *first)
{
	size_t n = 0;

	while (first[n].name && first[n].relation == first->relation)
		n++;
	return n;
}

/*
 * How many rows of the relation there are, and for each of its checks how many break it.
 *
 * ret_broken: `checks` numbers
 */
static enum result count_rows(struct db *d, const struct config *config,
	const struct verify_check *first, size_t checks, int64_t *ret_checked, int64_t *ret_broken,
	struct error *err)
{
	CLEANUP(free_ptr) char *sql = count_statement(first, checks);
	CLEANUP(PQclear_ptr) PGresult *quick = NULL;
	CLEANUP(PQclear_ptr) PGresult *counts = NULL;
	const char *topic = config->kafka.topic;
	enum result r = RESULT_OK;

	if (!sql)
		return fail(err, RESULT_REJECT, 0, "no memory");
	if (first->relation->quick)
		r = db_query(d, first->relation->quick, 1, &topic, &quick, err);
	if (r == RESULT_OK && (!quick || db_int(quick, 0, 1, 0) > 0))
		r = db_query(d, sql, 1, &topic, &counts, err);
	if (r != RESULT_OK)
		return r;

	*ret_checked = db_int(quick ? quick : counts, 0, 0, 0);
	for (size_t i = 0; i < checks; i++)
		ret_broken[i] = counts ? db_int(counts, 0, 1 + (int)i, 0) : 0;
	return RESULT_OK;
}

enum { RELATION_CHECKS_MAX = 8 };

static enum result verify_relation(struct report *report, struct db *d, const struct config *config,
	const struct verify_check *first, size_t checks, struct error *err)
{
	int64_t checked = 0, broken[RELATION_CHECKS_MAX];

	assert(checks <= RELATION_CHECKS_MAX);

	enum result r = count_rows(d, config, first, checks, &checked, broken, err);

	for (size_t i = 0; i < checks && r == RESULT_OK; i++) {
		json_t *rows = NULL;

		if (broken[i])
			r = read_rows(d, config, &first[i], &rows, err);
		if (r == RESULT_OK)
			report_check(
				report, first[i].name, first[i].claim, checked, broken[i], rows);
	}
	return r;
}

static enum result verify_tables(
	struct report *report, struct db *d, const struct config *config, struct error *err)
{
	size_t n;

	for (const struct verify_check *c = verify_checks; c->name; c += n) {
		n = checks_of_relation(c);

		enum result r = verify_relation(report, d, config, c, n, err);

		if (r != RESULT_OK)
			return r;
	}
	return RESULT_OK;
}

/* ---- the verb -------------------------------------------------------------------------------- */

/* Everything that is asked for; a failure after this is of a server. */
static enum result verify_all(const struct ctl *c, struct report *report, struct db *d,
	struct kafka *k, const struct kafka_partitions *before, struct error *err)
{
	CLEANUP(progress_rows_free_ptr) struct progress_rows *rows = NULL;
	enum result r = progress_rows_read(d, c->config, false, &rows, err);

	if (r == RESULT_OK)
		r = verify_tables(report, d, c->config, err);
	if (r == RESULT_OK)
		db_rollback(d);
	if (r == RESULT_OK && before)
		r = verify_kafka(report, c->config, k, before, rows, d, err);
	return r;
}

/* What a server did not answer was not proved: with --json it is a check of its own that fails. */
static enum ctl_exit conclude(struct report *report, enum result asked, const struct error *err)
{
	enum ctl_exit code = report->broken ? CTL_REFUSED : CTL_DONE;
	size_t checks = json_array_size(report->checks);

	if (asked != RESULT_OK && code == CTL_DONE)
		code = ctl_failed(asked, err);
	else if (asked != RESULT_OK)
		(void)ctl_failed(asked, err);

	if (report->json) {
		if (asked != RESULT_OK)
			report_check(report, "all_asked", "every server answered", 1, 1,
				json_pack("[{s:s}]", "cause", err->text));
		return report_print_json(report) ? code : ctl_say(CTL_REFUSED, "no memory");
	}
	if (report->broken)
		printf("%zu of %zu checks are broken\n", report->broken, checks);
	else
		printf("%s %zu checks hold\n", asked == RESULT_OK ? "all" : "only", checks);
	return code;
}

enum ctl_exit verify_run(const struct ctl *c)
{
	CLEANUP(kafka_close_ptr) struct kafka *k = NULL;
	CLEANUP(kafka_partitions_free_ptr) struct kafka_partitions *before = NULL;
	CLEANUP(db_close_ptr) struct db *d = NULL;
	CLEANUP(json_decref_ptr) json_t *checks = json_array();
	struct report report = {.checks = checks, .json = ctl_given(c, OPTION_JSON)};
	struct error err, kafka_err;
	enum result asked = RESULT_OK;

	/* Committed offsets first: they follow what the rows say. */
	if (ctl_given(c, OPTION_KAFKA)) {
		asked = kafka_open(c->config, &k, &kafka_err);
		if (asked == RESULT_FATAL)
			return ctl_failed(asked, &kafka_err);
		if (asked == RESULT_OK)
			asked = kafka_read(k, &before, &kafka_err);
	}

	enum ctl_exit code = db_start(c->config, DB_SNAPSHOT, VERIFY_BUDGET_MS, &d);

	if (code != CTL_DONE)
		return code;

	enum result r = verify_all(c, &report, d, k, before, &err);

	if (r == RESULT_OK && asked != RESULT_OK) {
		r = asked;
		err = kafka_err;
	}
	return conclude(&report, r, &err);
}
