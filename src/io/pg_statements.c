/* SPDX-License-Identifier: Apache-2.0 */
#include "io/pg_statements.h"

/*
 * PostgreSQL infers the parameters' types from the casts. Arrays come apart in unnest(), side by
 * side.
 *
 * Joins go through unnest() and an index: see plan_cache_mode in PG_SETTINGS. `= ANY` was measured
 * to be 5 times slower on the stock rows under contention.
 */

/* One row of consumer_progress: $1 to $3. */
#define THIS_ROW " WHERE consumer_group = $1 AND topic = $2 AND kafka_partition = $3"
#define THIS_ROW_OURS THIS_ROW " AND owner = $4::uuid"

#define STATEMENT(id_, what_, ...) [id_] = {.id = id_, .what = what_, .sql = __VA_ARGS__}

const struct pg_statement pg_statements[PG_STATEMENT_COUNT] = {
	/* Said in full: the role's defaults (read only, repeatable read) reach a plain BEGIN. */
	STATEMENT(
		PG_BEGIN, "begin a transaction", "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"),

	/*
	 * For this transaction only, so that a pooler may give the session to others after it.
	 * synchronous_commit: a commit that we tell of must be on disk; stronger settings stay.
	 * plan_cache_mode: a planner that sees 5000 array elements may prefer to read the whole
	 * table.
	 */
	STATEMENT(PG_SETTINGS, "begin a transaction",
		"SELECT set_config('synchronous_commit',"
		" CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on'"
		" ELSE current_setting('synchronous_commit') END, true),"
		" set_config('lock_timeout', $1, true),"
		" set_config('statement_timeout', $2, true),"
		" set_config('idle_in_transaction_session_timeout', $3, true),"
		" set_config('plan_cache_mode', 'force_generic_plan', true)"),

	STATEMENT(PG_TIMEOUTS, "set the timeouts",
		"SELECT set_config('lock_timeout', $1, true),"
		" set_config('statement_timeout', $2, true)"),

	STATEMENT(PG_COMMIT, "commit", "COMMIT"),

	STATEMENT(PG_MOVE_PROGRESS, "move the partition's progress",
		"UPDATE consumer_progress SET next_offset = $6,"
		" published_offset = greatest(published_offset, $7), last_record_at = $8,"
		" unclean_claims = 0, updated_at = now()" THIS_ROW_OURS
		" AND next_offset = $5 AND state = 'running' RETURNING now()"),

	/* An order id that exists makes the whole COPY fail: behind the savepoint the batch begins
	 * again with the insert. */
	STATEMENT(PG_SAVEPOINT, "set a savepoint", "SAVEPOINT payments"),
	STATEMENT(PG_ROLLBACK_TO, "go back to the savepoint", "ROLLBACK TO SAVEPOINT payments"),
	STATEMENT(PG_COPY_PAYMENTS, "copy payments",
		"COPY payment (order_id, payment_key, ticket_type_id, member_id, quantity, amount,"
		" status, kafka_partition, kafka_offset) FROM STDIN (FORMAT binary)"),

	/* In the order of the arrays, by order id: partitions with the same orders cannot deadlock.
	 */
	STATEMENT(PG_INSERT_PAYMENTS, "insert payments",
		"INSERT INTO payment (order_id, payment_key, ticket_type_id, member_id, quantity,"
		" amount, status, kafka_partition, kafka_offset)"
		" SELECT w.order_id, w.payment_key, w.ticket_type_id, w.member_id, w.quantity,"
		" w.amount, w.status, $1::int, w.kafka_offset"
		" FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::int[],"
		" $7::bigint[], $8::text[], $9::bigint[])"
		" AS w(order_id, payment_key, ticket_type_id, member_id, quantity, amount, status,"
		" kafka_offset)"
		" ON CONFLICT (order_id) DO NOTHING RETURNING kafka_offset"),

	/* The same key again is the same record. */
	STATEMENT(PG_INSERT_LETTERS, "insert dead letters",
		"INSERT INTO dead_letter (topic, kafka_partition, kafka_offset, record_timestamp,"
		" reason, detail, order_id, record_key, value, value_bytes, headers, state, parked_at)"
		" SELECT $1::text, $2::int, w.kafka_offset, w.record_timestamp, w.reason, w.detail,"
		" w.order_id, w.record_key, w.value, w.value_bytes, w.headers, 'parked', now()"
		" FROM unnest($3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[],"
		" $8::bytea[], $9::bytea[], $10::bigint[], $11::bytea[])"
		" AS w(kafka_offset, record_timestamp, reason, detail, order_id, record_key, value,"
		" value_bytes, headers)"
		" ON CONFLICT DO NOTHING"),

	STATEMENT(PG_READ_PAYMENTS, "read payments",
		"SELECT w.n, p.payment_key, p.ticket_type_id, p.member_id, p.quantity, p.amount,"
		" p.status, p.kafka_partition, p.kafka_offset, p.decided_at"
		" FROM unnest($1::text[]) WITH ORDINALITY AS w(order_id, n)"
		" JOIN payment p ON p.order_id = w.order_id"),

	/* Lock here, read in the next statement: this one's snapshot is older than its locks. */
	STATEMENT(PG_LOCK_STOCK, "lock the stock",
		"SELECT t.id FROM unnest($1::bigint[]) AS w(id) JOIN ticket_type t ON t.id = w.id"
		" ORDER BY t.id FOR NO KEY UPDATE OF t"),
	STATEMENT(PG_READ_STOCK, "read the stock",
		"SELECT t.id, t.remaining FROM unnest($1::bigint[]) AS w(id)"
		" JOIN ticket_type t ON t.id = w.id ORDER BY t.id"),
	STATEMENT(PG_TAKE_STOCK, "take from the stock",
		"UPDATE ticket_type t SET remaining = t.remaining - w.taken"
		" FROM unnest($1::bigint[], $2::bigint[]) AS w(id, taken) WHERE t.id = w.id"),
	/* Sent before it is decided, so it may be too much: then nothing of that type is taken. */
	STATEMENT(PG_GUESS_STOCK, "take from the stock",
		"UPDATE ticket_type t SET remaining = t.remaining - w.taken"
		" FROM unnest($1::bigint[], $2::bigint[]) AS w(id, taken)"
		" WHERE t.id = w.id AND t.remaining >= w.taken RETURNING t.id"),
	STATEMENT(PG_SET_STATUS, "correct payments' status",
		"UPDATE payment p SET status = w.status"
		" FROM unnest($1::text[], $2::text[]) AS w(order_id, status)"
		" WHERE p.order_id = w.order_id"),

	/* A stopped row is looked at every second: that must not count as a claim. */
	STATEMENT(PG_CLAIM, "claim the partition",
		"UPDATE consumer_progress SET owner = gen_random_uuid(), claimed_by = $4,"
		" unclean_claims = CASE WHEN owner IS NULL THEN 0 ELSE unclean_claims + 1 END,"
		" updated_at = now()" THIS_ROW " AND state = 'running'"),
	STATEMENT(PG_READ_PROGRESS, "read the partition's progress",
		"SELECT owner::text, next_offset, published_offset, state = 'stopped',"
		" stopped_reason, sought, last_record_at, unclean_claims"
		" FROM consumer_progress" THIS_ROW),
	STATEMENT(PG_LOCK_PROGRESS, "lock the partition's progress",
		"SELECT coalesce(owner = $4::uuid, false), next_offset"
		" FROM consumer_progress" THIS_ROW " FOR UPDATE"),
	STATEMENT(PG_GROUP_EXISTS, "read the group's progress",
		"SELECT EXISTS (SELECT FROM consumer_progress"
		" WHERE consumer_group = $1 AND topic = $2)"),

	STATEMENT(PG_LOCK_GROUP, "lock the group",
		"SELECT pg_advisory_xact_lock(hashtextextended($1::text || E'\\n' || $2::text, 0))"),
	STATEMENT(PG_CREATE_PROGRESS, "create progress rows",
		"INSERT INTO consumer_progress (consumer_group, topic, kafka_partition, next_offset,"
		" published_offset, claimed_by, unclean_claims, state, sought, updated_at)"
		" SELECT $1::text, $2::text, w.kafka_partition, w.start, w.start, '', 0, 'running',"
		" false, now()"
		" FROM unnest($3::int[], $4::bigint[]) AS w(kafka_partition, start)"
		" ON CONFLICT DO NOTHING"),

	STATEMENT(PG_CLEAR_SOUGHT, "clear the partition's seek",
		"UPDATE consumer_progress SET sought = false, updated_at = now()" THIS_ROW_OURS),
	/* Below what is decided: else this database is older than we (restored), and we begin anew
	 * where it stands. Who gets here lives and has nothing to decide: no kill is to blame on
	 * it. */
	STATEMENT(PG_PUBLISH_PROGRESS, "write what is published",
		"UPDATE consumer_progress SET published_offset = greatest(published_offset, $5),"
		" unclean_claims = 0, updated_at = now()" THIS_ROW_OURS " AND next_offset >= $5"),
	STATEMENT(PG_RELEASE, "release the partition",
		"UPDATE consumer_progress SET"
		" published_offset = greatest(published_offset, least($5, next_offset)),"
		" owner = NULL, updated_at = now()" THIS_ROW_OURS),
	STATEMENT(PG_STOP, "stop the partition",
		"UPDATE consumer_progress SET state = 'stopped', stopped_reason = $5, owner = NULL,"
		" updated_at = now()" THIS_ROW_OURS),

	STATEMENT(PG_READ_LETTERS, "read dead letters",
		"SELECT kafka_offset, reason, parked_at, record_timestamp FROM dead_letter"
		" WHERE topic = $1 AND kafka_partition = $2 AND kafka_offset BETWEEN $3 AND $4"
		" ORDER BY kafka_offset"),
};
