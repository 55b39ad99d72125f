/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The pessimistic strategy as it is usually written: an event a transaction, a statement a round
 * trip, the daemon's own statements (prepared) over several connections. Without Kafka.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/pg_statements.h"
#include "shares.h"
#include "workload.h"

static const char usage[] = "Usage: one_by_one --conninfo TEXT --events N [OPTION VALUE]...\n"
			    "  book N events, one a transaction, over --connections\n";

struct share {
	const struct workload *w;
	int partition;
	PGconn *conn;
	char partition_text[12], owner[40];
};

static const enum pg_statement_id sequence[] = {PG_BEGIN, PG_SETTINGS, PG_MOVE_PROGRESS,
	PG_INSERT_PAYMENTS, PG_LOCK_STOCK, PG_READ_STOCK, PG_TAKE_STOCK, PG_COMMIT};

static PGresult *checked(PGconn *c, PGresult *res)
{
	ExecStatusType status = PQresultStatus(res);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		die("%s", PQerrorMessage(c));
	return res;
}

static void name_of(enum pg_statement_id id, char ret[8])
{
	snprintf(ret, 8, "s%d", (int)id);
}

/* How many rows it returned or changed. */
static int64_t execute(
	struct share *s, enum pg_statement_id id, int count, const char *const *values)
{
	char name[8];

	name_of(id, name);

	PGresult *res =
		checked(s->conn, PQexecPrepared(s->conn, name, count, values, NULL, NULL, 0));
	int64_t rows = PQntuples(res);

	if (PQresultStatus(res) == PGRES_COMMAND_OK)
		rows = strtoll(PQcmdTuples(res), NULL, 10);
	PQclear(res);
	return rows;
}

/* ---- one event ------------------------------------------------------------------------------- */

/* "{x}", an array of one. */
static const char *one_text(char *room, size_t size, struct bytes b)
{
	snprintf(room, size, "{%.*s}", (int)b.length, b.data);
	return room;
}

static const char *one_number(char *room, size_t size, int64_t value)
{
	snprintf(room, size, "{%lld}", (long long)value);
	return room;
}

static const char *number(char *room, size_t size, int64_t value)
{
	snprintf(room, size, "%lld", (long long)value);
	return room;
}

static void book(struct share *s, int64_t offset)
{
	const struct options *o = s->w->options;
	char room[WORKLOAD_ROOM], id[48], key[48], type[24], member[24], amount[24];
	char at[24], expected[24], next[24];
	struct payment_event e;

	workload_event(s->w, o->first + offset * o->connections + s->partition, room, &e);
	one_number(type, sizeof(type), e.ticket_type_id);

	const char *const settings[] = {"4000", "4000", "4000"};
	const char *const move[] = {o->group, o->topic, s->partition_text, s->owner,
		number(expected, sizeof(expected), offset), number(next, sizeof(next), offset + 1),
		expected, NULL};
	const char *const payment[] = {s->partition_text, one_text(id, sizeof(id), e.order_id),
		one_text(key, sizeof(key), e.payment_key), type,
		one_number(member, sizeof(member), e.member_id), "{1}",
		one_number(amount, sizeof(amount), e.amount_minor), "{CONFIRMED}",
		one_number(at, sizeof(at), offset)};
	const char *const stock[] = {type};
	const char *const taken[] = {type, "{1}"};

	execute(s, PG_BEGIN, 0, NULL);
	execute(s, PG_SETTINGS, 3, settings);
	if (execute(s, PG_MOVE_PROGRESS, 8, move) != 1 ||
		execute(s, PG_INSERT_PAYMENTS, 9, payment) != 1 ||
		execute(s, PG_LOCK_STOCK, 1, stock) != 1 ||
		execute(s, PG_READ_STOCK, 1, stock) != 1 ||
		execute(s, PG_TAKE_STOCK, 2, taken) != 1)
		die("an event was not booked");
	execute(s, PG_COMMIT, 0, NULL);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void open_share(void *share, const struct workload *w, int number)
{
	struct share *s = share;
	const struct options *o = w->options;

	s->w = w;
	s->partition = number;
	s->conn = PQconnectdb(o->conninfo);
	if (PQstatus(s->conn) != CONNECTION_OK)
		die("%s", PQerrorMessage(s->conn));
	for (size_t i = 0; i < sizeof(sequence) / sizeof(sequence[0]); i++) {
		char name[8];

		name_of(sequence[i], name);
		PQclear(checked(s->conn,
			PQprepare(s->conn, name, pg_statements[sequence[i]].sql, 0, NULL)));
	}
	snprintf(s->partition_text, sizeof(s->partition_text), "%d", s->partition);

	const char *const values[] = {o->group, o->topic, s->partition_text};
	PGresult *res = checked(s->conn,
		PQexecParams(s->conn,
			"INSERT INTO consumer_progress (consumer_group, topic, kafka_partition,"
			" next_offset, published_offset, owner, claimed_by, unclean_claims, state,"
			" sought, updated_at) VALUES ($1, $2, $3::int, 0, 0, gen_random_uuid(),"
			" 'bench', 0, 'running', false, now()) RETURNING owner::text",
			3, NULL, values, NULL, NULL, 0));

	snprintf(s->owner, sizeof(s->owner), "%s", PQgetvalue(res, 0, 0));
	PQclear(res);
}

static void work(void *argument)
{
	struct share *s = argument;
	const struct options *o = s->w->options;

	for (int64_t i = 0; i * o->connections + s->partition < o->events; i++)
		book(s, i);
}

static void close_share(void *share)
{
	PQfinish(((struct share *)share)->conn);
}

int main(int argc, char **argv)
{
	static const struct share_kind loop = {.size = sizeof(struct share),
		.open = open_share,
		.work = work,
		.close = close_share};

	return shares_main(argc, argv, usage, &loop);
}
