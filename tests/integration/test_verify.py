#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""ticketpayctl verify: sound rows hold, each tampering is found and named."""

import json
import threading

from harness.process import wait_until
from harness.shop import Shop, consumed, sound
from harness.tap import case, cases_of, main


def update(table, where, *sets):
    return ["UPDATE %s SET %s WHERE %s" % (table, s, where) for s in sets]


JSON_LETTER = "kafka_partition = 0 AND kafka_offset = 2"
TOMBSTONE = "kafka_partition = 2 AND kafka_offset = 0"

# Check -> statements, each of which must break it.
TAMPERING = {
    "stock_adds_up": [
        *update("ticket_type", "id = 1", "remaining = 3", "total = 11"),
        *update("payment", "order_id = 'o-1'", "quantity = 2", "ticket_type_id = 3",
                "status = 'SOLD_OUT'"),
        "DELETE FROM payment WHERE order_id = 'o-2'"],
    "stock_values": [
        *update("ticket_type", "id = 1", "remaining = -1, total = 5"),
        *update("ticket_type", "id = 3", "id = 0", "remaining = 6, total = 5")],
    "payment_has_stock": [
        "DELETE FROM ticket_type WHERE id = 2",
        *update("ticket_type", "id = 1", "id = 4"),
        *update("payment", "order_id = 'o-4'", "ticket_type_id = 77"),
        *update("payment", "order_id = 'o-5'", "status = 'SOLD_OUT'")],
    "payment_values": [
        *update("payment", "order_id = 'o-4'", "quantity = 0", "quantity = 1001", "amount = -1",
                "amount = 1000000000000001", "member_id = 0", "ticket_type_id = 0",
                "payment_key = ''", "payment_key = E'a\\tb'", "payment_key = repeat('x', 201)",
                "payment_key = 'é'", "order_id = ''", "order_id = repeat('x', 65)",
                "order_id = 'a b'", "order_id = E'o-4\\n'", "order_id = 'é'",
                "status = 'confirmed'", "kafka_partition = -1", "kafka_offset = -1",
                "decided_at = 'infinity'")],
    "payment_has_progress": [
        *update("payment", "order_id = 'o-4'", "kafka_partition = 5"),
        *update("consumer_progress", "kafka_partition = 1", "kafka_partition = 7", "topic = 't'"),
        "DELETE FROM consumer_progress WHERE kafka_partition = 1"],
    "payment_below_next": [
        *update("payment", "order_id = 'o-1'", "kafka_offset = 5"),
        *update("consumer_progress", "kafka_partition = 1",
                "next_offset = 2, published_offset = 2")],
    "order_once": [
        "ALTER TABLE payment DROP CONSTRAINT payment_pkey;"
        "INSERT INTO payment SELECT * FROM payment WHERE order_id = 'o-5'"],
    "record_once": [
        *update("payment", "order_id = 'o-1'", "kafka_offset = 1", "kafka_offset = 2"),
        *update("dead_letter", JSON_LETTER, "kafka_offset = 0")],
    "decided_in_order": [
        "UPDATE payment SET status = CASE order_id WHEN 'o-3' THEN 'SOLD_OUT' ELSE 'CONFIRMED' END"
        " WHERE order_id IN ('o-3', 'o-4')",
        *update("payment", "order_id = 'o-4'", "status = 'UNKNOWN_TICKET_TYPE'")],
    "letter_values": [
        *update("dead_letter", JSON_LETTER, "kafka_offset = -1", "record_timestamp = -2",
                "reason = 'NO'", "reason = 'EMPTY_VALUE'", "reason = 'TOO_LARGE'",
                "order_id = 'a b'", "value = '{xx'", "value_bytes = 9", "state = 'redriven'",
                "state = 'x'", "resolved_by = 'x'", "resolved_at = now()",
                "parked_at = '-infinity'"),
        *update("dead_letter", "reason = 'TOO_LARGE'", "reason = 'BAD_JSON'"),
        *update("dead_letter", "reason = 'BAD_FIELD'", "detail = 'price'"),
        *update("dead_letter", "reason = 'ORDER_CONFLICT'", "state = 'parked'")],
    "letter_has_progress": [
        *update("dead_letter", TOMBSTONE, "kafka_partition = 3"),
        "DELETE FROM consumer_progress WHERE kafka_partition = 2"],
    "letter_below_next": [
        *update("dead_letter", TOMBSTONE, "kafka_offset = 8"),
        *update("consumer_progress", "kafka_partition = 0",
                "next_offset = 4, published_offset = 2")],
    "conflict_has_payment": [
        *update("dead_letter", "reason = 'ORDER_CONFLICT'", "order_id = 'o-55'",
                "order_id = NULL"),
        *update("payment", "order_id = 'o-1'", "order_id = 'o-11'")],
    "published_not_above_next": [
        *update("consumer_progress", "kafka_partition = 1", "published_offset = 4")],
    "progress_values": [
        *update("consumer_progress", "kafka_partition = 1", "published_offset = -1",
                "state = 'other'", "state = 'stopped'", "unclean_claims = -1",
                "consumer_group = ''", "stopped_reason = 'why'"),
        *update("consumer_progress", "kafka_partition = 2", "state = 'running'",
                "stopped_reason = ''", "stopped_reason = NULL")],
    "one_topic": [
        *update("consumer_progress", "kafka_partition = 1", "topic = 't'"),
        *update("dead_letter", JSON_LETTER, "topic = 't'")],
}
KEPT = ("ticket_type", "payment", "consumer_progress", "dead_letter")


@case
def verify_holds_on_sound_tables_and_every_check_is_tampered_with_below(t):
    shop = Shop(t)
    sound(shop)
    assert shop.broken() == {}
    checks = json.loads(shop.ctl.ok("verify", "--json").out)["checks"]
    assert {c["name"] for c in checks} == set(TAMPERING)
    lines = shop.ctl.ok("verify").out.splitlines()
    assert len(lines) == len(checks) + 1 and all(n.startswith("ok ") for n in lines[:-1]), lines


@cases_of([("verify_finds_" + name, (name, how)) for name, how in TAMPERING.items()])
def tampered(t, name, statements):
    shop = Shop(t)
    sound(shop)
    for table in KEPT:
        shop.sql("CREATE TABLE kept_%s AS TABLE %s" % (table, table))
    for statement in statements:
        shop.sql(statement)
        broken = shop.broken()
        assert broken.get(name), "%s: found only %s" % (statement, broken)
        human = shop.ctl.run("verify").out
        assert any(n.startswith("BROKEN  %s:" % name) for n in human.splitlines()), human
        for table in KEPT:
            shop.sql("TRUNCATE %s; INSERT INTO %s TABLE kept_%s" % (table, table, table))


@case
def at_most_20_rows_are_named_and_all_are_counted(t):
    shop = Shop(t)
    sound(shop)
    shop.sql("INSERT INTO payment SELECT 'x' || n, 'k', 8, 1, 1, 1, 'CONFIRMED', 2, 1000 + n "
             "FROM generate_series(1, 50) n")
    run = shop.ctl.run("verify", "--json")
    checks = {c["name"]: c for c in json.loads(run.out)["checks"]}
    for name in ("payment_has_stock", "payment_below_next"):
        assert checks[name]["broken"] == 50 and len(checks[name]["rows"]) == 20, checks[name]
    assert "order_id" in checks["payment_has_stock"]["rows"][0]


@case
def verify_sees_one_snapshot(t):
    shop = Shop(t)
    sound(shop)
    other = shop.postgres.connect(shop.database)
    t.cleanup(other.close)
    other.autocommit = False
    with other.cursor() as q:
        q.execute("LOCK TABLE dead_letter IN ACCESS EXCLUSIVE MODE")
        runs = []
        thread = threading.Thread(target=lambda: runs.append(shop.ctl.run("verify")))
        thread.start()
        wait_until(lambda: shop.sql("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation ="
                                    " 'dead_letter'::regclass")[0][0], 20, "verify waits")
        q.execute("UPDATE dead_letter SET reason = 'NO', topic = 't'")
        q.execute("UPDATE consumer_progress SET published_offset = 99, state = 'no'")
    other.commit()
    thread.join()
    assert runs[0].code == 0, str(runs[0])
    assert "letter_values" in shop.broken()


@case
def what_was_decided_before_a_seek_may_lie_above_it(t):
    shop = Shop(t)
    sound(shop)
    shop.sql("UPDATE consumer_progress SET next_offset = 0, published_offset = 0")
    assert {"payment_below_next", "letter_below_next"} <= set(shop.broken())
    shop.sql("UPDATE consumer_progress SET sought_at = clock_timestamp()")
    assert shop.broken() == {}
    shop.sql("UPDATE payment SET decided_at = clock_timestamp() WHERE order_id = 'o-5'")
    assert set(shop.broken()) == {"payment_below_next"}


# ---- with Kafka ------------------------------------------------------------------------------------

@case
def verify_with_kafka_finds_each_offset_that_is_wrong(t):
    shop = consumed(t)
    assert shop.broken("--kafka") == {}
    for name, statement in (
            ("kafka_next_in_log", "UPDATE consumer_progress SET next_offset = 11 "
                                  "WHERE kafka_partition = 0"),
            ("kafka_partition_has_progress", "DELETE FROM consumer_progress "
                                             "WHERE kafka_partition = 2"),
            ("kafka_partition_has_progress", "UPDATE consumer_progress SET consumer_group = 'g' "
                                             "WHERE kafka_partition = 2"),
            ("kafka_next_in_log", "UPDATE consumer_progress SET kafka_partition = 3 "
                                  "WHERE kafka_partition = 2")):
        shop.sql(statement)
        assert shop.broken("--kafka").get(name), statement
        shop.sql("DELETE FROM consumer_progress")
        shop.rows((0, 10, 10), (1, 8, 7), (2, 0, 0))
    shop.group.reset(8)
    assert set(shop.broken("--kafka")) == {"kafka_committed_not_above_published"}
    shop.sql("UPDATE consumer_progress SET sought = true")
    assert shop.broken("--kafka") == {}


@case
def published_offset_may_follow_kafka_a_moment_later(t):
    shop = consumed(t)
    shop.group.reset(8)
    runs = []
    thread = threading.Thread(target=lambda: runs.append(shop.ctl.run("verify", "--kafka")))
    thread.start()
    # Each look ends with a ROLLBACK; the second one comes from looking again.
    looks = set()

    def has_looked_again():
        looks.update(shop.sql("SELECT query_start FROM pg_stat_activity WHERE query = 'ROLLBACK' "
                              "AND application_name = 'ticketpayctl' AND datname = %s",
                              shop.database))
        return len(looks) > 2
    wait_until(has_looked_again, 30, "verify looks again")
    shop.sql("UPDATE consumer_progress SET next_offset = 10, published_offset = 10")
    thread.join()
    assert runs[0].code == 0, str(runs[0])


@case
def without_kafka_verify_and_status_say_so_with_2(t):
    shop = Shop(t)
    sound(shop)
    run = shop.ctl.run("verify", "--kafka", "--json")
    found = json.loads(run.out)
    assert run.code == 2 and found["ok"] is False, str(run)
    assert len(found["checks"]) == len(TAMPERING) + 1
    run = shop.ctl.run("verify", "--kafka")
    assert run.code == 2 and "Kafka" in run.err and "all" not in run.out.splitlines()[-1], str(run)

    run = shop.ctl.run("status", "--json")
    assert run.code == 2 and "Kafka" in run.err, str(run)
    partitions = json.loads(run.out)["partitions"]
    assert [(p["partition"], p["next_offset"], p["published_offset"], p["state"], p["reason"])
            for p in partitions] == [(0, 5, 5, "running", None), (1, 3, 2, "running", None),
                                     (2, 8, 8, "stopped", "breaker")]
    for p in partitions:
        assert [p[k] for k in ("low", "high", "committed", "lag", "lag_seconds")] == [None] * 5
    run = shop.ctl.run("status")
    assert run.code == 2 and "breaker" in run.out, str(run)


main(__file__)
