#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""SIGTERM ends the daemon in time with nothing left undone; a replay changes no row."""

import signal
import time

from harness.outcomes import read_all
from harness.process import wait_until
from harness.tap import case, main
from harness.world import Feeder


@case
def sigterm_under_load_exits_0_and_nothing_is_decided_or_published_twice(t):
    world = t.world(batch__max_events=500)
    feeder = Feeder(world, world.factory(41), 4000)
    for number in range(5):
        world.daemon.start()
        before = world.decided()
        world.wait_decided(before + 2000)
        begin = time.monotonic()
        code = world.daemon.terminate(15)
        t.note("stop %d took %.2f s", number, time.monotonic() - begin)
        assert code == 0, "exit %d" % code
        assert world.daemon.told("STOPPING")
        # Drained: what is decided is published and committed, the partitions are given back.
        rows = world.sql("SELECT next_offset - published_offset, owner FROM consumer_progress")
        assert all(row == (0, None) for row in rows), rows
        assert sum(world.group.committed()) == world.decided()
    feeder.stop()
    world.daemon.start()
    # Each record once on the outcome topic: no start has replayed what another one did.
    world.finish(once=True)


@case
def the_shortest_limits_stop_ms_is_kept_while_kafka_is_frozen(t):
    world = t.world(limits__stop_ms=1000, database__transaction_timeout_ms=900,
                    database__connect_timeout_ms=900, lock__wait_ms=100)
    world.daemon.start()
    world.send(world.factory(46).make(300))
    world.wait_done()
    world.broker.signal(signal.SIGSTOP)
    t.cleanup(lambda: world.broker.signal(signal.SIGCONT))
    begin = time.monotonic()
    assert world.daemon.terminate(15) == 0
    took = time.monotonic() - begin
    world.broker.signal(signal.SIGCONT)
    assert took < 1.5, "it took %.2f s" % took
    world.daemon.start()
    world.finish()


@case
def sigterm_before_ready_exits_0(t):
    world = t.world(topics=False)
    world.daemon.start(wait=False)
    world.daemon.wait_status(".", 10)
    assert world.daemon.terminate() == 0
    assert not world.daemon.ready


@case
def a_missing_topic_is_named_and_ready_waits(t):
    world = t.world(topics=False)
    world.daemon.start(wait=False)
    world.daemon.wait_status(world.topic, 10)
    assert not world.daemon.ready
    world.broker.create_topics({world.topic: 3})
    world.daemon.wait_status(world.outcome_topic, 15)
    assert not world.daemon.ready
    world.broker.create_topics({world.outcome_topic: 3})
    world.daemon.wait_ready(20)
    world.send(world.factory(42).make(500))
    world.finish(once=True)


@case
def a_second_sigterm_ends_it_at_once(t):
    """The first one waits for a stock row that another session holds."""
    world = t.world(limits__stop_ms=15000, database__transaction_timeout_ms=10000,
                    lock__lease_ms=12000)
    world.daemon.start()
    holder = world.postgres.connect(world.database)
    t.cleanup(holder.close)
    with holder.cursor() as q:
        q.execute("BEGIN; SELECT * FROM ticket_type FOR UPDATE")
        world.send(world.factory(43).make(500))
        wait_until(lambda: world.open_transactions() > 0, 10, "a transaction waits")
        world.daemon.child.signal(signal.SIGTERM)
        wait_until(lambda: world.daemon.told("STOPPING"), 5, "STOPPING=1")
        world.daemon.child.signal(signal.SIGTERM)
        begin = time.monotonic()
        assert world.daemon.child.wait(3) == 0
        t.note("ended %.2f s after the second SIGTERM", time.monotonic() - begin)
        q.execute("ROLLBACK")
    world.daemon.start()
    world.finish()


def tables(world):
    """Every row with the transaction that wrote it: an update that changes nothing shows as well."""
    return {name: world.sql("SELECT xmin::text, ctid::text, t::text FROM %s t ORDER BY 2" % name)
            for name in ("payment", "dead_letter", "ticket_type")}


@case
def offsets_reset_to_earliest_change_no_row_and_publish_all_again(t):
    # A dynamic member leaves the group at once; Kafka resets no offset of a group with members.
    world = t.world(kafka__instance="none")
    records = world.factory(44).make(6000)
    world.sell_out(records, 2)
    world.send(records)
    world.daemon.start()
    world.wait_done()
    world.judge(once=True)
    assert world.daemon.terminate() == 0
    before = tables(world)
    due = len(read_all(world.broker.bootstrap, world.outcome_topic)[0])
    world.group.reset(0)
    assert world.group.committed() == [0, 0, 0]

    world.daemon.start()
    wait_until(lambda: len(read_all(world.broker.bootstrap, world.outcome_topic)[0]) >= 2 * due,
               60, "all outcomes again", every=0.2)
    world.wait_done()
    world.judge()
    published = read_all(world.broker.bootstrap, world.outcome_topic)[0]
    assert len(published) == 2 * due, "%d outcomes, then %d" % (due, len(published))
    after = tables(world)
    for name, rows in before.items():
        assert rows == after[name], "rows of %s changed" % name

    # And it goes on with what is new.
    world.send(world.factory(45, prefix="later").make(2000))
    world.finish()


if __name__ == "__main__":
    main(__file__)
