# SPDX-License-Identifier: Apache-2.0
"""What each part can do by itself; each function is a row of a report."""

from lab import wal
from usage import Usage


def booked(lab, program, name, events, **options):
    """A program that fills table payment, without Kafka."""
    with lab.world() as world:
        lab.checkpoint()
        use = Usage(postgres=lab.postgres.child.pid)
        begin = wal(world)
        found = lab.run(program, conninfo=lab.postgres.conninfo(world.database, "postgres"),
                        events=events, **options)
        used, written = use.since()["postgres"], wal(world) - begin
        assert world.sql("SELECT count(*) FROM payment")[0][0] == events
    return {"run": name, "events": events, "rate": found["rate"], "seconds": found["seconds"],
            "PostgreSQL us": 1e6 * used / events, "WAL bytes": written / events}


def median(count, run):
    """The row of median rate: one run alone may meet a checkpoint, or a neighbour."""
    rows = sorted((run() for _ in range(count)), key=lambda row: row["rate"])
    return rows[len(rows) // 2]


def raw_copy(lab, events, batch, ids="random"):
    return booked(lab, "copy", "raw COPY, %d rows" % batch, events, batch=batch, ids=ids)


def ledger(lab, events, batch, ids="random"):
    return booked(lab, "ledger", "ledger alone, %d rows" % batch, events, batch=batch, ids=ids)


def loop(lab, events):
    """The daemon's statements, a round trip each, an event a transaction."""
    return booked(lab, "one_by_one", "plain loop, 3 connections", events)


def consumption(lab, shape):
    topic, _ = lab.backlog(**shape.backlog())
    use = Usage(kafka=lab.kafka.process.pid)
    found = lab.run("load", "consume", brokers=lab.kafka.bootstrap, topic=topic,
                    events=shape.events, consumers=shape.workers)
    return {"run": "Kafka read alone", "events": shape.events, "rate": found["rate"],
            "Kafka us": 1e6 * use.since()["kafka"] / shape.events, "seconds": found["seconds"]}


def decoding(lab, events):
    found = lab.run("stages", "decode", events=events, batch=1000)
    return {"run": "decode alone, 1 thread", "events": events, "rate": found["rate"],
            "daemon us": found["ns"] / 1000, "seconds": found["seconds"]}
