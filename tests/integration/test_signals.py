#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""SIGTERM at any moment and with any server down ends the daemon in time with exit 0."""

import signal
import time

from harness.fleet import Gate, freeze_in_transaction, heard, passes, stopped, through
from harness.process import wait_until
from harness.tap import case, cases_of, main
from harness.world import Feeder

# Shorter than the default: a daemon that waits for a server must not need all of it.
BUDGET_MS = 8000
BUDGET = {"limits__stop_ms": BUDGET_MS}
SIGPIPE_BIT = 1 << (signal.SIGPIPE - 1)


def again(world, once=False):
    """The next start finds everything as it should be."""
    world.daemon.start()
    world.finish(once=once)


def told_to_stop(daemon):
    daemon.child.signal(signal.SIGTERM)
    wait_until(lambda: daemon.told("STOPPING"), 5, "STOPPING=1")


@case
def sigterm_when_idle_exits_0_soon(t):
    world = t.world(**BUDGET)
    world.daemon.start()
    world.send(world.factory(81).make(500))
    world.wait_done()
    took = stopped(world.daemon, 3000)
    t.figure("SIGTERM to exit when idle: %.2f s", took)
    # Given back: whoever comes next counts no crash.
    assert world.sql("SELECT DISTINCT owner, unclean_claims FROM consumer_progress") == [(None, 0)]
    again(world, once=True)


@case
def sigterm_inside_a_transaction_that_waits_for_a_row_exits_0_in_time(t):
    world = t.world(**BUDGET)
    world.daemon.start()
    holder = world.postgres.connect(world.database)
    t.cleanup(holder.close)
    with holder.cursor() as q:
        q.execute("BEGIN; SELECT * FROM ticket_type FOR UPDATE")
        world.send(world.factory(82).make(1000))
        wait_until(lambda: world.open_transactions() > 0, 10, "a transaction is open")
        took = stopped(world.daemon, BUDGET_MS)
        q.execute("ROLLBACK")
    t.figure("SIGTERM to exit inside a transaction: %.2f s", took)
    again(world, once=True)


@case
def sigterm_during_a_slow_commit_waits_for_it_and_publishes_its_outcomes(t):
    world = t.world(partitions=1, kafka__workers=1, **BUDGET)
    world.sql("""
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2);
  RETURN NULL; END';
CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON consumer_progress DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (OLD.next_offset <> NEW.next_offset) EXECUTE FUNCTION slow()""")
    world.daemon.start()
    world.send(world.factory(83).make(200))
    wait_until(lambda: world.sql("SELECT 1 FROM pg_stat_activity WHERE datname = "
                                 "current_database() AND query = 'COMMIT' AND state = 'active'"),
               10, "a COMMIT is at work")
    took = stopped(world.daemon, BUDGET_MS)
    t.figure("SIGTERM to exit during a COMMIT of 2 s: %.2f s", took)
    decided = world.decided()
    assert decided > 0, "the transaction was given up"
    assert world.published() == decided and sum(world.group.committed()) == decided
    world.sql("DROP TRIGGER slow ON consumer_progress")
    again(world, once=True)


@cases_of([("sigterm_during_a_commit_that_%s_exits_0_in_time" % name, (name,))
           for name in ("never_answers", "is_in_doubt")])
def unanswered_commit(t, name):
    world = t.world(partitions=1, kafka__workers=1, **BUDGET)
    gate = Gate(world)

    def hold():
        if name == "never_answers":
            gate.freeze()
            return None
        gate.refusing = True
        return "answered"
    gate.at_commit = hold
    world.daemon.configure(database__conninfo=through(world, gate))
    world.daemon.start()
    world.send(world.factory(84).make(200))
    wait_until(lambda: gate.commits > 0, 10, "a COMMIT was sent")
    if name == "is_in_doubt":
        heard(world.daemon, "the answer to COMMIT was lost")
    took = stopped(world.daemon, BUDGET_MS)
    t.figure("SIGTERM to exit when a COMMIT %s: %.2f s", name.replace("_", " "), took)
    gate.thaw()
    gate.open()
    again(world)


SERVERS = [(server, how) for server in ("postgresql", "redis", "kafka")
           for how in ("down", "frozen")]


def take_away(t, world, server, how):
    """Returns what brings the server back; it is called by itself if the case fails."""
    if server == "postgresql":
        # All of its processes: by way of a proxy, which can be silent or refuse.
        gate = world.gate
        gate.block() if how == "down" else gate.freeze()
        return lambda: (gate.thaw(), gate.open())
    target = world.redis.child if server == "redis" else world.broker
    if how == "frozen":
        target.signal(signal.SIGSTOP)
        back = lambda: target.signal(signal.SIGCONT)
    elif server == "redis":
        world.redis.stop()
        back = world.redis.start
    else:
        world.broker.kill()
        back = world.broker.start
    t.cleanup(back)

    def restore():
        t.cleanups.remove(back)
        back()
    return restore


WAITS = {"postgresql": "waiting for PostgreSQL", "redis": "waiting for Redis",
         "kafka": "waiting for Kafka"}


@cases_of([("sigterm_while_waiting_for_a_%s_%s_exits_0_in_time" % (how, server), (server, how))
           for server, how in (("postgresql", "frozen"), ("redis", "frozen"), ("kafka", "down"),
                               ("kafka", "frozen"))])
def without(t, server, how):
    """Under load, once the daemon has said that it waits."""
    world = t.world(lock__fallback="wait", **BUDGET)
    world.gate = Gate(world)
    if server == "postgresql":
        world.daemon.configure(database__conninfo=through(world, world.gate))
    feeder = Feeder(world, world.factory(85), 1500)
    world.daemon.start()
    world.wait_decided(1000)
    restore = take_away(t, world, server, how)
    if server == "kafka":
        feeder.stopping.set()
    status = world.daemon.wait_status(WAITS[server], 20)
    t.note("%s", status)
    assert "other members" not in status, "it cannot know that: " + status
    took = stopped(world.daemon, BUDGET_MS)
    t.figure("SIGTERM to exit while waiting for %s, which is %s: %.2f s", server, how, took)
    restore()
    feeder.stop()
    again(world)


@cases_of([("sigterm_right_after_%s_is_%s_exits_0_in_time" % pair, pair) for pair in SERVERS])
def right_after(t, server, how):
    """In the middle of work, before the daemon has noticed anything."""
    world = t.world(lock__fallback="wait", **BUDGET)
    world.gate = Gate(world)
    if server == "postgresql":
        world.daemon.configure(database__conninfo=through(world, world.gate))
    feeder = Feeder(world, world.factory(86), 1500)
    world.daemon.start()
    freeze_in_transaction(world)
    restore = take_away(t, world, server, how)
    world.daemon.child.thaw()
    took = stopped(world.daemon, BUDGET_MS)
    t.figure("SIGTERM to exit right after %s is %s: %.2f s", server, how, took)
    restore()
    feeder.stop()
    again(world)


@cases_of([("sigterm_before_ready_with_%s_%s_exits_0_in_time" % pair, pair) for pair in SERVERS])
def before_ready(t, server, how):
    world = t.world(lock__fallback="wait", **BUDGET)
    world.gate = Gate(world)
    if server == "postgresql":
        world.daemon.configure(database__conninfo=through(world, world.gate))
    world.send(world.factory(87).make(300))
    restore = take_away(t, world, server, how)
    world.daemon.start(wait=False)
    world.daemon.wait_status(WAITS[server], 20)
    took = stopped(world.daemon, BUDGET_MS)
    assert not world.daemon.ready
    t.figure("SIGTERM to exit before READY with %s %s: %.2f s", server, how, took)
    restore()
    again(world, once=True)


@case
def a_second_sigterm_ends_a_daemon_that_waits_for_a_frozen_broker_at_once(t):
    world = t.world()
    feeder = Feeder(world, world.factory(88), 1500)
    world.daemon.start()
    freeze_in_transaction(world)
    restore = take_away(t, world, "kafka", "frozen")
    world.daemon.child.thaw()
    told_to_stop(world.daemon)
    # It has something to wait for, so the second one is what ends it.
    passes(1)
    assert world.daemon.alive
    begin = time.monotonic()
    world.daemon.child.signal(signal.SIGTERM)
    assert world.daemon.child.wait(5) == 0
    took = time.monotonic() - begin
    t.figure("second SIGTERM to exit: %.3f s", took)
    assert took < 1, "%.2f s after the second SIGTERM" % took
    restore()
    feeder.stop()
    again(world)


@case
def sigpipe_is_ignored(t):
    """Sent, and caused: both servers close connections while something is written into them."""
    world = t.world(batch__max_events=50)
    feeder = Feeder(world, world.factory(89), 2000)
    world.daemon.start()
    with open("/proc/%d/status" % world.daemon.pid, encoding="ascii") as file:
        mask = next(line for line in file if line.startswith("SigIgn:"))
    assert int(mask.split()[1], 16) & SIGPIPE_BIT, mask
    client = world.redis.client()
    t.cleanup(client.close)
    for _ in range(8):
        before = world.decided()
        world.daemon.child.signal(signal.SIGPIPE)
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        world.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s AND "
                  "datname = current_database()", world.postgres.DAEMON)
        world.wait_decided(before + 100, 15, " after connections were cut")
    feeder.stop()
    assert world.daemon.alive and world.daemon.starts == 1
    world.finish()


if __name__ == "__main__":
    main(__file__)
