#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A server stops under load and comes back: nothing is lost, STATUS says why, work goes on."""

import signal
import time

from harness.process import wait_until
from harness.tap import case, cases_of, main
from harness.world import Feeder

NAMED_WITHIN_S = RESUMED_WITHIN_S = 5


class Outage:
    """The daemon under a steady load of a few thousand events a second."""

    def __init__(self, t, seed, rate=2000, **settings):
        self.t = t
        self.world = t.world(**settings)
        self.feeder = Feeder(self.world, self.world.factory(seed), rate)
        self.world.daemon.start()
        self.world.wait_decided(2000)
        self.stopped = time.monotonic()

    def named(self, pattern):
        """STATUS gives the cause in time, and again after a while."""
        status = self.world.daemon.wait_status(pattern, NAMED_WITHIN_S, self.stopped)
        self.t.note("after %.1f s: %s", time.monotonic() - self.stopped, status)

    def lasts(self, seconds):
        """The outage lasts so long; the daemon lives and stays READY."""
        until = self.stopped + seconds
        wait_until(lambda: time.monotonic() > until, seconds + 5, "the outage's end")
        assert self.world.daemon.alive, "the daemon ended"

    def resumes(self):
        """The server is back now: records are decided again in time."""
        repaired = time.monotonic()
        before = self.world.decided()
        self.world.wait_decided(before + 1, RESUMED_WITHIN_S, " after the repair")
        self.t.note("work resumed after %.1f s", time.monotonic() - repaired)
        self.world.daemon.wait_status(r"consuming \d+/\d+", 10)

    def ends(self, once=False):
        self.feeder.stop()
        self.world.finish(once=once)
        assert self.world.daemon.starts == 1


@cases_of([("postgresql_%s" % name, (how,)) for name, how in (
    ("stopped_and_started", signal.SIGINT), ("crashed_and_started", signal.SIGQUIT))])
def postgresql(t, how):
    outage = Outage(t, 31)
    postgres = outage.world.postgres
    t.cleanup(lambda: postgres.child.alive or postgres.start())
    postgres.stop(how)
    outage.named("PostgreSQL")
    outage.lasts(6)
    postgres.start()
    outage.world.reconnect()
    outage.resumes()
    outage.ends()


@case
def postgresql_backend_killed(t):
    """kill -9 of one backend: PostgreSQL ends all sessions and recovers."""
    outage = Outage(t, 32)
    postgres = outage.world.postgres
    pid = outage.world.sql("SELECT pid FROM pg_stat_activity WHERE usename = %s AND datname = "
                           "current_database() LIMIT 1", postgres.DAEMON)[0][0]
    postgres.kill_backend(pid)
    postgres.wait_ready()
    outage.world.reconnect()
    outage.resumes()
    outage.ends()


@case
def redis_stopped_with_fallback_database(t):
    """Sales go on under PostgreSQL's row locks, and it is said."""
    outage = Outage(t, 33, lock__fallback="database")
    redis = outage.world.redis
    t.cleanup(redis.start)
    redis.stop()
    before = outage.world.decided()
    outage.named("Redis")
    outage.world.wait_decided(before + 4000, NAMED_WITHIN_S, " without Redis")
    outage.lasts(6)
    redis.start()
    t.cleanups.remove(redis.start)
    outage.resumes()
    outage.world.daemon.wait_status(r"^((?!Redis).)*$", 5)
    outage.ends(once=True)


@case
def redis_stopped_with_fallback_wait(t):
    """Nothing is decided until it is back."""
    outage = Outage(t, 34, lock__fallback="wait")
    redis = outage.world.redis
    t.cleanup(redis.start)
    redis.stop()
    outage.named("Redis")
    held = outage.world.decided()
    outage.lasts(7)
    # A batch whose transaction held the lock already may have ended; none began.
    assert outage.world.decided() == held, "decided without the lock"
    redis.start()
    t.cleanups.remove(redis.start)
    outage.resumes()
    outage.ends(once=True)


@cases_of([("broker_%s" % name, (crash,)) for name, crash in (
    ("stopped_and_started", False), ("killed_and_started", True))])
def broker(t, crash):
    outage = Outage(t, 35)
    kafka = outage.world.broker
    t.cleanup(lambda: kafka.process.poll() is None or kafka.start())
    if crash:
        kafka.kill()
    else:
        kafka.stop()
    outage.stopped = time.monotonic()
    outage.named("Kafka")
    outage.lasts(6)
    kafka.start()
    outage.resumes()
    outage.ends()


if __name__ == "__main__":
    main(__file__)
