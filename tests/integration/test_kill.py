#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 at any moment loses nothing and does nothing twice."""

import random
import signal
import time

from harness.process import wait_until
from harness.tap import case, cases_of, main

KILLS = 30


def wait_moment(world, rng, random_moment):
    """Until the moment of the kill; True if a transaction with payments was open then."""
    daemon = world.daemon
    if random_moment:
        # Anywhere in its life, its start included.
        deadline = time.monotonic() + rng.uniform(0.02, 1.0)
        wait_until(lambda: time.monotonic() > deadline, 5, "the moment")
        return world.open_transactions() > 0

    before = world.decided()
    wait_until(lambda: world.decided() > before, 30,
               lambda: "records are decided after a restart: " + daemon.status)
    deadline = time.monotonic() + rng.uniform(0, 0.15)
    wait_until(lambda: time.monotonic() > deadline, 5, "the moment")
    wait_until(lambda: world.open_transactions() > 0, 10, "a transaction is open", every=0)
    return True


@cases_of([("killed_30_times_with_batches_of_%d" % n, (n, seed))
           for seed, n in ((11, 50), (12, 5000))], seconds=300)
def killed_30_times(t, max_events, seed):
    world = t.world(batch__max_events=max_events)
    rng = random.Random(seed)
    factory = world.factory(seed)
    # Topped up so that a kill never finds an idle daemon, whatever the machine's speed.
    portion = 10 * max_events if max_events > 1000 else 8000
    world.send(factory.make(2 * portion))
    world.sell_out(world.sent, 2)
    found_open = 0
    for number in range(KILLS):
        if sum(world.group.high()) - world.decided() < portion:
            world.send(factory.make(portion))
        world.daemon.start(wait=False)
        # A fifth of the kills come blindly; the others when work is under way.
        found_open += wait_moment(world, rng, number % 5 == 4)
        world.daemon.child.signal(signal.SIGKILL)
        assert world.daemon.child.wait(10) == -signal.SIGKILL, "it ended by itself"
        undecided = sum(world.group.high()) - world.decided()
        assert undecided > 0, "kill %d came after the last record" % number
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
