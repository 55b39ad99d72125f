#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Somebody else holds the row or the Redis lock: the policies of lock.wait_ms and lock.fallback."""

import time

from harness.process import wait_until
from harness.tap import case, cases_of, main


def lock_key(world, kind):
    return "%s:{lock:%s}:%d" % (world.settings["lock.key_prefix"],
                                world.settings.get("lock.scope", "stock"), kind)


def letters(world):
    return world.sql("SELECT count(*) FROM dead_letter")[0][0]


@case
def a_row_lock_of_another_session_holds_the_batch(t):
    """Nothing is dropped or dead-lettered; STATUS says so; it goes on when the lock is gone."""
    world = t.world(database__transaction_timeout_ms=2000)
    world.daemon.start()
    holder = world.postgres.connect(world.database)
    t.cleanup(holder.close)
    with holder.cursor() as q:
        q.execute("BEGIN; SELECT * FROM ticket_type FOR UPDATE")
        world.send(world.factory(51, malformed=0, conflicts=0).make(3000))
        status = world.daemon.wait_status(r"(?i)lock|another session|waiting for PostgreSQL", 10)
        t.note("%s", status)
        # Longer than a transaction may take: it was tried again meanwhile.
        until = time.monotonic() + 5
        wait_until(lambda: time.monotonic() > until, 10, "time passes")
        assert world.daemon.alive
        assert world.sql("SELECT count(*) FROM payment")[0][0] == 0 and letters(world) == 0
        assert world.decided() == 0
        q.execute("ROLLBACK")
    world.wait_decided(1, 5, " after the row lock was freed")
    world.finish(once=True)


@cases_of([("a_redis_lock_of_another_holds_no_sale_up_with_scope_" + scope, (scope,))
           for scope in ("stock", "transaction")])
def fallback_database(t, scope):
    """fallback = database: on under row locks after wait_ms, and the other's lock stays."""
    world = t.world(lock__fallback="database", lock__wait_ms=300, lock__scope=scope)
    key = lock_key(world, 1)
    assert world.redis.cli("SET", key, "somebody", "PX", "120000") == "OK"
    world.send(world.factory(52).make(3000))
    world.daemon.start()
    world.wait_done(60)
    assert world.redis.cli("GET", key) == "somebody", "the other's lock was taken away"
    ttl = int(world.redis.cli("PTTL", key))
    assert 0 < ttl <= 120000, ttl
    world.finish(once=True)


@cases_of([("a_redis_lock_of_another_holds_the_batch_with_scope_" + scope, (scope,))
           for scope in ("stock", "transaction")])
def fallback_wait(t, scope):
    """fallback = wait: nothing is decided until the other frees it."""
    world = t.world(lock__fallback="wait", lock__wait_ms=300, lock__scope=scope)
    key = lock_key(world, 1)
    assert world.redis.cli("SET", key, "somebody", "PX", "120000") == "OK"
    world.send(world.factory(53, types=(1,), unknown=0, malformed=0, conflicts=0).make(3000))
    world.daemon.start()
    status = world.daemon.wait_status(r"(?i)lock", 10)
    t.note("%s", status)
    until = time.monotonic() + 3
    wait_until(lambda: time.monotonic() > until, 10, "time passes")
    assert world.decided() == 0 and letters(world) == 0
    assert world.daemon.alive and world.redis.cli("GET", key) == "somebody"
    assert world.redis.cli("DEL", key) == "1"
    world.wait_decided(1, 5, " after the Redis lock was freed")
    world.finish(once=True)


@case
def the_lock_is_one_key_per_type_and_scope_and_freed(t):
    """What another program sees in Redis: the contract's key with a random token and a lease."""
    world = t.world(totals={7: 1000}, lock__scope="transaction")
    world.daemon.start()
    holder = world.postgres.connect(world.database)
    t.cleanup(holder.close)
    with holder.cursor() as q:
        q.execute("BEGIN; SELECT * FROM ticket_type FOR UPDATE")
        world.send(world.factory(54, unknown=0, malformed=0, conflicts=0).make(200))
        key = lock_key(world, 7)
        token = wait_until(lambda: world.redis.cli("GET", key), 10, "the key " + key)
        assert len(token) >= 16 and world.redis.cli("TYPE", key) == "string", token
        assert 0 < int(world.redis.cli("PTTL", key)) <= 6000
        q.execute("ROLLBACK")
    world.finish(once=True)
    prefix = world.settings["lock.key_prefix"]
    assert world.redis.cli("--scan", "--pattern", prefix + ":*") == "", "a lock was left behind"


if __name__ == "__main__":
    main(__file__)
