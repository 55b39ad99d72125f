/* SPDX-License-Identifier: Apache-2.0 */
#include "pg_fixture.h"

#include <stdio.h>

/* What the ledger writes and reads when all is well. */

/* Uses the `err` of the case. */
#define OK(call) assert_result(RESULT_OK, call, &err)

static const char *const no_record = NULL;

/* ---- claims -------------------------------------------------------------------------------- */

static void a_partition_without_a_row_is_not_claimed(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = {.exists = true};
	struct error err = {0};

	OK(pg_ledger_ops.claim(l, 9, &p, &err));
	assert_false(p.exists);
	assert_true(p.group_exists);
	sql("TRUNCATE consumer_progress");
	OK(pg_ledger_ops.claim(l, 0, &p, &err));
	assert_false(p.group_exists);
	assert_sql("0", "SELECT count(*) FROM consumer_progress");
}

static void each_claim_has_its_own_owner_and_counts_the_unclean_ones(void **state)
{
	struct pg_ledger *l = *state;
	struct progress a = claim(l, 0), b = claim(l, 0), c;
	struct error err = {0};

	assert_int_equal(strlen(a.owner), 36);
	assert_string_not_equal(a.owner, b.owner);
	assert_int_equal(a.unclean_claims, 0);
	assert_int_equal(b.unclean_claims, 1);
	assert_int_equal(b.last_record_at_ms, -1);
	assert_sql(b.owner, "SELECT owner FROM consumer_progress WHERE kafka_partition = 0");
	assert_sql("test:1/worker-0",
		"SELECT claimed_by FROM consumer_progress WHERE kafka_partition = 0");

	OK(pg_ledger_ops.release(l, 0, b.owner, 0, &err));
	c = claim(l, 0);
	assert_int_equal(c.unclean_claims, 0);
}

static void a_stopped_row_is_shown_and_not_claimed(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0), again;
	struct error err = {0};

	OK(pg_ledger_ops.stop(l, 0, p.owner, "601 of 1000 refused \xc3", &err));
	again = claim(l, 0);
	assert_true(again.exists);
	assert_true(again.stopped);
	assert_string_equal(again.stopped_reason, "601 of 1000 refused ?");
	assert_string_equal(again.owner, "");
	again = claim(l, 0);
	assert_sql("t", "SELECT owner IS NULL AND unclean_claims = 0"
			" FROM consumer_progress WHERE kafka_partition = 0");
	assert_result(RESULT_FENCED, pg_ledger_ops.publish_progress(l, 0, p.owner, 5, &err), &err);

	sql("UPDATE consumer_progress SET state = 'running', stopped_reason = NULL");
	again = claim(l, 0);
	assert_false(again.stopped);
	assert_int_equal(again.unclean_claims, 0);
}

static void only_the_owner_changes_a_row(void **state)
{
	static const char other[] = "00000000-0000-4000-8000-000000000000";
	struct pg_ledger *l = *state;
	struct progress p;
	struct error err = {0};

	sql("UPDATE consumer_progress SET next_offset = 9, published_offset = 4, sought = true");
	p = claim(l, 1);
	assert_true(p.sought);
	assert_int_equal(p.next_offset, 9);
	assert_int_equal(p.published_offset, 4);
	assert_int_equal(pg_ledger_ops.publish_progress(l, 1, other, 6, &err), RESULT_FENCED);
	assert_int_equal(pg_ledger_ops.clear_sought(l, 1, other, &err), RESULT_FENCED);
	assert_int_equal(pg_ledger_ops.stop(l, 1, other, "x", &err), RESULT_FENCED);
	OK(pg_ledger_ops.release(l, 1, other, 6, &err));
	assert_sql("4", "SELECT published_offset FROM consumer_progress"
			" WHERE kafka_partition = 1 AND sought AND owner IS NOT NULL"
			" AND state = 'running'");

	OK(pg_ledger_ops.clear_sought(l, 1, p.owner, &err));
	OK(pg_ledger_ops.publish_progress(l, 1, p.owner, 6, &err));
	OK(pg_ledger_ops.publish_progress(l, 1, p.owner, 5, &err));
	assert_sql("6", "SELECT published_offset FROM consumer_progress"
			" WHERE kafka_partition = 1 AND NOT sought");
}

static void create_leaves_rows_that_exist_alone(void **state)
{
	struct pg_ledger *l = *state;
	const struct position starts[] = {{1, 77}, {2, 40}, {3, 0}};
	struct error err = {0};
	struct progress p;

	OK(pg_ledger_ops.create(l, starts, 3, &err));
	assert_sql("4", "SELECT count(*) FROM consumer_progress");
	assert_sql("0", "SELECT next_offset FROM consumer_progress WHERE kafka_partition = 1");
	assert_sql("t", "SELECT owner IS NULL AND state = 'running' AND NOT sought"
			" FROM consumer_progress WHERE kafka_partition = 2");
	p = claim(l, 2);
	assert_int_equal(p.next_offset, 40);
	assert_int_equal(p.published_offset, 40);
	assert_int_equal(p.unclean_claims, 0);
}

/* ---- a batch ------------------------------------------------------------------------------- */

static void a_batch_is_decided_in_one_transaction(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr)
	struct batch *b = BATCH(&p, 0, 0, event("o-b", "k", 1, 2),
		event("o-a", "k", 2, 4), /* over the stock of 3 */
		event("o-c", "k", 2, 3), event("o-d", "k", 99, 1), "{\"orderId\":\"bad\"",
		no_record, event("o-b", "k", 1, 2) /* again */,
		event("o-b", "k", 1, 3) /* other content */);

	p = claim(l, 0); /* so that there is an unclean claim to reset */
	memcpy(b->owner, p.owner, sizeof(b->owner));
	OK(decide_all(l, b, &err));
	assert_sql("o-a SOLD_OUT 1,o-b CONFIRMED 0,o-c CONFIRMED 2,o-d UNKNOWN_TICKET_TYPE 3",
		"SELECT string_agg(order_id || ' ' || status || ' ' || kafka_offset, ','"
		" ORDER BY order_id) FROM payment");
	assert_sql("98,0", "SELECT string_agg(remaining::text, ',' ORDER BY id) FROM ticket_type");
	assert_sql("t", "SELECT next_offset = 8 AND published_offset = 0 AND unclean_claims = 0"
			" AND last_record_at = to_timestamp(1700000000.007)"
			" FROM consumer_progress WHERE kafka_partition = 0");
	assert_sql("4 BAD_JSON,5 EMPTY_VALUE,7 ORDER_CONFLICT",
		"SELECT string_agg(kafka_offset || ' ' || reason, ',' ORDER BY kafka_offset)"
		" FROM dead_letter");
	assert_sql("orderId stands with other content since partition 0 offset 0",
		"SELECT detail FROM dead_letter WHERE reason = 'ORDER_CONFLICT'");
	assert_int_equal(batch_record(b, 6)->verdict, VERDICT_DUPLICATE);

	/* One clock for all, and the one that was read back. */
	assert_sql("1", "SELECT count(DISTINCT d) FROM (SELECT decided_at FROM payment"
			" UNION ALL SELECT parked_at FROM dead_letter) AS t(d)");
	assert_sql("t",
		"SELECT (extract(epoch FROM decided_at) * 1000000)::bigint = %lld"
		" FROM payment LIMIT 1",
		(long long)b->decided_at_us);
}

static void a_letter_keeps_every_byte(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = batch_new(2);
	struct raw_record raw = {
		.offset = 5,
		.timestamp_ms = -1,
		.key = BYTES_LITERAL("k\0\xff"),
		.value = BYTES_LITERAL("{\"orderId\":\"o-1\",\"paymentKey\":\"\0\"}"),
		.headers = BYTES_LITERAL("\2\0h"),
	};

	b->topic = TOPIC;
	memcpy(b->owner, p.owner, sizeof(b->owner));
	OK(batch_append(b, &raw, 20, &err)); /* TOO_LARGE: cut, and its length kept */
	raw = (struct raw_record){.offset = 6, .timestamp_ms = INT64_MAX}; /* a tombstone */
	OK(batch_append(b, &raw, 20, &err));
	batch_slice(b, 0, 2);
	OK(decide_all(l, b, &err));
	assert_sql("6b00ff 020068 20 -1 parked TOO_LARGE",
		"SELECT concat_ws(' ', encode(record_key, 'hex'), encode(headers, 'hex'),"
		" length(value), record_timestamp, state, reason)"
		" FROM dead_letter WHERE kafka_offset = 5 AND value_bytes = %zu",
		sizeof("{\"orderId\":\"o-1\",\"paymentKey\":\"\0\"}") - 1);
	assert_sql("t", "SELECT record_key IS NULL AND headers IS NULL AND order_id IS NULL"
			" AND value = '' AND value_bytes = 0 AND resolved_at IS NULL"
			" FROM dead_letter WHERE kafka_offset = 6");
	/* A timestamp beyond timestamptz is none: it must not hold the partition up. */
	assert_sql(
		"t", "SELECT last_record_at IS NULL FROM consumer_progress WHERE next_offset = 7");
}

static void a_letter_names_the_order_if_it_could_be_read(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 0));

	OK(decide_all(l, b, &err));
	assert_sql("o-1 BAD_FIELD",
		"SELECT order_id || ' ' || reason FROM dead_letter WHERE detail LIKE 'quantity%%'");
}

/* A topic that was made anew has other records at the same offsets. */
static void a_letter_of_an_older_topic_is_in_no_ones_way(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, "x", "y");

	sql("INSERT INTO dead_letter (topic, kafka_partition, kafka_offset, record_timestamp, reason,"
	    " detail, value, value_bytes, state, parked_at)"
	    " SELECT '" TOPIC "', 0, o, 1600000000000, 'TOO_LARGE', '', '', 0, 'parked', 'epoch'"
	    " FROM generate_series(0, 1) o");
	b->replay = true;
	OK(pg_ledger_ops.lookup(l, b, &err));
	assert_int_equal(batch_record(b, 0)->verdict, VERDICT_SILENT);
	batch_slice(b, 0, 1);
	b->replay = false;
	OK(decide_all(l, b, &err));
	assert_sql("BAD_JSON TOO_LARGE", "SELECT string_agg(reason, ' ' ORDER BY reason)"
					 " FROM dead_letter WHERE kafka_offset = 0");
	batch_slice(b, 0, 2);
	OK(pg_ledger_ops.lookup(l, b, &err));
	assert_int_equal(batch_record(b, 0)->verdict, VERDICT_REFUSED);
	assert_true(batch_record(b, 0)->decided_at_us > 0); /* not the epoch of the other letter */
	assert_int_equal(batch_record(b, 1)->verdict, VERDICT_SILENT);
}

/* An operator sought back over it: its outcome is told the same once more. */
static void a_record_parked_before_keeps_the_time_of_its_letter(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr)
	struct batch *b = BATCH(&p, 0, 0, "x", event("o-1", "k", 1, 1), "y");

	batch_slice(b, 0, 2);
	OK(decide_all(l, b, &err));
	sql("UPDATE dead_letter SET parked_at = 'epoch'::timestamptz + interval '5 s'");
	sql("UPDATE consumer_progress SET next_offset = 0");
	batch_slice(b, 0, 3);
	OK(decide_all(l, b, &err));
	assert_int_equal(batch_record(b, 0)->decided_at_us, 5000000);
	assert_int_equal(batch_record(b, 2)->decided_at_us, b->decided_at_us);
	assert_sql("2", "SELECT count(*) FROM dead_letter");
}

static void what_existed_is_marked_and_read(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr)
	struct batch *first =
		BATCH(&p, 0, 0, event("o-2", "first-key", 1, 2), event("o-4", "k", 2, 9));

	OK(decide_all(l, first, &err));
	p = claim(l, 1);

	CLEANUP(batch_done_ptr)
	struct batch *b = BATCH(&p, 1, 0, event("o-5", "k", 1, 1), event("o-4", "k", 2, 9),
		event("o-3", "k", 1, 1), event("o-2", "other-key", 1, 2), event("o-1", "k", 1, 1));

	OK(decide_all(l, b, &err));
	assert_int_equal(batch_record(b, 0)->verdict, VERDICT_FRESH);
	assert_int_equal(batch_record(b, 1)->verdict, VERDICT_DUPLICATE);
	assert_int_equal(batch_record(b, 1)->status, PAYMENT_SOLD_OUT);
	assert_int_equal(batch_record(b, 1)->decided_at_us, first->decided_at_us);
	assert_int_equal(batch_record(b, 2)->verdict, VERDICT_FRESH);
	assert_int_equal(batch_record(b, 3)->verdict, VERDICT_CONFLICT);
	assert_true(bytes_equal(batch_record(b, 3)->first_payment_key, BYTES_LITERAL("first-key")));
	assert_int_equal(batch_record(b, 4)->verdict, VERDICT_FRESH);
	assert_sql("95", "SELECT remaining FROM ticket_type WHERE id = 1");
	assert_sql("orderId stands with other content since partition 0 offset 0 o-2",
		"SELECT detail || ' ' || order_id FROM dead_letter WHERE kafka_offset = 3");

	const struct payment_row *row = batch_row(b, &b->candidates[1]);

	assert_true(b->candidates[1].exists);
	assert_int_equal(row->offset, 0);
	assert_int_equal(row->partition, 0);
	assert_int_equal(row->event.amount_minor, 9900);
	assert_int_equal(row->event.member_id, 7);
	assert_int_equal(row->event.quantity, 2);
}

static void the_same_slice_again_changes_nothing_but_progress(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr)
	struct batch *b =
		BATCH(&p, 0, 0, event("o-1", "k", 1, 1), "nonsense", event("o-1", "other", 1, 1));

	OK(decide_all(l, b, &err));
	sql("CREATE TEMP TABLE before AS SELECT xmin::text AS x, order_id FROM payment"
	    " UNION ALL SELECT xmin::text, kafka_offset::text FROM dead_letter"
	    " UNION ALL SELECT xmin::text, id::text FROM ticket_type");
	sql("UPDATE consumer_progress SET next_offset = 0, published_offset = 0");
	batch_slice(b, 0, 3);
	OK(decide_all(l, b, &err));
	assert_sql("0",
		"SELECT count(*) FROM (SELECT xmin::text AS x, order_id FROM payment"
		" UNION ALL SELECT xmin::text, kafka_offset::text FROM dead_letter"
		" UNION ALL SELECT xmin::text, id::text FROM ticket_type EXCEPT TABLE before) t");
	sql("DROP TABLE before");
	assert_sql("3", "SELECT next_offset FROM consumer_progress WHERE kafka_partition = 0");
	assert_int_equal(batch_record(b, 0)->verdict, VERDICT_FRESH); /* its own row */
}

static void a_batch_of_letters_needs_no_stock(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, "x");

	OK(decide_all(l, b, &err));
	assert_sql("1", "SELECT count(*) FROM dead_letter");
}

static void an_aborted_batch_leaves_no_trace_and_no_lock(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr)
	struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 1), "nonsense");

	OK(decide_until_commit(l, b, &err));
	pg_ledger_ops.abort(l);
	pg_ledger_ops.abort(l);
	/* Without another call into the ledger. */
	sql("SET lock_timeout = '5s'");
	sql("UPDATE ticket_type SET remaining = remaining");
	sql("UPDATE consumer_progress SET claimed_by = claimed_by");
	sql("RESET lock_timeout");
	assert_sql("0", "SELECT count(*) FROM (SELECT 1 FROM payment UNION ALL"
			" SELECT 1 FROM dead_letter) t");
	batch_slice(b, 0, 2);
	OK(decide_all(l, b, &err));
	assert_sql("99", "SELECT remaining FROM ticket_type WHERE id = 1");
}

static void who_does_not_own_the_row_is_fenced(void **state)
{
	struct pg_ledger *l = *state;
	struct progress old = claim(l, 0), p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *zombie = BATCH(&old, 0, 0, event("o-1", "k", 1, 1));
	CLEANUP(batch_done_ptr) struct batch *b = BATCH(&p, 0, 0, event("o-1", "k", 1, 1));

	assert_int_equal(pg_ledger_ops.begin(l, zombie, &err), RESULT_FENCED);
	b->expected = 3;
	assert_int_equal(pg_ledger_ops.begin(l, b, &err), RESULT_FENCED);
	b->expected = 0;
	sql("UPDATE consumer_progress SET state = 'stopped', stopped_reason = 'x'");
	assert_int_equal(pg_ledger_ops.begin(l, b, &err), RESULT_FENCED);
	sql("UPDATE consumer_progress SET state = 'running'");
	assert_sql("0", "SELECT count(*) FROM payment");
	OK(decide_all(l, b, &err));
}

static void a_large_batch_arrives_whole(void **state)
{
	enum { N = 5000 };
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr) struct batch *b = batch_new(N);

	b->topic = TOPIC;
	memcpy(b->owner, p.owner, sizeof(b->owner));
	sql("UPDATE ticket_type SET total = 4000, remaining = 4000 WHERE id = 1");
	for (int i = 0; i < N; i++) {
		char order[40];

		snprintf(order, sizeof(order), "o-%d", (i * 7919) % N);

		const char *value = i % 100 == 99 ? "x" : event(order, "k", 1, 1);
		struct raw_record raw = {
			.offset = i, .timestamp_ms = 1, .value = {value, strlen(value)}};

		OK(batch_append(b, &raw, 65536, &err));
	}
	batch_slice(b, 0, N);
	OK(decide_all(l, b, &err));
	assert_sql("4000 950", "SELECT count(*) FILTER (WHERE status = 'CONFIRMED') || ' '"
			       " || count(*) FILTER (WHERE status = 'SOLD_OUT') FROM payment");
	assert_sql("50", "SELECT count(*) FROM dead_letter");
	assert_sql("0", "SELECT remaining FROM ticket_type WHERE id = 1");
	/* First come, first served: by offset, not in the order of the insert. */
	assert_sql("t", "SELECT max(kafka_offset) FILTER (WHERE status = 'CONFIRMED')"
			" < min(kafka_offset) FILTER (WHERE status = 'SOLD_OUT') FROM payment");

	/* And again: all of it is read back. */
	sql("UPDATE consumer_progress SET next_offset = 0, published_offset = 0");
	batch_slice(b, 0, N);
	OK(decide_all(l, b, &err));
	assert_int_equal(decide_tally(b).fresh, 4950);
	assert_int_equal(b->stock_count, 0);
}

/* ---- replay -------------------------------------------------------------------------------- */

static void a_replay_says_what_was_said_and_writes_nothing(void **state)
{
	struct pg_ledger *l = *state;
	struct progress p = claim(l, 0);
	struct error err = {0};
	CLEANUP(batch_done_ptr)
	struct batch *b = BATCH(&p, 0, 10, event("o-1", "k", 1, 1), event("o-1", "k", 1, 1),
		event("o-1", "other", 1, 1), "nonsense", event("o-2", "k", 2, 9),
		"nonsense without a letter", event("o-3", "k", 1, 1), event("o-4", "k", 1, 1));
	CLEANUP(batch_done_ptr)
	struct batch *first = BATCH(&p, 0, 10, event("o-1", "k", 1, 1), event("o-1", "k", 1, 1),
		event("o-1", "other", 1, 1), "nonsense", event("o-2", "k", 2, 9));

	OK(decide_all(l, first, &err));
	/* o-3 was refused by the database then; o-4 has left nothing. */
	sql("INSERT INTO dead_letter (topic, kafka_partition, kafka_offset, record_timestamp, reason,"
	    " detail, value, value_bytes, state, parked_at)"
	    " VALUES ('" TOPIC "', 0, 16, 1700000000016, 'DB_REJECTED', '', '', 0, 'parked',"
	    " now())");
	sql("INSERT INTO payment (order_id, payment_key, ticket_type_id, member_id, quantity, amount,"
	    " status, kafka_partition, kafka_offset) SELECT 'o-3', payment_key, ticket_type_id,"
	    " member_id, quantity, amount, status, 1, 999 FROM payment WHERE order_id = 'o-1'");
	b->replay = true;
	OK(pg_ledger_ops.lookup(l, b, &err));

	static const enum verdict expected[] = {VERDICT_FRESH, VERDICT_DUPLICATE, VERDICT_CONFLICT,
		VERDICT_REFUSED, VERDICT_FRESH, VERDICT_SILENT, VERDICT_SILENT, VERDICT_SILENT};

	for (size_t i = 0; i < b->length; i++) {
		const struct record *r = batch_record(b, i);

		if (r->verdict != expected[i])
			fail_msg("record %zu has verdict %d, not %d", i, (int)r->verdict,
				(int)expected[i]);
		assert_int_equal(r->remaining, -1);
		if (r->verdict != VERDICT_SILENT)
			assert_int_equal(r->decided_at_us, first->decided_at_us);
	}
	assert_int_equal(batch_record(b, 0)->status, PAYMENT_CONFIRMED);
	assert_int_equal(batch_record(b, 4)->status, PAYMENT_SOLD_OUT);
	assert_true(bytes_equal(batch_record(b, 2)->first_payment_key, BYTES_LITERAL("k")));
	assert_sql("15", "SELECT next_offset FROM consumer_progress WHERE kafka_partition = 0");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, case_setup, case_teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_partition_without_a_row_is_not_claimed),
		CASE(each_claim_has_its_own_owner_and_counts_the_unclean_ones),
		CASE(a_stopped_row_is_shown_and_not_claimed),
		CASE(only_the_owner_changes_a_row),
		CASE(create_leaves_rows_that_exist_alone),
		CASE(a_batch_is_decided_in_one_transaction),
		CASE(a_letter_keeps_every_byte),
		CASE(a_letter_names_the_order_if_it_could_be_read),
		CASE(a_letter_of_an_older_topic_is_in_no_ones_way),
		CASE(a_record_parked_before_keeps_the_time_of_its_letter),
		CASE(what_existed_is_marked_and_read),
		CASE(the_same_slice_again_changes_nothing_but_progress),
		CASE(a_batch_of_letters_needs_no_stock),
		CASE(an_aborted_batch_leaves_no_trace_and_no_lock),
		CASE(who_does_not_own_the_row_is_fenced),
		CASE(a_large_batch_arrives_whole),
		CASE(a_replay_says_what_was_said_and_writes_nothing),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
