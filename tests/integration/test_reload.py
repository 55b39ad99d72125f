#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: a broken file changes nothing, a good one is taken without a pause."""

import signal
import time

from harness.daemon import libconfig
from harness.process import wait_until
from harness.tap import case, main
from harness.world import Feeder


def write(daemon, text):
    with open(daemon.config_path, "w", encoding="utf-8") as out:
        out.write(text)


def hup(daemon):
    before = len(daemon.told("RELOADING"))
    daemon.child.signal(signal.SIGHUP)
    wait_until(lambda: len(daemon.told("RELOADING")) > before, 10, "RELOADING=1")


@case
def a_broken_and_a_good_file_under_load(t):
    world = t.world()
    world.daemon.start()
    feeder = Feeder(world, world.factory(61), 2000)
    world.wait_decided(2000)

    write(world.daemon, "batch = { max_events = 0; };\n")
    hup(world.daemon)
    wait_until(lambda: "the settings stay as they are: " in world.daemon.log(), 10, "it is said")
    assert "batch.max_events: 0 is below 1" in world.daemon.log()

    good = {**world.daemon.settings, "batch.max_events": 7, "log.level": "debug",
            "kafka.group": "another"}
    write(world.daemon, libconfig(good))
    hup(world.daemon)
    wait_until(lambda: "need a restart: kafka.group" in world.daemon.log(), 10, "it is taken")
    marked = len(world.daemon.log())
    wait_until(lambda: world.daemon.log()[marked:].count("7 records: ") >= 3, 20,
               "batches are of 7 records, and log.level is debug")
    assert world.daemon.alive
    feeder.stop()
    world.finish()


def reload_with(daemon, **settings):
    daemon.configure(**settings)
    write(daemon, libconfig(daemon.settings))
    hup(daemon)


@case
def systemd_is_told_when_a_reload_begins_and_ends(t):
    """RELOADING=1 with the time of CLOCK_MONOTONIC, then READY=1: sd_notify(3)."""
    world = t.world()
    daemon = world.daemon
    daemon.start()
    for text in (libconfig(daemon.settings), "this is no configuration"):
        count = len(daemon.notifications.heard)
        write(daemon, text)
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        hup(daemon)
        wait_until(lambda c=count: any(n == "READY" for _, n, _ in daemon.notifications.heard[c:]),
                   10, "READY=1 ends the reload")
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        said = [(n, v) for _, n, v in daemon.notifications.heard[count:]
                if n in ("RELOADING", "MONOTONIC_USEC", "READY")]
        assert [n for n, _ in said] == ["RELOADING", "MONOTONIC_USEC", "READY"], said
        assert said[0][1] == said[2][1] == "1", said
        assert before <= int(said[1][1]) <= after, (before, said, after)


@case
def a_reload_before_ready_does_not_end_the_start(t):
    world = t.world(topics=False)
    daemon = world.daemon
    daemon.start(wait=False)
    daemon.wait_status(world.topic, 10)
    daemon.child.signal(signal.SIGHUP)
    wait_until(lambda: "reload: the settings are taken" in daemon.log(), 10, "it is taken")
    assert not daemon.told("RELOADING", "READY"), daemon.notifications.heard
    world.create_topics()
    daemon.wait_ready()
    assert daemon.told("RELOADING", "READY") == [("READY", "1")]


@case
def a_reload_while_stopping_is_ignored(t):
    """READY=1 would take back STOPPING=1. A stock row that another session holds delays the end."""
    world = t.world()
    daemon = world.daemon
    daemon.start()
    holder = world.postgres.connect(world.database)
    t.cleanup(holder.close)
    with holder.cursor() as q:
        q.execute("BEGIN; SELECT * FROM ticket_type FOR UPDATE")
        world.send(world.factory(62).make(300))
        wait_until(lambda: world.open_transactions() > 0, 10, "a transaction waits")
        daemon.child.signal(signal.SIGTERM)
        wait_until(lambda: daemon.told("STOPPING"), 5, "STOPPING=1")
        daemon.child.signal(signal.SIGHUP)
        q.execute("ROLLBACK")
    assert daemon.child.wait(20) == 0
    assert daemon.told("STOPPING", "RELOADING", "READY") == [("READY", "1"), ("STOPPING", "1")]
    assert "reload:" not in daemon.log()


@case
def limits_and_the_lock_s_fallback_change_live(t):
    world = t.world(lock__fallback="database")
    daemon = world.daemon
    daemon.start()
    record = world.factory(63, malformed=0, conflicts=0, duplicates=0, unknown=0).make(1)
    record[0].value += b" " * 2000
    world.send(record)
    world.wait_done()
    reload_with(daemon, limits__event_bytes=1024, lock__fallback="wait")

    # A worker takes the new settings between two batches, soon, not at once.
    def refused():
        world.injector.send(record)
        return world.sql("SELECT 1 FROM dead_letter WHERE reason = 'TOO_LARGE' LIMIT 1")
    wait_until(refused, 10, "2 kB are too large now", every=0.2)

    world.redis.stop()
    t.cleanup(world.redis.start)
    before = world.decided()
    world.injector.send(world.factory(64, malformed=0).make(50))
    daemon.wait_status("waiting for Redis", 15)
    held = world.decided()
    reload_with(daemon, lock__fallback="database")
    wait_until(lambda: world.decided() > held, 15, "without Redis it goes on now")
    t.note("decided %d, then held at %d, then %d", before, held, world.decided())
    assert daemon.terminate() == 0
    world.ctl.ok("verify")


@case
def what_does_not_fit_to_what_stays_changes_nothing(t):
    """Valid as a whole; but the longer wait is taken live, and the longer transaction is not."""
    world = t.world()
    world.daemon.start()
    reload_with(world.daemon, lock__wait_ms=5000, log__level="debug",
                database__transaction_timeout_ms=9000, lock__lease_ms=12000)
    said = "the settings stay as they are: "
    wait_until(lambda: said in world.daemon.log(), 10, "it is said")
    line = next(text for text in world.daemon.log().splitlines() if said in text)
    assert "lock.wait_ms" in line, line
    assert "need a restart: database.transaction_timeout_ms, lock.lease_ms" in line, line
    world.send(world.factory(65).make(300))
    world.wait_done()
    assert "records: " not in world.daemon.log(), "log.level has changed"


@case
def reloads_under_load_make_no_pause_and_no_rebalance(t):
    """Twenty of them: the same owners hold the partitions, and between any two it goes on."""
    world = t.world()
    world.daemon.start()
    feeder = Feeder(world, world.factory(66), 3000)
    world.wait_decided(3000)
    owners = "SELECT kafka_partition, owner FROM consumer_progress ORDER BY 1"
    before = world.sql(owners)
    for number in range(20):
        reload_with(world.daemon, batch__max_events=100 + number)
        decided = world.decided()
        world.wait_decided(decided + 1500, 5, " within 5 s of reload %d" % number)
    assert world.sql(owners) == before, "partitions were claimed again"
    feeder.stop()
    world.finish(once=True)


if __name__ == "__main__":
    main(__file__)
