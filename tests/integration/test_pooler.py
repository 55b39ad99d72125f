#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""PgBouncer in transaction mode between us and PostgreSQL."""

from harness.pgbouncer import PgBouncer
from harness.tap import case, main


def pooled(t, pool, **settings):
    """A world whose daemon reaches PostgreSQL through a pooler of its own."""
    world = t.world(**settings)
    pooler = PgBouncer(world.directory, world.postgres, pool)
    t.cleanup(pooler.stop)
    pooler.start()
    world.daemon.configure(database__conninfo=pooler.conninfo(world.database))
    return world, pooler


@case
def sessions_that_are_mixed_with_every_transaction_book_each_order_once(t):
    """Three workers share two sessions, in batches of all sizes; the pooler dies and comes back."""
    world, pooler = pooled(t, 2, database__prepare=False)
    factory = world.factory(49)
    world.sell_out(world.send(factory.make(20000)), 2)
    world.daemon.start()
    world.wait_decided(20000)
    for _ in range(20):
        world.send(factory.make(50))
        world.wait_decided(len(world.sent))
    pooler.stop()
    world.send(factory.make(20000))
    world.daemon.wait_status("PostgreSQL", 10)
    pooler.start()
    world.finish()


@case
def prepared_statements_that_do_not_last_are_named_with_their_cure(t):
    """PgBouncer before 1.21 knows nothing of them."""
    world, _ = pooled(t, 1)
    world.send(world.factory(50).make(2000))
    world.daemon.start(wait=False)
    world.daemon.wait_status(r"set database\.prepare = false", 30)
    world.daemon.terminate()
    world.daemon.configure(database__prepare=False)
    world.daemon.start()
    world.finish()


if __name__ == "__main__":
    main(__file__)
