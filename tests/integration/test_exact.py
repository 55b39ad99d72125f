#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""30,000 events with duplicates, conflicts, malformed ones and a sell-out come out exactly once."""

from harness.broker import EmbeddedBroker
from harness.tap import case, cases_of, main
from harness.world import World

COUNT = 30000


def drain(t, world, seed, count=COUNT):
    records = world.factory(seed).make(count)
    world.sell_out(records, 2)
    # READY first: the rebalances of three members joining may publish a batch a second time.
    world.daemon.start()
    world.send(records)
    oracle = world.finish(once=True, seconds=150)
    sold_out = sum(p.status == "SOLD_OUT" for p in oracle.ledger.payments.values())
    t.note("%d records: %d payments, %d sold out, %d dead letters, %d outcomes", count,
           len(oracle.ledger.payments), sold_out, len(oracle.ledger.letters),
           len(oracle.published))
    assert sold_out > count / 20, "nothing sold out"


# README.md: the experiment's strategies and ours.
STRATEGIES = {
    "row_lock_a_message_at_a_time": dict(lock__provider="database", batch__max_events=1),
    "redis_lock_a_message_at_a_time_scope_transaction": dict(
        lock__provider="redis", batch__max_events=1, lock__scope="transaction",
        lock__wait_ms=5000, lock__lease_ms=12000, database__transaction_timeout_ms=6000),
    "redis_lock_a_message_at_a_time_scope_stock": dict(
        lock__provider="redis", batch__max_events=1, lock__scope="stock"),
    "redis_lock_a_batch_scope_transaction": dict(
        lock__provider="redis", lock__scope="transaction", batch__max_events=1000),
    "redis_lock_a_batch_scope_stock": dict(
        lock__provider="redis", lock__scope="stock", batch__max_events=1000),
    "row_lock_a_batch": dict(lock__provider="database", batch__max_events=5000),
}


@cases_of([("exact_with_" + name, (settings, seed))
           for seed, (name, settings) in enumerate(STRATEGIES.items())])
def exact(t, settings, seed):
    drain(t, t.world(outcome_partitions=4, **settings), seed)


@case
def exact_on_the_embedded_broker(t):
    topics = {"payment-completed": 3, "payment-outcome": 3}
    broker = EmbeddedBroker(t.program("embedded_broker"), t.directory("embedded"))
    t.cleanup(broker.stop)
    broker.start(topics)
    world = World(t, broker=broker, kafka__topic="payment-completed",
                  kafka__outcome_topic="payment-outcome", kafka__instance="none")
    drain(t, world, 77)


@case
def one_ticket_type_and_one_worker(t):
    drain(t, t.world(totals={2: 0}, kafka__workers=1), 78, 5000)


@case
def more_workers_than_partitions(t):
    drain(t, t.world(kafka__workers=5), 79, 5000)


if __name__ == "__main__":
    main(__file__)
