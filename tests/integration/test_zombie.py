#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Whoever lost its partition writes and publishes no more; a rebalance waits for no database."""

import signal
import time

from harness.fleet import (GONE, SHORT, Audit, Gate, Stranger, assigned, heard, member, passes,
                           stopped, through)
from harness.outcomes import read_all
from harness.process import wait_until
from harness.tap import case, cases_of, main
from harness.world import Feeder

# Longer than lease, transaction, session timeout and max.poll.interval of SHORT.
STOPPED_S = 7


def one_partition(t, **settings):
    """One partition, a worker each: who has it is never a question."""
    return t.world(partitions=1, kafka__workers=1, **{**SHORT, **settings})


def finish(world, *others, once=False):
    world.wait_done()
    world.judge(once=once, running=True)
    for daemon in (world.daemon, *others):
        stopped(daemon)


def freeze(t, daemon):
    """SIGSTOP; a case that fails leaves nobody stopped."""
    t.cleanup(lambda: daemon.child.signal(signal.SIGCONT))
    daemon.child.signal(signal.SIGSTOP)


def thaw_and_prove_it_works(world, daemon, other):
    """The zombie goes on, is a member again, and serves once the other is gone."""
    daemon.child.signal(signal.SIGCONT)
    heard(daemon, GONE, seconds=20)
    daemon.wait_status("standing by|consuming", 20)
    world.wait_done()
    world.send(world.factory(101, prefix="both").make(300))
    world.wait_done()
    stopped(other)
    world.send(world.factory(102, prefix="alone").make(300))
    world.wait_done(60)


@case
def a_daemon_stopped_inside_a_transaction_publishes_nothing_after_another_took_over(t):
    """SIGSTOP past transaction, lease, session timeout and max.poll.interval; then SIGCONT."""
    world = one_partition(t)
    audit = Audit(world)
    zombie = world.daemon
    zombie.start()
    other = member(world, "other", **SHORT)
    holder = world.postgres.connect(world.database)
    t.cleanup(holder.close)
    with holder.cursor() as q:
        q.execute("BEGIN; SELECT * FROM ticket_type FOR UPDATE")
        world.send(world.factory(61).make(2000))
        wait_until(lambda: world.open_transactions() > 0, 10, "a transaction is open")
        freeze(t, zombie)
        # The lock goes to the zombie's session, and with it nothing but what its death returns.
        q.execute("ROLLBACK")
    begin = time.monotonic()
    other.start()
    world.wait_decided(2000, 30, " by the other daemon")
    t.note("taken over after %.1f s", time.monotonic() - begin)
    world.wait_done()
    assert zombie.pid not in claimers(world)
    passes(max(0, begin + STOPPED_S - time.monotonic()))
    thaw_and_prove_it_works(world, zombie, other)
    t.note("%d transactions", audit.judge())
    # Each record exactly one outcome: the zombie has published none of its own.
    world.judge(once=True, running=True)
    stopped(zombie)


def claimers(world):
    """Process ids of the owners."""
    return {int(row[0].split(" pid ")[1].split()[0]) for row in world.sql(
        "SELECT claimed_by FROM consumer_progress WHERE owner IS NOT NULL")}


@cases_of([("a_daemon_stopped_when_its_commit_%s_contradicts_nobody" % name, (passes_on,))
           for name, passes_on in (("is_committed", True), ("is_lost", False))])
def stopped_at_commit(t, passes_on):
    """SIGSTOP when COMMIT has left; the other daemon takes over; then SIGCONT."""
    world = one_partition(t)
    audit = Audit(world)
    gate = Gate(world)
    zombie = world.daemon
    zombie.configure(database__conninfo=through(world, gate))
    zombie.start()
    other = member(world, "other", **SHORT)

    def stop_it():
        freeze(t, zombie)
        return None if passes_on else "swallowed"
    gate.at_commit = stop_it
    world.send(world.factory(62).make(2000))
    wait_until(lambda: gate.commits > 0, 20, "a COMMIT was sent")
    if passes_on:
        world.wait_decided(1, 10)
    else:
        assert world.decided() == 0
        # Otherwise than the zombie would have: nothing is left by now.
        world.sql("UPDATE ticket_type SET total = 0, remaining = 0")
        world.totals = {kind: 0 for kind in world.totals}
    other.start()
    world.wait_done()
    passes(STOPPED_S - 3)
    thaw_and_prove_it_works(world, zombie, other)
    audit.judge()
    # A committed batch may be told of twice, in the same words; a lost one never by the zombie.
    world.judge(once=not passes_on, running=True)
    stopped(zombie)


@case
def daemons_stopped_for_seconds_under_load_stay_exact(t):
    """SIGSTOP at any moment, with neighbours at work; each time the other takes over."""
    world = t.world(kafka__instance="one", batch__max_events=200, **SHORT)
    audit = Audit(world)
    feeder = Feeder(world, world.factory(63), 1000)
    pair = [world.daemon, member(world, "two")]
    for daemon in pair:
        daemon.start()
    world.wait_decided(1000)
    for number in range(3):
        zombie = pair[number % 2]
        wait_until(lambda: world.open_transactions() > 0, 10, "a transaction is open", every=0)
        freeze(t, zombie)
        wait_until(lambda: zombie.pid not in claimers(world) and len(rows(world)) == 3, 20,
                   "the other daemon has all partitions")
        passes(1)
        lost = zombie.log().count(GONE)
        zombie.child.signal(signal.SIGCONT)
        heard(zombie, GONE, lost + 1)
        wait_until(lambda: len(claimers(world)) == 2, 30, "both daemons have partitions")
    feeder.stop()
    world.wait_done()
    t.note("%d transactions", audit.judge())
    finish(world, pair[1])


def rows(world):
    return world.sql("SELECT 1 FROM consumer_progress WHERE owner IS NOT NULL")


@cases_of([("a_rebalance_while_a_batch_is_%s_drops_it_and_the_next_owner_decides_it" % name,
            (name,)) for name in ("buffered", "held", "in_doubt")])
def taken_while(t, name):
    """One partition; a daemon whose name sorts before joins and gets it."""
    world = one_partition(t, batch__linger_ms=1000 if name == "buffered" else 0)
    audit = Audit(world)
    gate = Gate(world)
    world.daemon.configure(database__conninfo=through(world, gate))
    taker = member(world, "a", batch__linger_ms=0)
    records = world.factory(64).make(1000)
    world.daemon.start()
    world.daemon.wait_status("consuming 1/1", 15)
    gate.at_commit = {"in_doubt": lambda: in_doubt(gate)}.get(name)
    if name == "held":
        gate.block()
    if name == "buffered":
        # The records keep coming, each second one batch: whenever the rebalance is, some wait.
        feeder = Feeder(world, world.factory(65), 500)
        taker.start()
        heard(world.daemon, GONE)
        feeder.stop()
    else:
        world.send(records)
        world.daemon.wait_status("waiting for PostgreSQL", 15)
        assert world.decided() == 0
        if name == "in_doubt":
            heard(world.daemon, "the answer to COMMIT was lost")
            # The next owner decides otherwise.
            world.sql("UPDATE ticket_type SET total = 0, remaining = 0")
            world.totals = {kind: 0 for kind in world.totals}
        taker.start()
        heard(world.daemon, GONE)
    world.wait_done()
    assert claimers(world) == {taker.pid}
    gate.open()
    # The one that lost it can reach the database again, and has nothing to say.
    world.daemon.wait_status("standing by", 15)
    passes(2)
    audit.judge()
    published = len(read_all(world.broker.bootstrap, world.outcome_topic)[0])
    world.judge(once=name != "buffered", running=True)
    t.note("%d records, %d outcomes", len(world.sent), published)
    stopped(taker)
    stopped(world.daemon)


def in_doubt(gate):
    gate.refusing = True
    return "swallowed"


@cases_of([("a_rebalance_waits_for_no_database_that_%s" % name, (name,))
           for name in ("is_down", "never_answers")])
def rebalance_without_database(t, name):
    """A member joins and leaves while nobody can reach PostgreSQL."""
    world = t.world(**SHORT)
    gate = Gate(world)
    world.daemon.configure(database__conninfo=through(world, gate))
    late = member(world, "late", database__conninfo=through(world, gate))
    world.daemon.start()
    world.send(world.factory(66).make(1000))
    world.wait_done()
    gate.block() if name == "is_down" else gate.freeze()
    world.send(world.factory(67, prefix="held").make(1000))
    world.daemon.wait_status("waiting for PostgreSQL", 15)
    stranger = Stranger(world)
    took = stranger.join(30)
    t.figure("a rebalance while PostgreSQL %s: %.1f s", name.replace("_", " "), took)
    assert stranger.assigned, "the new member has no partition"
    # A heartbeat to hear of it (0.5 s), and a call that is under way (connecting: 1 s).
    assert took < 5, "the group waited %.1f s for a daemon that waits for PostgreSQL" % took
    # Another daemon may start meanwhile; it waits for PostgreSQL before it disturbs the group.
    late.start(wait=False)
    late.wait_status("waiting for PostgreSQL", 15)
    stranger.leave()
    assigned(world.daemon, range(3))
    decided = world.decided()
    gate.thaw()
    gate.open()
    repaired = time.monotonic()
    world.wait_decided(decided + 1, 10, " after the repair")
    t.note("work resumed %.1f s after the repair", time.monotonic() - repaired)
    late.wait_ready()
    finish(world, late)


@cases_of([("records_polled_while_%s_are_not_skipped_after_a_rebalance" % name, (name,))
           for name in ("held", "paused")])
def polled_while_held(t, name):
    """Held, rebalanced away and back, resumed: all is decided, no partition stays paused."""
    world = t.world(batch__max_events=20 if name == "paused" else 5000, **SHORT)
    gate = Gate(world)
    world.daemon.configure(database__conninfo=through(world, gate))
    world.daemon.start()
    world.send(world.factory(68).make(300))
    world.wait_done()
    for rebalances in (0, 2):
        held_and_resumed(world, gate, rebalances)
    world.send(world.factory(72, prefix="later").make(300))
    world.wait_done(15)
    finish(world, once=True)


def held_and_resumed(world, gate, rebalances):
    gate.block()
    # Those that make the hold, then those that are polled during it.
    world.send(world.factory(69, prefix="hold%d" % rebalances).make(60))
    world.daemon.wait_status("waiting for PostgreSQL", 15)
    world.send(world.factory(70, prefix="polled%d" % rebalances).make(2000))
    passes(1)
    for _ in range(rebalances):
        stranger = Stranger(world)
        stranger.join(30)
        stranger.leave()
        assigned(world.daemon, range(3))
    world.send(world.factory(71, prefix="away%d" % rebalances).make(300))
    gate.open()
    world.wait_decided(len(world.sent), 30, " after the repair")
    world.wait_done(30)


if __name__ == "__main__":
    main(__file__)
