#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Figures of this machine: bookings per second beside raw COPY, memory, latency of one event.

Only correctness is judged here; the figures are printed with the marks they are meant to reach.
"""

import io
import random
import struct
import threading
import time

from confluent_kafka import TopicPartition

from harness.events import Injector, Record
from harness.outcomes import read_all, reader
from harness.process import wait_until
from harness.tap import case, main

EVENTS, WORKERS, ROWS = 300000, 3, 5000
KIND = 1
ONE_BY_ONE = 300


def orders(count, seed):
    """Random order ids, the way a payment service draws them."""
    rng = random.Random(seed)
    return ["%032x" % rng.getrandbits(128) for _ in range(count)]


def events(ids):
    out = []
    for i, order_id in enumerate(ids):
        record = Record(b'{"orderId":"%s","paymentKey":"pay-%d","amount":15000,"ticketTypeId":%d,'
                        b'"memberId":%d,"quantity":1}' % (order_id.encode(), i, KIND, i + 1))
        record.partition = i % WORKERS
        out.append(record)
    return out


def text(data):
    return struct.pack("!i", len(data)) + data


def copy_binary(ids, partition):
    """Transactions of ROWS rows each, as COPY BINARY wants them, sorted the way the daemon does."""
    out = []
    number, status, key = struct.Struct("!iq"), text(b"CONFIRMED"), text(b"pay-12345")
    small = struct.Struct("!ii")
    for begin in range(0, len(ids), ROWS):
        rows = [b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)]
        for i, order_id in enumerate(sorted(ids[begin:begin + ROWS])):
            rows.append(struct.pack("!h", 10) + text(order_id.encode()) + key
                        + number.pack(8, KIND) + number.pack(8, i + 1) + small.pack(4, 1)
                        + number.pack(8, 15000) + status + small.pack(4, partition)
                        + number.pack(8, begin + i) + number.pack(8, 757382400000000))
        rows.append(struct.pack("!h", -1))
        out.append(b"".join(rows))
    return out


def raw_copy(world, count, seed):
    """Rows a second of COPY into the table `payment` over WORKERS connections."""
    ids = orders(count, seed)
    shares = [copy_binary(ids[w::WORKERS], w) for w in range(WORKERS)]
    connections = [world.postgres.connect(world.database) for _ in shares]
    failures = []

    def work(connection, share):
        try:
            connection.autocommit = False
            with connection.cursor() as q:
                for portion in share:
                    q.copy_expert("COPY payment FROM STDIN (FORMAT BINARY)", io.BytesIO(portion),
                                  size=65536)
                    connection.commit()
        except Exception as e:
            failures.append(e)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(connections, shares)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begin
    for connection in connections:
        connection.close()
    assert not failures, failures
    assert world.sql("SELECT count(*) FROM payment")[0][0] == count
    return count / seconds


def drain(world, count, seed):
    """Bookings a second with `count` events waiting: first BEGIN to last COMMIT, PostgreSQL's
    clock."""
    world.injector.send(events(orders(count, seed)))
    world.daemon.start()
    done = "SELECT sum(next_offset), extract(epoch FROM clock_timestamp()) FROM consumer_progress"

    def ended():
        decided, now = world.sql(done)[0]
        return float(now) if decided is not None and decided >= count else None
    end = wait_until(ended, 120, lambda: "%d decided, %s" % (world.decided(), world.daemon.status))
    begin = world.sql("SELECT extract(epoch FROM min(decided_at)) FROM payment")[0][0]
    return count / (end - float(begin))


def exact(world, count):
    world.wait_done()
    found = world.sql("SELECT count(*), count(DISTINCT (kafka_partition, kafka_offset)), "
                      "count(*) FILTER (WHERE status = 'CONFIRMED') FROM payment")[0]
    assert found == (count, count, count), found
    total, remaining = world.sql("SELECT total, remaining FROM ticket_type")[0]
    assert total - remaining == count, (total, remaining)
    published, _ = read_all(world.broker.bootstrap, world.outcome_topic)
    # The rebalances of three members joining may have published some a second time.
    assert len({p.key for p in published}) == count, "%d outcomes" % len(published)
    world.ctl.ok("verify")
    assert world.daemon.terminate() == 0


def mark(value, wanted, unit, below=False):
    reached = value <= wanted if below else value >= wanted
    return "%s%s (mark: %s %s%s, %s)" % (round(value, 3), unit, "at most" if below else "at least",
                                         wanted, unit, "reached" if reached else "MISSED")


@case(seconds=300)
def three_hundred_thousand_waiting_events_are_booked(t):
    totals = {KIND: 10**9}
    # A cold broker and a new cluster are slower by a third: both are warmed up first.
    warm = t.world(totals=totals)
    raw_copy(t.world(totals=totals), 60000, 1)
    drain(warm, 60000, 2)
    exact(warm, 60000)

    raw = raw_copy(t.world(totals=totals), EVENTS, 3)
    world = t.world(totals=totals)
    rate = drain(world, EVENTS, 4)
    memory = world.daemon.memory()
    exact(world, EVENTS)
    t.figure("%d events waiting, one type, %d workers, defaults, fsync on:", EVENTS, WORKERS)
    t.figure("bookings a second     %d", rate)
    t.figure("raw COPY, rows/s      %d (%d connections, %d rows a transaction)", raw, WORKERS, ROWS)
    t.figure("of raw COPY           %s", mark(rate / raw, 0.17, ""))
    t.figure("resident at most      %s", mark(memory, 256, " MiB", below=True))


@case
def one_event_alone_gets_its_outcome(t):
    world = t.world(totals={KIND: 10**6})
    world.daemon.start()
    injector = Injector(world.broker.bootstrap, world.topic, **{"linger.ms": 0})
    consumer = reader(world.broker.bootstrap)
    t.cleanup(consumer.close)
    consumer.assign([TopicPartition(world.outcome_topic, p, 0)
                     for p in range(world.outcome_partitions)])
    took = []
    for record in events(orders(ONE_BY_ONE, 5)):
        begin = time.monotonic()
        injector.send([record], flush=False)
        message = wait_until(lambda: heard(consumer, injector), 20, "an outcome", every=0)
        took.append((time.monotonic() - begin) * 1000)
        assert record.value.find(message.key()) > 0, "the outcome of another order"
    took = sorted(took[20:])  # the first ones wait for connections
    median, late = took[len(took) // 2], took[int(len(took) * 0.99)]
    t.figure("one event alone, produce to outcome: median %s, p99 %.1f ms",
           mark(median, 5, " ms", below=True), late)
    exact(world, ONE_BY_ONE)


def heard(consumer, injector):
    injector.producer.poll(0)
    message = consumer.poll(0.5)
    return message if message and not message.error() else None


if __name__ == "__main__":
    main(__file__)
