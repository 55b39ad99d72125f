#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Conflicts, stock that runs short or is changed by hand, the breaker, a batch that kills."""

import json
import signal

from harness.events import Injector
from harness.holds import bad, fewer_than_offsets, judge, order, orders, outcomes, progress, \
    snapshot, stop, wait_progress, wait_stopped
from harness.process import wait_until
from harness.tap import case, cases_of, main


def statuses(world):
    return dict(world.sql("SELECT order_id, status FROM payment"))


# ---- row 13

@case
def the_same_order_id_with_other_content_is_a_conflict_and_the_row_stands(t):
    world = t.world()
    first = dict(kind=1, quantity=2, key="first", amount=100, member=7)
    other = [dict(first, **change) for change in (
        dict(kind=2), dict(quantity=3), dict(key="second"), dict(amount=101), dict(member=8))]
    world.daemon.start()
    world.send([order("x", 0, **first)])
    world.wait_done()
    row = snapshot(world)["payment"]
    # In other partitions and in the first one's, within a batch and later.
    world.send([order("x", p, **content) for p in range(3) for content in other]
               + [order("x", 1, **first)]
               + [order("y", 2, **content) for content in (first, *other)])
    world.wait_done()
    assert row[0] in snapshot(world)["payment"], "the row has changed"
    letters = world.sql("SELECT count(*) FROM dead_letter WHERE reason = 'ORDER_CONFLICT' "
                        "AND order_id IN ('x', 'y')")[0][0]
    assert letters == 20, letters
    told = [o for found in outcomes(world).values() for o in found
            if o["status"] == "ORDER_CONFLICT"]
    assert len(told) == 20 and {o["firstPaymentKey"] for o in told} == {"first"}, told
    world.finish(once=True)
    assert world.sql("SELECT total - remaining FROM ticket_type WHERE id = 1") == [(4,)]


# ---- row 14

@cases_of([("an_order_larger_than_the_stock_left_lets_smaller_ones_behind_it_pass_" + name, (n,))
           for name, n in (("in_one_batch", 5000), ("one_at_a_time", 1))])
def larger_than_the_stock(t, max_events):
    world = t.world(totals={1: 6}, batch__max_events=max_events)
    due = [(3, "CONFIRMED", 3), (4, "SOLD_OUT", 3), (1000, "SOLD_OUT", 3), (2, "CONFIRMED", 1),
           (2, "SOLD_OUT", 1), (1, "CONFIRMED", 0), (1, "SOLD_OUT", 0)]
    records = world.send([order("o-%d" % i, 0, quantity=q) for i, (q, _, _) in enumerate(due)])
    world.daemon.start()
    world.wait_done()
    told = outcomes(world)
    for record, (quantity, status, left) in zip(records, due):
        found = told[0, record.offset]
        assert [(o["status"], o["remaining"]) for o in found][:1] == [(status, left)], (
            quantity, found)
    world.finish()


# ---- row 15

@case
def stock_lowered_while_we_run_counts_from_the_next_decision(t):
    world = t.world(totals={1: 1000, 2: 10**6})
    world.daemon.start()
    world.send(orders("a", 100, 0) + orders("a", 100, 1) + orders("a", 100, 2))
    world.wait_done()
    world.sql("UPDATE ticket_type SET total = total - 600, remaining = remaining - 600 "
              "WHERE id = 1")
    world.send(orders("b", 60, 0) + orders("b", 60, 1) + orders("b", 60, 2))
    world.wait_done()
    assert world.sql("SELECT total, remaining FROM ticket_type WHERE id = 1") == [(400, 0)]
    assert world.sql("SELECT status, count(*) FROM payment GROUP BY 1 ORDER BY 1") == [
        ("CONFIRMED", 400), ("SOLD_OUT", 80)]
    # And raised: whoever comes now is served.
    world.ctl.ok("stock", "add", 1, 5)
    world.send(orders("c", 6, 1))
    world.wait_done()
    assert sorted(s for o, s in statuses(world).items() if o[0] == "c") == \
        ["CONFIRMED"] * 5 + ["SOLD_OUT"]
    world.ctl.ok("verify", "--kafka")
    told = outcomes(world)
    assert len(told) == len(world.sent)
    rows = statuses(world)
    assert all(o["status"] == rows[o["orderId"]] for found in told.values() for o in found)
    stop(world)


@case
def stock_lowered_under_load_never_falls_below_zero(t):
    world = t.world(totals={1: 40000}, batch__max_events=50)
    world.daemon.start()
    lowered = 0
    while lowered < 30:
        # Some records of this portion are decided before the stock is lowered, some after it.
        before, number = world.decided(), len(world.sent)
        world.send([r for p in range(3) for r in orders("load%d" % number, 150, p, quantity=2)])
        wait_until(lambda: world.decided() > before, 30, "records are decided", every=0)
        # Never more than what is left: the CHECK would refuse it.
        lowered += len(world.sql("UPDATE ticket_type SET total = total - 100, "
                                 "remaining = remaining - 100 WHERE remaining >= 100 "
                                 "RETURNING id"))
        assert world.daemon.alive
    world.wait_done()
    total, left = world.sql("SELECT total, remaining FROM ticket_type")[0]
    assert total == 40000 - 100 * lowered, total
    taken = dict(world.sql("SELECT status, sum(quantity) FROM payment GROUP BY 1"))
    assert left == total - taken["CONFIRMED"] and left >= 0, (total, left, taken)
    assert sum(taken.values()) == 2 * len(world.sent)
    world.ctl.ok("verify")
    stop(world)


@case
def a_sold_type_that_is_deleted_is_unknown_and_verify_names_the_orphans(t):
    world = t.world()
    world.daemon.start()
    world.send(orders("sold", 30, 0) + orders("sold", 30, 1, kind=2))
    world.wait_done()
    world.sql("DELETE FROM ticket_type WHERE id = 1")
    world.send(orders("late", 30, 0) + orders("late", 30, 1, kind=2))
    world.wait_done()
    found = statuses(world)
    assert all(found["late-0-%d" % i] == "UNKNOWN_TICKET_TYPE" for i in range(30)), found
    assert all(found["late-1-%d" % i] == "CONFIRMED" for i in range(30)), found
    told = outcomes(world)
    assert [told[0, 30 + i][-1]["status"] for i in range(30)] == ["UNKNOWN_TICKET_TYPE"] * 30
    run = world.ctl.run("verify", "--json")
    checks = {c["name"]: c for c in json.loads(run.out)["checks"] if not c["ok"]}
    assert run.code == 1 and set(checks) == {"payment_has_stock"}, str(run)
    assert checks["payment_has_stock"]["broken"] == 30
    named = {r["order_id"] for r in checks["payment_has_stock"]["rows"]}
    assert len(named) == 20 and named < {"sold-0-%d" % i for i in range(30)}, named
    assert "sold-0-" in world.ctl.run("verify").out
    assert world.daemon.alive
    stop(world)


# ---- row 16

@case
def one_bad_record_among_1000_is_one_letter_and_999_payments(t):
    world = t.world()
    records = orders("good", 1000, 0)
    records[500] = bad(0)
    world.daemon.start()
    world.send(records)
    world.finish(once=True)
    assert world.sql("SELECT count(*) FROM payment") == [(999,)]
    assert world.sql("SELECT kafka_offset, reason FROM dead_letter") == [(500, "BAD_JSON")]


def flood(kind):
    """1000 records for partition 1 that say: a wrong producer or a wrong database."""
    if kind == "malformed":
        return [bad(1) for _ in range(1000)]
    if kind == "unknown":
        return orders("unknown", 1000, 1, kind=404)
    return [order("taken", 1, amount=1000 + i) for i in range(1000)]


@cases_of([("1000_%s_of_1000_trip_the_breaker_of_their_partition" % kind, (kind,))
           for kind in ("malformed", "unknown", "conflicting")])
def breaker(t, kind):
    world = t.world(batch__max_events=100)
    world.daemon.start()
    world.send([order("taken", 0)])
    world.wait_done()
    world.send(flood(kind) + orders("behind", 50, 1) + orders("good", 300, 0)
               + orders("good", 300, 2))
    wait_stopped(world, 1, " of the last 1000 records", "ticketpayctl resume --partition 1")
    # What tripped it is committed and published, what lies behind the batch is not touched.
    reached, published = progress(world, 1)[:2]
    assert 500 < reached <= 600 and published == reached, (reached, published)
    wait_until(lambda: world.group.committed()[1] == reached, 10, "Kafka has the offset")
    table = {"malformed": "dead_letter", "unknown": "payment", "conflicting": "dead_letter"}[kind]
    written = world.sql("SELECT count(*) FROM %s WHERE kafka_partition = 1" % table)[0][0]
    assert written == reached, (written, reached)
    # The others go on, now and later.
    world.send(orders("later", 200, 0) + orders("later", 200, 2))
    wait_progress(world, {0: 501, 2: 500})
    assert progress(world, 1)[:1] + progress(world, 1)[2:3] == (reached, "stopped")
    world.ctl.ok("verify", "--kafka")
    # The rest of them is no new flood: fewer than the breaker's limit.
    world.ctl.ok("resume", "--partition", 1)
    world.finish(once=True)


@case
def without_a_breaker_1000_bad_records_of_1000_pass(t):
    world = t.world(limits__breaker=0, batch__max_events=100)
    world.daemon.start()
    world.send([bad(1) for _ in range(1000)] + orders("unknown", 1000, 2, kind=404)
               + orders("behind", 10, 1))
    world.finish(once=True)
    assert "stopped:" not in world.daemon.log()


# ---- row 62

def kill_in_transaction(world, moving=()):
    """One life of the daemon: partition 0's batch waits for a locked row, and we kill it there."""
    before = {p: progress(world, p) for p in moving}
    world.daemon.start(wait=False)

    def moved():
        return all(progress(world, p) != before[p] for p in moving)
    wait_until(lambda: world.open_transactions() > 0 and moved(), 40,
               lambda: "a transaction waits for the row: " + world.daemon.status)
    world.daemon.child.signal(signal.SIGKILL)
    assert world.daemon.child.wait(10) == -signal.SIGKILL, "it ended by itself"
    # The statement under way still waits for the row: PostgreSQL has not seen that nobody listens.
    world.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ticketpayd' "
              "AND datname = current_database()")
    wait_until(lambda: world.open_transactions() == 0, 20, "PostgreSQL rolls it back")


def unclean(world, partition):
    return world.sql("SELECT unclean_claims FROM consumer_progress WHERE kafka_partition = %s",
                     partition)[0][0]


def in_transactions(world, prefix):
    """Five records each, and behind them a marker: the log's end is never reached."""
    injector = Injector(world.broker.bootstrap, world.topic,
                        **{"transactional.id": prefix, "message.timeout.ms": 30000})
    injector.producer.init_transactions(30)
    injector.producer.begin_transaction()
    world.sent += injector.send([r for p in range(3) for r in orders(prefix, 5, p)])
    injector.producer.commit_transaction(30)


def poisoned(t, before=None):
    """A world whose daemon is killed by the batch of partition 0, as long as the row is held."""
    world = t.world(lock__provider="database")
    if before:
        world.daemon.start()
        before(world, "before")
        wait_progress(world, {p: 5 for p in range(3)})
        stop(world)
    world.send(orders("poison", 40, 0, kind=1))
    holder = world.postgres.connect(world.database)
    t.cleanup(holder.close)
    holder.autocommit = False
    with holder.cursor() as q:
        q.execute("SELECT FROM ticket_type WHERE id = 1 FOR UPDATE")
    return world, holder


@case(seconds=240)
def after_3_kills_at_one_place_batches_are_of_one_record(t):
    world, holder = poisoned(t)
    for _ in range(4):
        kill_in_transaction(world)
    assert unclean(world, 0) == 3
    holder.rollback()
    world.daemon.start()
    world.finish()
    batches = [n for n, in world.sql("SELECT count(*) FROM payment WHERE kafka_partition = 0 "
                                     "GROUP BY decided_at ORDER BY min(kafka_offset)")]
    t.note("batches after four kills: %s", batches)
    assert batches[0] == 1 and max(batches) > 1, batches


@cases_of([("a_batch_that_kills_20_times_stops_its_partition_and_no_other", (None,)),
           ("a_batch_behind_a_transaction_marker_that_kills_20_times_stops_its_partition",
            (in_transactions,))], seconds=300)
def kills_20_times(t, before):
    world, holder = poisoned(t, before)
    first = 5 if before else 0
    kills = 0
    while kills < 22 and (not progress(world, 0) or unclean(world, 0) < 20):
        # Partitions 1 and 2 are killed as often, but they move.
        world.send([order("moving-%d-%d" % (p, kills), p, kind=2) for p in (1, 2)])
        kill_in_transaction(world, moving=(1, 2))
        kills += 1
        assert progress(world, 0)[0] == first and progress(world, 0)[2] == "running"
    t.note("%d kills", kills)
    world.daemon.start()
    wait_stopped(world, 0, "at offset %d:" % first, "ticketpayctl resume --partition 0")
    assert world.sql("SELECT count(*) FROM payment WHERE kafka_partition = 0") == [(first,)]
    assert world.sql("SELECT count(*) FROM dead_letter") == [(0,)]
    world.send(orders("after", 20, 1, kind=2) + orders("after", 20, 2, kind=2))
    high = world.group.high()
    wait_progress(world, {1: high[1], 2: high[2]})
    holder.rollback()
    world.ctl.ok("resume", "--partition", 0)
    world.wait_done()
    judge(world, but=fewer_than_offsets, running=True)
    stop(world)


def plainly(world, prefix):
    world.send([r for p in range(3) for r in orders(prefix, 5, p)])


@cases_of([("a_kill_storm_alone_does_not_stop_idle_partitions" + name, (send,))
           for name, send in (("", plainly), ("_that_end_with_a_transaction_marker",
                                              in_transactions))])
def storm(t, send):
    """They have no record that could have crashed it."""
    world = t.world()
    world.daemon.start()
    send(world, "before")
    wait_progress(world, {p: 5 for p in range(3)})
    for _ in range(23):
        world.daemon.kill()
        before = set(world.sql("SELECT owner FROM consumer_progress"))
        world.daemon.start(wait=False)
        wait_until(lambda: not before & set(world.sql("SELECT owner FROM consumer_progress")) or
                   "stopped:" in world.daemon.log(), 20,
                   lambda: "all are claimed: " + world.daemon.status)
    # Who lives long enough to see that there is nothing to decide forgets the kills.
    wait_until(lambda: [unclean(world, p) for p in range(3)] == [0, 0, 0], 30,
               lambda: "the kills are forgotten: " + world.daemon.status)
    assert "stopped:" not in world.daemon.log(), "stopped, with nothing to decide"
    plainly(world, "after")
    world.wait_done()
    judge(world, but=fewer_than_offsets, running=True)
    stop(world)


main(__file__)
