#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Several daemons on one group: exact whatever happens to each, and somebody always serves."""

import os
import random
import signal
import time

from harness.events import Record, encode
from harness.fleet import Audit, assigned, member, passes, stopped
from harness.postgres import Postgres
from harness.process import wait_until
from harness.tap import case, cases_of, main
from harness.world import Feeder

CHAOS_S = int(os.environ.get("TICKETPAY_CHAOS_SECONDS", "20"))
SESSION_MS = 6000
SESSION = {"kafka__properties": ["session.timeout.ms=%d" % SESSION_MS]}
BUDGET_MS = 15000
# A partition rests for a session timeout after kill -9, and for a rebalance or two.
STANDS_AT_MOST_S = 30


def owners(world):
    """Partition -> process id of its owner."""
    return {p: int(by.split(" pid ")[1].split()[0]) for p, by in world.sql(
        "SELECT kafka_partition, claimed_by FROM consumer_progress WHERE owner IS NOT NULL")}


def shared(world, count, seconds=30):
    wait_until(lambda: len(owners(world)) == world.partitions and
               len(set(owners(world).values())) == count, seconds,
               lambda: "%d daemons share the partitions: %s" % (count, owners(world)))


def copies(records, partitions, apart):
    """Of each order one record for each of these partitions, up to `apart` places from each other:
    so that no partition is the first with all of them only because it began first."""
    rng = random.Random(len(records))
    out = []
    for partition in partitions:
        for at, first in enumerate(records):
            again = Record(encode(first.content), first.content)
            again.partition, again.key = partition, first.key
            out.append((at + rng.uniform(0, apart), again))
    return [again for _, again in sorted(out, key=lambda pair: pair[0])]


@case
def an_order_in_every_partition_at_once_and_again_later_is_booked_once(t):
    """Two daemons race for the same orders; each record has its outcome."""
    world = t.world(kafka__instance="one", batch__max_events=100)
    audit = Audit(world)
    pair = [world.daemon, member(world, "two")]
    for daemon in pair:
        daemon.start()
    shared(world, 2)
    orders = world.factory(111, duplicates=0, malformed=0, conflicts=0).make(3000)
    everywhere = copies(orders, range(3), 300)
    world.sell_out(everywhere, 2)
    world.send(everywhere)
    world.wait_done()
    world.judge(running=True)
    first = world.sql("SELECT kafka_partition, count(*) FROM payment GROUP BY 1 ORDER BY 1")
    t.note("whose record was first, by partition: %s", first)
    assert len(first) > 1, "nobody raced"

    rows = world.sql("SELECT xmin::text, t::text FROM payment t ORDER BY 2")
    stock = world.sql("SELECT xmin::text, t::text FROM ticket_type t ORDER BY 2")
    world.send(copies(orders[:500], [0, 2], 0))
    world.wait_done()
    assert rows == world.sql("SELECT xmin::text, t::text FROM payment t ORDER BY 2")
    assert stock == world.sql("SELECT xmin::text, t::text FROM ticket_type t ORDER BY 2")
    world.judge(running=True)
    t.note("%d transactions", audit.judge())
    for daemon in pair:
        stopped(daemon)


class Served:
    """How long each partition stood still although it had something to do."""

    def __init__(self, world):
        self.world = world
        self.moved, self.offset = {}, {}
        self.longest = 0

    def look(self):
        now = time.monotonic()
        for partition, offset in self.world.sql(
                "SELECT kafka_partition, next_offset FROM consumer_progress"):
            if self.offset.get(partition) != offset:
                self.offset[partition], self.moved[partition] = offset, now
            stood = now - self.moved[partition]
            self.longest = max(self.longest, stood)
            assert stood < STANDS_AT_MOST_S, "partition %d has stood at %d for %.0f s: %s" % (
                partition, offset, stood, owners(self.world))


class Chaos:
    """Every few seconds one daemon is killed, stopped or started; one at least is left."""

    def __init__(self, world, daemons, seed):
        self.world, self.daemons = world, daemons
        self.rng = random.Random(seed)
        self.ending = {}  # daemon -> when its SIGTERM was sent
        self.done = {"kill": 0, "stop": 0, "start": 0}
        self.slowest = 0

    def look_at_ending(self):
        for daemon, begin in list(self.ending.items()):
            took = time.monotonic() - begin
            assert took * 1000 < BUDGET_MS + 1000, "%s: no exit %.1f s after SIGTERM" % (
                daemon.name, took)
            if not daemon.alive:
                code = daemon.child.popen.returncode
                assert code == 0, "%s: SIGTERM, then exit %d" % (daemon.name, code)
                self.slowest = max(self.slowest, took)
                del self.ending[daemon]

    def act(self):
        working = [d for d in self.daemons if d.alive and d not in self.ending]
        gone = [d for d in self.daemons if not d.alive and d not in self.ending]
        if gone and (len(working) < 2 or self.rng.random() < 0.5):
            self.rng.choice(gone).start(wait=False)
            self.done["start"] += 1
        elif len(working) > 1:
            daemon = self.rng.choice(working)
            if self.rng.random() < 0.5:
                daemon.kill()
                self.done["kill"] += 1
            else:
                daemon.child.signal(signal.SIGTERM)
                self.ending[daemon] = time.monotonic()
                self.done["stop"] += 1

    def run(self, seconds, served):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            due = time.monotonic() + self.rng.uniform(1, 4)
            while time.monotonic() < due:
                for daemon in self.daemons:
                    assert daemon.alive or daemon in self.ending or daemon.starts == 0 or \
                        daemon.child.popen.returncode in (0, -signal.SIGKILL), \
                        "%s ended with %d" % (daemon.name, daemon.child.popen.returncode)
                self.look_at_ending()
                served.look()
                passes(0.2)
            self.act()
        wait_until(lambda: self.look_at_ending() or not self.ending, BUDGET_MS / 1000 + 5,
                   "who was stopped ends")


@cases_of([("%s_daemons_killed_stopped_and_started_under_load_stay_exact" % name, (count, seed))
           for name, count, seed in (("two", 2, 121), ("three", 3, 122))], seconds=CHAOS_S + 240)
def chaos(t, count, seed):
    world = t.world(kafka__instance="d0", batch__max_events=500, **SESSION)
    audit = Audit(world)
    daemons = [world.daemon, *(member(world, "d%d" % n) for n in range(1, count))]
    factory = world.factory(seed)
    world.send(factory.make(2000))
    world.sell_out(world.sent, 2, 5)
    feeder = Feeder(world, factory, 800)
    for daemon in daemons:
        daemon.start()
    shared(world, count)
    served, mayhem = Served(world), Chaos(world, daemons, seed)
    mayhem.run(CHAOS_S, served)
    feeder.stop()
    alive = [d for d in daemons if d.alive]
    world.wait_done()
    moves = audit.judge()
    world.judge(running=True)
    fenced = sum(d.log().count("has another owner by now") for d in daemons)
    t.note("%d kills, %d stops, %d starts; %d records in %d transactions; %d batches fenced",
           mayhem.done["kill"], mayhem.done["stop"], mayhem.done["start"], len(world.sent), moves,
           fenced)
    t.figure("%d daemons in %d s of kills and stops: a partition stood still for %.1f s at most, "
             "SIGTERM to exit took %.1f s at most", count, CHAOS_S, served.longest, mayhem.slowest)
    assert min(mayhem.done.values()) > 0 or CHAOS_S < 30, mayhem.done
    for daemon in alive:
        stopped(daemon, BUDGET_MS)


@case
def a_standby_daemon_takes_over_within_the_session_timeout_after_kill_9(t):
    """One partition: the first daemon has it, the workers of the second have nothing to do."""
    world = t.world(partitions=1, kafka__workers=1, kafka__instance="a", **SESSION)
    standby = member(world, "b", kafka__workers=3)
    feeder = Feeder(world, world.factory(131), 500)
    world.daemon.start()
    world.wait_decided(200)
    standby.start()
    standby.wait_status("standing by", 15)
    wait_until(lambda: owners(world) == {0: world.daemon.pid}, 15, "the first daemon has it again")
    world.wait_decided(world.decided() + 100)
    world.daemon.kill()
    begin, before = time.monotonic(), world.decided()
    world.wait_decided(before + 1, SESSION_MS / 1000 + 20, " by the standby daemon")
    took = time.monotonic() - begin
    t.figure("kill -9 to the standby's first commit: %.1f s (session timeout %d s)", took,
             SESSION_MS // 1000)
    assert took < SESSION_MS / 1000 + 3, "%.1f s" % took
    assert owners(world) == {0: standby.pid}
    feeder.stop()
    world.wait_done()
    world.judge(running=True)
    stopped(standby)


@case
def a_killed_daemons_partitions_go_to_the_spare_workers_of_another(t):
    """More workers than partitions: everybody READY, all served, and one killed."""
    world = t.world(kafka__workers=5, kafka__instance="a", **SESSION)
    other = member(world, "b")
    world.daemon.start()
    other.start()
    shared(world, 2)
    world.send(world.factory(132).make(1000))
    world.wait_done()
    world.daemon.kill()
    begin = time.monotonic()
    assigned(other, range(3), SESSION_MS / 1000 + 10)
    took = time.monotonic() - begin
    t.figure("kill -9 to the other daemon's having all partitions: %.1f s", took)
    assert took < SESSION_MS / 1000 + 3, "%.1f s" % took
    world.send(world.factory(133, prefix="after").make(1000))
    world.wait_done()
    assert set(owners(world).values()) == {other.pid}
    world.judge(running=True)
    stopped(other)


@case
def of_two_daemons_with_one_instance_name_one_exits_69_and_the_other_works(t):
    world = t.world(kafka__instance="same", **SESSION)
    audit = Audit(world)
    feeder = Feeder(world, world.factory(141), 1000)
    world.daemon.start()
    world.wait_decided(500)
    twin = world.another(t, world.directory, "twin")
    twin.start(wait=False)
    wait_until(lambda: not (world.daemon.alive and twin.alive), 30, "one of them ends")
    fenced, works = (world.daemon, twin) if twin.alive else (twin, world.daemon)
    t.note("the %s one is fenced", "second" if works is world.daemon else "first")
    code = fenced.child.wait(5)
    assert code == 69, "exit %d" % code
    assert "kafka.instance" in fenced.log(), "its log does not name kafka.instance"
    works.wait_ready()
    before = world.decided()
    world.wait_decided(before + 1000, 30, " by the one that is left")
    assert works.alive and set(owners(world).values()) == {works.pid}
    feeder.stop()
    world.wait_done()
    audit.judge()
    world.judge(running=True)
    stopped(works)


ROLE = {"synchronous_commit": "off", "default_transaction_isolation": "'repeatable read'",
        "default_transaction_read_only": "on"}


@case
def defaults_of_the_daemons_role_are_overridden_by_its_transactions(t):
    """synchronous_commit off, repeatable read, read only: each commit runs as it must."""
    world = t.world(batch__max_events=100)
    audit = Audit(world)
    postgres = world.postgres
    for name, value in ROLE.items():
        postgres.execute("postgres", "ALTER ROLE %s SET %s = %s" % (Postgres.DAEMON, name, value))
    t.cleanup(lambda: postgres.execute("postgres", "ALTER ROLE %s RESET ALL" % Postgres.DAEMON))
    probe = postgres.connect(world.database, Postgres.DAEMON)
    t.cleanup(probe.close)
    with probe.cursor() as q:
        for name, value in ROLE.items():
            q.execute("SHOW " + name)
            assert q.fetchone()[0] == value.strip("'"), "the role's %s does not count" % name
    world.daemon.start()
    world.send(world.factory(151).make(5000))
    world.wait_done(60)
    audit.judge()
    found = world.sql("SELECT DISTINCT synchronous, isolation, read_only FROM audit")
    assert found == [("on", "read committed", "off")], found
    world.finish(once=True)


if __name__ == "__main__":
    main(__file__)
