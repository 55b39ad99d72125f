#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 at any moment loses nothing and does nothing twice."""

import random
import signal
import time

from harness.process import wait_until
from harness.tap import case, cases_of, main

KILLS = 30
WORKERS = 3
LOOK_S = 0.03  # between two looks at most


def passes(seconds):
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= until, 60, "the moment", every=0.001)


class Hunt:
    """
    Finds the moments to kill the daemon at. It is frozen before anybody looks at it, so what is
    seen still holds when the kill comes, whatever the machine's speed.
    """

    def __init__(self, world, max_events, seed):
        self.world, self.rng, self.factory = world, random.Random(seed), world.factory(seed)
        # A COMMIT that has been sent is done without the daemon: this many may still be decided.
        self.under_way = WORKERS * max_events
        self.portion = max(2 * self.under_way, 8000)

    def undecided(self):
        return len(self.world.sent) - self.world.decided()

    def top_up(self):
        if self.undecided() < self.portion:
            self.world.send(self.factory.make(self.portion))

    def freeze_anywhere(self):
        """In its life, its start included."""
        passes(self.rng.uniform(0.02, 1.0))
        self.world.daemon.child.freeze()

    def freeze_at_work(self):
        before = self.world.decided()
        wait_until(lambda: self.world.decided() > before, 30,
                   lambda: "records are decided after a restart: " + self.world.daemon.status)
        self.freeze_in_transaction()

    def freeze_in_transaction(self):
        """Or when all is decided: so fast it may be."""
        passes(self.rng.uniform(0, LOOK_S))
        wait_until(lambda: self.world.open_transactions() > 0 or self.undecided() == 0, 10,
                   lambda: "a transaction is open: " + self.world.daemon.status, every=0)
        self.world.daemon.child.freeze()

    def catch(self, blindly):
        """The daemon stands still with records undecided; True: with a transaction open."""
        if blindly:
            self.freeze_anywhere()
        else:
            self.freeze_at_work()
        while True:
            found_open = self.world.open_transactions() > 0
            if self.undecided() > self.under_way and (blindly or found_open):
                return found_open
            self.top_up()
            self.world.daemon.child.thaw()
            self.freeze_in_transaction()


@cases_of([("killed_30_times_with_batches_of_%d" % n, (n, seed))
           for seed, n in ((11, 50), (12, 5000))], seconds=300)
def killed_30_times(t, max_events, seed):
    # Each kill orphans the Redis lock: this is what the next life waits for it.
    world = t.world(kafka__workers=WORKERS, batch__max_events=max_events, lock__wait_ms=100)
    hunt = Hunt(world, max_events, seed)
    hunt.top_up()
    world.sell_out(world.sent, 2)
    found_open = 0
    for number in range(KILLS):
        hunt.top_up()
        world.daemon.start(wait=False)
        # A fifth of the kills come blindly; the others when work is under way.
        found_open += hunt.catch(blindly=number % 5 == 4)
        world.daemon.child.signal(signal.SIGKILL)
        assert world.daemon.child.wait(10) == -signal.SIGKILL, "it ended by itself"
        assert hunt.undecided() > 0, "kill %d came after the last record" % number
    t.note("%d kills, %d of them with a transaction open; %d records", KILLS, found_open,
           len(world.sent))
    assert found_open >= 20, "only %d kills found a transaction open" % found_open
    world.daemon.start()
    world.finish()


@case
def killed_inside_the_first_transaction(t):
    """Nothing is decided yet, and no offset was ever committed."""
    world = t.world()
    world.send(world.factory(13).make(6000))
    holder = world.postgres.connect(world.database)
    t.cleanup(holder.close)
    with holder.cursor() as q:
        # The stock rows are the last thing a transaction locks: all three stop right before.
        q.execute("BEGIN; SELECT * FROM ticket_type FOR UPDATE")
        world.daemon.start(wait=False)
        wait_until(lambda: world.open_transactions() > 0, 30, "the first transaction is open")
        world.daemon.kill()
        q.execute("ROLLBACK")
    wait_until(lambda: world.open_transactions() == 0, 30, "PostgreSQL rolls it back")
    assert world.decided() == 0 and max(world.group.committed()) <= 0
    world.daemon.start()
    world.finish()


@case
def killed_after_the_first_commit_and_before_its_outcomes(t):
    """PostgreSQL has decided; Kafka knows neither outcome nor offset."""
    world = t.world()
    world.send(world.factory(14).make(6000))
    holder = world.postgres.connect(world.database)
    t.cleanup(holder.close)
    with holder.cursor() as q:
        q.execute("BEGIN; SELECT * FROM ticket_type FOR UPDATE")
        world.daemon.start(wait=False)
        wait_until(lambda: world.open_transactions() > 0, 30, "the first transaction is open")
        world.broker.signal(signal.SIGSTOP)
        t.cleanup(lambda: world.broker.signal(signal.SIGCONT))
        q.execute("ROLLBACK")
        world.wait_decided(1, 10)
        world.daemon.kill()
    world.broker.signal(signal.SIGCONT)
    assert world.decided() > 0 and world.published() == 0
    assert max(world.group.committed()) <= 0
    world.daemon.start()
    world.finish()


if __name__ == "__main__":
    main(__file__)
