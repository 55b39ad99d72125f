#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Signs of life for systemd: as long as no worker is stuck, and not a moment longer."""

import ctypes
import os
import signal
import time

from harness.process import wait_until
from harness.tap import case, main

LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WAIT_ALL_THREADS = 0x40000000  # __WALL

# The longest step that is no reason to worry is the sum of these and 15 s for Kafka's calls.
SHORT = {
    "database__transaction_timeout_ms": 500, "database__connect_timeout_ms": 500,
    "lock__wait_ms": 100, "lock__redis_timeout_ms": 100, "lock__lease_ms": 1000,
}


def ptrace(request, tid):
    if LIBC.ptrace(request, tid, None, None) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def threads(pid):
    return sorted(int(t) for t in os.listdir("/proc/%d/task" % pid))


def worker_threads(pid):
    """Ours carry the program's name and no other; librdkafka's have names of their own."""
    found = []
    for tid in threads(pid)[1:]:
        with open("/proc/%d/task/%d/comm" % (pid, tid), encoding="ascii") as file:
            if file.read().startswith("worker-"):
                found.append(tid)
    return found


def signs(daemon, since):
    return len(daemon.told("WATCHDOG", since=since))


def started(t):
    world = t.world(**SHORT)
    world.daemon.environment = {"WATCHDOG_USEC": "1000000"}
    world.daemon.start()
    return world


@case
def a_bounded_wait_is_alive(t):
    world = started(t)
    world.send(world.factory(1).make(300))
    world.wait_done()
    world.postgres.stop()
    world.daemon.wait_status("waiting for PostgreSQL", 10)
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() > begin + 5, 10, "five seconds without PostgreSQL")
    assert signs(world.daemon, begin) >= 5, signs(world.daemon, begin)
    world.postgres.start()
    world.reconnect()
    world.finish()


@case(seconds=120)
def a_worker_that_is_stuck_is_not(t):
    world = started(t)
    daemon = world.daemon
    victims = worker_threads(daemon.pid)
    assert len(victims) == 3, victims
    ptrace(PTRACE_SEIZE, victims[1])
    ptrace(PTRACE_INTERRUPT, victims[1])
    os.waitpid(victims[1], WAIT_ALL_THREADS)  # from here on this one thread stands still

    def silent():
        heard = [at for at, name, _ in daemon.notifications.heard if name == "WATCHDOG"]
        return time.monotonic() - heard[-1] > 3
    wait_until(silent, 60, "the signs of life end")
    assert "worker 1 has been at one step for" in daemon.log(), "the log names the worker"

    begin = time.monotonic()
    ptrace(PTRACE_DETACH, victims[1])
    wait_until(lambda: signs(daemon, begin) > 1, 10, "it is alive again")
    world.finish()


def extensions(daemon, since=0.0):
    return [(at, int(value)) for at, name, value in daemon.notifications.heard
            if name == "EXTEND_TIMEOUT_USEC" and at > since]


@case
def a_start_that_waits_asks_for_more_time_and_a_ready_daemon_does_not(t):
    world = t.world(topics=False)
    daemon = world.daemon
    daemon.start(wait=False)
    begin = time.monotonic()
    wait_until(lambda: len(extensions(daemon)) >= 3, 30, "three extensions")
    said = extensions(daemon)
    # Each one ends before the one before it is over, so that systemd never gives up.
    times = [begin, *(at for at, _ in said)]
    assert all(b - a < 10 for a, b in zip(times, times[1:])), said
    assert all(value > 10e6 for _, value in said), said
    world.create_topics()
    daemon.wait_ready()
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() > begin + 7, 10, "longer than from one to the next")
    assert not extensions(daemon, begin), extensions(daemon, begin)


@case(seconds=120)
def a_start_that_is_stuck_gets_no_more_time(t):
    world = t.world(topics=False, **SHORT)
    daemon = world.daemon
    daemon.start(wait=False)
    daemon.wait_status(world.topic, 10)
    victim = worker_threads(daemon.pid)[0]
    ptrace(PTRACE_SEIZE, victim)
    ptrace(PTRACE_INTERRUPT, victim)
    os.waitpid(victim, WAIT_ALL_THREADS)
    wait_until(lambda: "is stuck" in daemon.log(), 60, "it is found out")
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() > begin + 7, 10, "longer than from one to the next")
    assert not extensions(daemon, begin), extensions(daemon, begin)
    ptrace(PTRACE_DETACH, victim)
    wait_until(lambda: extensions(daemon, begin), 10, "it is alive again")


@case
def a_long_drain_asks_for_more_time(t):
    world = t.world(limits__stop_ms=20000, database__transaction_timeout_ms=12000,
                    lock__lease_ms=14000)
    daemon = world.daemon
    daemon.start()
    holder = world.postgres.connect(world.database)
    t.cleanup(holder.close)
    with holder.cursor() as q:
        q.execute("BEGIN; SELECT * FROM ticket_type FOR UPDATE")
        world.send(world.factory(2).make(500))
        wait_until(lambda: world.open_transactions() > 0, 10, "a transaction waits")
        begin = time.monotonic()
        daemon.child.signal(signal.SIGTERM)
        wait_until(lambda: extensions(daemon, begin), 10, "an extension after SIGTERM")
        q.execute("ROLLBACK")
    assert daemon.child.wait(20) == 0
    daemon.start()
    world.finish()


if __name__ == "__main__":
    main(__file__)
