/* SPDX-License-Identifier: Apache-2.0 */
#include "io/pg_error.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static bool in_class(const char *sqlstate, const char *class)
{
	return strncmp(sqlstate, class, 2) == 0;
}

bool pg_error_is_prepared(const char *sqlstate)
{
	return !strcmp(sqlstate, "26000") || !strcmp(sqlstate, "42P05");
}

bool pg_error_is_environment(const char *sqlstate)
{
	return in_class(sqlstate, "28") || in_class(sqlstate, "3D") ||
	       (in_class(sqlstate, "42") && !pg_error_is_prepared(sqlstate));
}

bool pg_error_is_data(const char *sqlstate)
{
	return in_class(sqlstate, "22") || in_class(sqlstate, "23");
}

bool pg_error_spoils_session(const char *sqlstate)
{
	/* 0A is also "cached plan must not change result type", which lasts as long as the plan. */
	static const char classes[][3] = {"08", "0A", "25", "57", "58", "XX"};

	if (!strcmp(sqlstate, "57014"))
		return false; /* a timeout: only the statement is gone */
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		if (in_class(sqlstate, classes[i]))
			return true;
	}
	return pg_error_is_prepared(sqlstate);
}

bool pg_error_ends_session(const PGresult *res)
{
	const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);

	return severity && (!strcmp(severity, "FATAL") || !strcmp(severity, "PANIC"));
}

void pg_error_first_line(const char *text, char *ret, size_t size)
{
	snprintf(ret, size, "%.*s", (int)strcspn(text, "\n"), text);
}

/* What to do about it; what heals by itself needs no words. */
static const char *cure(const char *sqlstate)
{
	if (!strcmp(sqlstate, "42501"))
		return "; the owner of the tables runs: psql -v daemon=ROLE -f grants.sql";
	if (in_class(sqlstate, "28"))
		return "; check user, password file and pg_hba.conf";
	if (in_class(sqlstate, "3D"))
		return "; create the database or correct database.conninfo";
	if (pg_error_is_environment(sqlstate))
		return "; run ticketpayctl migrate --apply, or check the role's search_path";
	return "";
}

/* Server texts of these classes quote data, or are written by a trigger: the payload stays out. */
static bool text_may_quote_data(const char *sqlstate)
{
	return pg_error_is_data(sqlstate) || in_class(sqlstate, "P0");
}

static void describe_refusal(const PGresult *res, char *ret, size_t size)
{
	const char *constraint = PQresultErrorField(res, PG_DIAG_CONSTRAINT_NAME);
	const char *table = PQresultErrorField(res, PG_DIAG_TABLE_NAME);
	const char *column = PQresultErrorField(res, PG_DIAG_COLUMN_NAME);

	if (constraint)
		snprintf(ret, size, "refused by constraint %s of table %s", constraint,
			table ? table : "?");
	else if (column)
		snprintf(ret, size, "refused for column %s of table %s", column,
			table ? table : "?");
	else
		snprintf(ret, size, "refused, the server's log says why");
}

enum result pg_error_of_result(const PGresult *res, const char *what, struct error *err)
{
	const char *sqlstate = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *primary = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	char text[160];

	if (!sqlstate) /* made by libpq itself */
		sqlstate = "";
	if (text_may_quote_data(sqlstate))
		describe_refusal(res, text, sizeof(text));
	else
		pg_error_first_line(
			primary ? primary : PQresultErrorMessage(res), text, sizeof(text));

	fail(err, RESULT_RETRY, 0, "PostgreSQL cannot %s: %s%s%s%s%s", what, text,
		*sqlstate ? " (" : "", sqlstate, *sqlstate ? ")" : "", cure(sqlstate));
	if (err)
		snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", sqlstate);
	return RESULT_RETRY;
}

/*
 * The SQLSTATE of a verbose message: "SEVERITY:  28P01: text", the severity perhaps translated. Of
 * several hosts the last one tried counts, and only if its line has one.
 */
static bool find_sqlstate(const char *line, char ret[6])
{
	const char *p = strstr(line, ":  ");

	if (!p)
		return false;
	p += 3;
	for (int i = 0; i < 5; i++) {
		if (!isupper((unsigned char)p[i]) && !isdigit((unsigned char)p[i]))
			return false;
	}
	if (p[5] != ':')
		return false;
	memcpy(ret, p, 5);
	ret[5] = '\0';
	return true;
}

enum result pg_error_of_connect(PGconn *conn, struct error *err)
{
	static const char start[] = "connection to server";
	const char *message = PQerrorMessage(conn);
	char sqlstate[6] = "", text[200] = "";
	size_t used = 0;

	/* One line a host; what follows it (LOCATION, "Is the server running...") is left out. */
	for (const char *line = message; *line && used + 1 < sizeof(text);) {
		char one[160];

		pg_error_first_line(line, one, sizeof(one));
		if (line == message || !strncmp(line, start, sizeof(start) - 1)) {
			int n = snprintf(
				text + used, sizeof(text) - used, "%s%s", used ? "; " : "", one);

			used += n > 0 ? (size_t)n : 0;
			if (!find_sqlstate(one, sqlstate))
				sqlstate[0] = '\0';
		}
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	if (PQconnectionNeedsPassword(conn))
		memcpy(sqlstate, "28P01", sizeof(sqlstate));

	fail(err, RESULT_RETRY, 0, "%s%s", text, cure(sqlstate));
	/* "starting up" and "too many clients" are as good as no server: nothing but time helps. */
	if (err && pg_error_is_environment(sqlstate))
		snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", sqlstate);
	return RESULT_RETRY;
}

enum result pg_error_of_loss(PGconn *conn, const char *what, struct error *err)
{
	char text[160];

	pg_error_first_line(PQerrorMessage(conn), text, sizeof(text));
	return fail(err, RESULT_RETRY, 0, "PostgreSQL cannot %s: %s", what,
		*text ? text : "the connection was lost");
}
