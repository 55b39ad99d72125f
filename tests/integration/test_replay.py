#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The database is older or newer than Kafka's offsets: restored, emptied, offsets reset or lost."""

import os
import signal
import subprocess

from harness.broker import Group
from harness.holds import delete_group, fewer_than_offsets, judge, orders, outcomes, progress, \
    snapshot, stop, wait_progress, wait_stopped
from harness.postgres import program
from harness.process import wait_until
from harness.tap import case, cases_of, main
from harness.world import Feeder


# ---- row 21

def dump(world, name="dump.sql"):
    path = os.path.join(world.directory, name)
    done = subprocess.run([program("pg_dump"), "-f", path, "-d",
                           world.postgres.conninfo(world.database, "postgres")],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 0, done.stderr
    return path


def new_database(world):
    """The daemon's connections are ended; it cannot come back before the database is whole."""
    world.connection.close()
    postgres = world.postgres
    postgres.execute("postgres", "ALTER ROLE ticketpayd NOLOGIN")
    try:
        postgres.execute("postgres", "DROP DATABASE %s WITH (FORCE)" % world.database)
        postgres.create_database(world.database)
        yield
    finally:
        postgres.execute("postgres", "ALTER ROLE ticketpayd LOGIN")
    world.reconnect()


def restore(world, path):
    for _ in new_database(world):
        world.postgres.run_file(world.database, path, user="postgres")


def empty(world):
    for _ in new_database(world):
        world.migrate()


@case
def an_older_database_is_restored_and_its_progress_counts(t):
    world = t.world(batch__max_events=500)
    factory = world.factory(21)
    records = factory.make(6000)
    world.sell_out(records, 2, 0.7)
    world.daemon.start()
    world.send(records[:3000])
    world.wait_done()
    stop(world)
    path, old = dump(world), snapshot(world)
    world.daemon.start()
    world.send(records[3000:])
    world.wait_done()
    stop(world)
    first = outcomes(world)
    newer = world.sql("SELECT kafka_partition, next_offset FROM consumer_progress")
    restore(world, path)
    assert snapshot(world) == old
    at = dict(world.sql("SELECT kafka_partition, published_offset FROM consumer_progress"))
    world.daemon.start()
    wait_progress(world, dict(newer))
    world.wait_done()
    again = outcomes(world)
    for where, told in first.items():
        # What lies above the dump is decided once more and said again; nothing else is.
        times = 2 if where[1] >= at[where[0]] else 1
        assert len(again[where]) == times * len(told), (where, again[where])
    assert set(old["payment"]) < set(snapshot(world)["payment"])
    judge(world, latest=True, running=True)
    stop(world)


def write_when_idle(world):
    """Idle, the daemon writes its progress from time to time."""
    now = world.sql("SELECT clock_timestamp()")[0][0]
    wait_until(lambda: not world.sql("SELECT 1 FROM consumer_progress WHERE updated_at < %s", now),
               30, lambda: "all rows are written: " + world.daemon.status)


def in_order(world):
    rows = [progress(world, p)[:2] for p in range(3)]
    assert all(published <= following for following, published in rows), rows


def restart(world):
    stop(world)
    in_order(world)
    world.daemon.start()


@cases_of([("an_older_database_comes_back_under_a_running_daemon_" + name, (then,))
           for name, then in (("that_is_idle", write_when_idle), ("that_is_stopped", restart),
                              ("that_gets_records", lambda world: None))])
def comes_back(t, then):
    """As when a standby takes over that had not received everything: owner and all."""
    world = t.world()
    world.daemon.start()
    world.send([r for p in range(3) for r in orders("first", 200, p)])
    world.wait_done()
    path = dump(world)
    world.send([r for p in range(3) for r in orders("second", 200, p)])
    world.wait_done()
    restore(world, path)
    assert world.decided() == 600
    then(world)
    in_order(world)
    world.send([r for p in range(3) for r in orders("third", 50, p)])
    world.wait_done(60)
    judge(world, latest=True, running=True)
    stop(world)


@case
def an_older_database_comes_back_under_load(t):
    world = t.world(batch__max_events=200)
    world.daemon.start()
    feeder = Feeder(world, world.factory(22), 1500)
    world.wait_decided(1500)
    path = dump(world)
    world.wait_decided(world.decided() + 2000)
    restore(world, path)
    before = world.decided()
    world.wait_decided(before + 1500)
    feeder.stop()
    world.wait_done(60)
    judge(world, latest=True, running=True)
    stop(world)


# ---- row 22, and the leftovers of an old test beside a fresh database

def wait_refused(world, committed):
    for p in range(3):
        listed = wait_stopped(world, p, "no progress row", "progress adopt", "seek", row=False)
        assert (listed["committed"], listed["high"], listed["next_offset"]) == (
            committed, 100, None), listed
    assert "progress adopt" in world.ctl.ok("status").out
    run = world.ctl.run("resume")
    assert run.code == 1 and "adopt" in run.err, str(run)
    assert world.daemon.ready and world.daemon.alive
    assert world.sql("SELECT (SELECT count(*) FROM payment), (SELECT count(*) FROM dead_letter), "
                     "(SELECT count(*) FROM consumer_progress)") == [(0, 0, 0)]
    assert world.sql("SELECT count(*) FROM ticket_type WHERE remaining < total") == [(0,)]
    assert outcomes(world) == {}


def leftovers(t, committed):
    """An old test's records, its group's offsets, and a database that knows nothing of them."""
    world = t.world(kafka__instance="none")
    world.send([r for p in range(3) for r in orders("left", 100, p)])
    world.group.reset(committed)
    world.daemon.start()
    wait_refused(world, committed)
    return world


@case
def leftovers_beside_a_fresh_database_book_nothing_until_adopt_skips_them(t):
    world = leftovers(t, 80)
    pid = world.daemon.pid
    world.ctl.ok("progress", "adopt", "--yes")
    world.send([r for p in range(3) for r in orders("new", 20, p)])
    world.wait_done()
    assert world.daemon.pid == pid and world.daemon.alive
    judge(world, sent=[r for r in world.sent if r.offset >= 80],
          but=fewer_than_offsets, once=True, running=True)
    stop(world)


@case
def leftovers_beside_a_fresh_database_are_booked_by_seek(t):
    world = leftovers(t, 80)
    for p in range(3):
        # The ones that are not told go on standing still.
        assert [progress(world, q) is None for q in range(3)] == [q >= p for q in range(3)]
        world.ctl.ok("progress", "seek", "--partition", p, "--to", "earliest", "--yes")
        wait_progress(world, {p: 100})
    world.wait_done()
    judge(world, once=True, running=True)
    stop(world)


@case
def a_partition_without_a_committed_offset_goes_on_beside_those_that_wait(t):
    world = t.world(kafka__instance="none")
    world.send([r for p in range(3) for r in orders("left", 100, p)])
    world.group.consumer.commit(offsets=world.group.all(80)[:2], asynchronous=False)
    world.daemon.start()
    for p in (0, 1):
        wait_stopped(world, p, "no progress row", "progress adopt", row=False)
    wait_progress(world, {2: 100})
    assert world.sql("SELECT DISTINCT kafka_partition FROM payment") == [(2,)]
    # Its offset does not go back: adopt is for those two.
    world.ctl.ok("progress", "adopt", "--partition", 0, "--yes")
    world.ctl.ok("progress", "adopt", "--partition", 1, "--yes")
    world.wait_done()
    judge(world, sent=[r for r in world.sent if r.partition == 2 or r.offset >= 80],
          but=fewer_than_offsets, once=True, running=True)
    stop(world)


@case
def a_database_emptied_under_us_books_nothing_anew(t):
    """The group's offsets say that all was decided: it must not be sold a second time."""
    world = t.world()
    world.daemon.start()
    world.send([r for p in range(3) for r in orders("sold", 100, p)])
    world.wait_done()
    empty(world)
    for p in range(3):
        wait_stopped(world, p, "no progress row", "progress adopt", row=False)
    world.send([r for p in range(3) for r in orders("new", 20, p)])
    assert snapshot(world)["payment"] == []
    world.ctl.ok("progress", "adopt", "--yes")
    world.wait_done()
    assert world.sql("SELECT count(*) FROM payment WHERE order_id LIKE 'new%%'") == [(60,)]
    assert world.sql("SELECT count(*) FROM payment") == [(60,)]
    world.ctl.ok("verify", "--kafka")
    stop(world)


# ---- row 23

@case
def group_offsets_reset_to_earliest_publish_everything_again_and_change_no_row(t):
    world = t.world(kafka__instance="none")
    records = world.factory(23).make(3000)
    world.sell_out(records, 2)
    world.daemon.start()
    world.send(records)
    world.wait_done()
    stop(world)
    before, told = snapshot(world), outcomes(world)
    world.group.reset(0)
    world.daemon.start()

    def again():
        found = outcomes(world)
        return all(len(found[where]) >= 2 for where in told) and found
    found = wait_until(again, 60, "every outcome comes again", every=0.3)
    world.wait_done()
    assert snapshot(world) == before
    for where, first in told.items():
        # Only what remained at the time is not known any more.
        for o in (first[0], *found[where]):
            o.pop("remaining", None)
        assert found[where] == [first[0]] * len(found[where]), where
    judge(world, running=True)
    stop(world)


@case
def a_renamed_group_decides_everything_again_and_changes_no_row(t):
    world = t.world()
    records = world.factory(24).make(3000)
    world.sell_out(records, 2)
    world.daemon.start()
    world.send(records)
    world.wait_done()
    stop(world)
    before, told = snapshot(world), outcomes(world)
    world.group_name += "-renamed"
    world.settings["kafka.group"] = world.group_name
    world.daemon.configure(kafka__group=world.group_name)
    world.group.close()
    world.group = Group(world.broker.bootstrap, world.group_name, world.topic, 3)
    world.daemon.start()
    world.wait_done()
    assert snapshot(world) == before
    found = outcomes(world)
    assert found.keys() == told.keys() and all(len(found[w]) >= 2 for w in told)
    judge(world, running=True)
    stop(world)


# ---- row 65 (killed inside the very first transaction: test_kill.py)

@case
def killed_before_any_kafka_commit_and_with_the_groups_offsets_deleted(t):
    # Kafka deletes the group when the killed member's session has run out.
    world = t.world(kafka__instance="none", kafka__properties=["session.timeout.ms=3000"])
    records = world.factory(65).make(6000)
    world.send(records)
    holder = world.postgres.connect(world.database)
    t.cleanup(holder.close)
    holder.autocommit = False
    with holder.cursor() as q:
        q.execute("SELECT * FROM ticket_type FOR UPDATE")
    world.daemon.start(wait=False)
    wait_until(lambda: world.open_transactions() > 0, 30, "the first transaction is open")
    # The first batches are decided; nothing of it reaches Kafka.
    world.broker.signal(signal.SIGSTOP)
    t.cleanup(lambda: world.broker.signal(signal.SIGCONT))
    holder.rollback()
    world.wait_decided(1, 20)
    world.daemon.kill()
    world.broker.signal(signal.SIGCONT)
    assert world.decided() > 0 and world.published() == 0
    assert max(world.group.committed()) <= 0
    first, reached = snapshot(world), world.decided()
    delete_group(world)
    world.daemon.start()
    world.wait_done()
    for table in ("payment", "dead_letter"):
        assert set(first[table]) <= set(snapshot(world)[table]), "decided a second time"
    t.note("%d records were decided before the kill", reached)
    judge(world, running=True)
    # Once more after everything: Kafka's offsets may expire at any time.
    stop(world)
    before = snapshot(world)
    delete_group(world)
    world.daemon.start()
    world.send([r for p in range(3) for r in orders("late", 10, p)])
    world.wait_done()
    assert set(before["payment"]) <= set(snapshot(world)["payment"])
    judge(world, running=True)
    stop(world)


main(__file__)
