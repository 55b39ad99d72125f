#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Bookings a second with a backlog waiting, beside what PostgreSQL, Kafka and the decoder allow.

The rate counts from the first booking's decided_at to the last COMMIT that is seen; CPU and WAL
from the daemon's start until all outcomes are published and Kafka's offsets are committed.
"""

import argparse
import dataclasses
import sys

import limits
from lab import verify, wal, with_lab
from report import Report
from usage import Usage
from harness.process import wait_until

DEFAULT_BATCH = 5000
COLUMNS = ["run", "events", "rate", "of COPY", "of loop", "daemon us", "PostgreSQL us", "Kafka us",
           "MiB", "WAL bytes", "published", "seconds"]


@dataclasses.dataclass
class Shape:
    """One configuration; what is None is the daemon's default."""

    name: str
    events: int = 0
    batch: int = None
    workers: int = 3
    instances: int = 1
    partitions: int = None  # as many as there are workers
    types: int = 1
    skew: float = 0
    duplicates: float = 0
    ids: str = "random"
    key: str = "none"  # record key: partitions in turn, or by order, or by ticket type
    settings: dict = dataclasses.field(default_factory=dict)

    @property
    def partition_count(self):
        return self.partitions or self.workers * self.instances

    def backlog(self):
        return {"events": self.events, "partitions": self.partition_count, "types": self.types,
                "skew": self.skew, "duplicates": self.duplicates, "ids": self.ids,
                "key": self.key}

    def one_by_one(self):
        """The pessimistic strategy: comparable to a plain loop."""
        return self.batch == 1 and self.settings.get("lock.provider") == "database"

    def daemon_settings(self):
        found = {"kafka.workers": self.workers, **self.settings}
        if self.batch:
            found["batch.max_events"] = self.batch
        return {k.replace(".", "__"): v for k, v in found.items()}


def ours(name="defaults", **more):
    return Shape(name, **more)


def experiment(name, provider, batch, wait_ms=1000):
    # With its own scope, and a budget that holds its wait of five seconds.
    return Shape(name, batch=batch, settings={
        "lock.provider": provider, "lock.scope": "transaction", "lock.wait_ms": wait_ms})


SWEEPS = {
    "batch": [ours("batch %d" % n, batch=n) for n in (1, 10, 100, 1000, 5000, 10000)],
    "workers": [ours("workers %d" % n, workers=n) for n in (1, 2, 3, 6)],
    "types": [ours("types %d" % n, types=n) for n in (1, 10, 100, 1000)]
    + [ours("types 1000, Zipf 1", types=1000, skew=1)],
    "scope": [ours("scope %s, batch %d" % (scope, n), batch=n, settings={"lock.scope": scope})
              for n in (1000, 5000) for scope in ("stock", "transaction")]
    + [ours("row locks alone, batch %d" % n, batch=n, settings={"lock.provider": "database"})
       for n in (1000, 5000)],
    "strategy": [experiment("pessimistic, 1 a time", "database", 1),
                 experiment("Redis, 1 a time, wait 5 s", "redis", 1, 5000),
                 experiment("Redis, 1 a time, wait 1 s", "redis", 1),
                 experiment("buffer + Redis, 500", "redis", 500),
                 experiment("buffer + row lock, 500", "database", 500)],
    "duplicates": [ours("duplicates %d %%" % (100 * d), duplicates=d) for d in (0, 0.01, 0.1, 0.5)],
    "key": [ours("key %s, 10 types" % key, key=key, types=10) for key in ("none", "order", "type")],
    "ids": [ours("ids " + ids, ids=ids) for ids in ("random", "time")],
}
QUICK = [ours("defaults"), ours("batch 10000", batch=10000)]


def events_for(batch, wanted):
    """Small batches are slow: fewer events say the same."""
    return min(wanted, {1: 20000, 10: 100000, 100: 300000}.get(batch, wanted))


# ---- the daemon

def last_commit(lab, world, count, name):
    """PostgreSQL's clock when all `count` records are seen to be decided."""
    decided = "SELECT coalesce(sum(next_offset), 0), extract(epoch FROM clock_timestamp()) " \
              "FROM consumer_progress"

    def ended():
        assert world.daemon.alive, "the daemon has ended"
        done, now = world.sql(decided)[0]
        lab.progress.say("%s: %d of %d decided" % (name, done, count))
        return float(now) if done >= count else None
    return wait_until(ended, 900, lambda: world.daemon.status, every=0.01)


def exact(world, shape, orders):
    """Each order once and confirmed, the stock down by as many, an outcome for each event."""
    found = world.sql("SELECT count(*), count(*) FILTER (WHERE status = 'CONFIRMED') FROM payment")
    assert found == [(orders, orders)], found
    taken = world.sql("SELECT sum(total - remaining) FROM ticket_type")[0][0]
    assert taken == orders, "%d taken for %d orders" % (taken, orders)
    published = outcomes(world)
    # At least once: members that join late make others publish some again.
    assert published >= shape.events, "%d outcomes of %d events" % (published, shape.events)
    verify(world)
    return published


def outcomes(world):
    from harness.broker import Group
    group = Group(world.broker.bootstrap, "count", world.outcome_topic, world.outcome_partitions)
    try:
        return sum(group.high())
    finally:
        group.close()


def start(lab, world, count):
    """All instances; they join the group together."""
    daemons = [world.daemon] + [
        world.another(lab.test, world.directory, "ticketpayd-%d" % i, kafka__instance="test-%d" % i)
        for i in range(1, count)]
    for daemon in daemons:
        daemon.start(wait=False)
    for daemon in daemons:
        daemon.wait_ready()
    return daemons


def used_by(daemons, use, events):
    """Microseconds of CPU an event, and the most memory of all daemons together."""
    micro = {name: 1e6 * seconds / events for name, seconds in use.since().items()}
    own = sum(sum(Usage(daemon=d.pid).begin.values()) for d in daemons)
    return {"daemon us": 1e6 * own / events, "PostgreSQL us": micro["postgres"],
            "Kafka us": micro["kafka"], "MiB": round(sum(d.memory() for d in daemons))}


def drain(lab, shape):
    topic, filled = lab.backlog(**shape.backlog())
    with lab.world(types=shape.types, partitions=shape.partition_count, topic=topic,
                   **shape.daemon_settings()) as world:
        lab.checkpoint()
        begin_wal = wal(world)
        use = Usage(postgres=lab.postgres.child.pid, kafka=lab.kafka.process.pid)
        daemons = start(lab, world, shape.instances)
        end = last_commit(lab, world, shape.events, shape.name)
        world.wait_done(300)
        used, written = used_by(daemons, use, shape.events), wal(world) - begin_wal
        lab.progress.say(shape.name + ": verify")
        published = exact(world, shape, filled["orders"])
        first = float(world.sql("SELECT extract(epoch FROM min(decided_at)) FROM payment")[0][0])
        for daemon in daemons:
            assert daemon.terminate() == 0
    return {"run": shape.name, "events": shape.events, "rate": round(shape.events / (end - first)),
            **used, "WAL bytes": written / filled["orders"], "published": published,
            "seconds": end - first}


def warm_up(lab, most):
    """A new cluster's first COPY is slower by a third; the broker's compiler is busy for a while."""
    events = min(1000000, most)
    lab.progress.say("warming up")
    limits.raw_copy(lab, events, DEFAULT_BATCH)
    drain(lab, ours("warming up", events=events))


# ---- the whole

def arguments(words=None):
    parser = argparse.ArgumentParser(prog="./dev bench drain", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="defaults and batch 10,000 beside raw "
                        "COPY, in less than a minute")
    parser.add_argument("--sweep", action="append", choices=sorted(SWEEPS),
                        help="only this one (may be repeated)")
    parser.add_argument("--one", action="store_true", help="only one run, with the options below")
    parser.add_argument("--events", type=int, help="waiting (1,000,000; --quick: 500,000)")
    for name, kind in (("batch", int), ("workers", int), ("types", int), ("skew", float),
                       ("duplicates", float), ("ids", str), ("key", str)):
        parser.add_argument("--" + name, type=kind, help="of --one, or of every run of --quick")
    parser.add_argument("--repeat", type=int, default=1, help="of each run of the daemon; the "
                        "median is shown (1; of raw COPY at least 3)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="a setting of the daemon, in every run")
    parser.add_argument("--out", default="build/bench", help="directory of the results")
    return parser.parse_args(words)


def typed(text):
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.lstrip("-").isdigit() else text


def which(options):
    """Words for the files' names."""
    return ["one"] if options.one else ["quick"] if options.quick else options.sweep or []


def shapes(options):
    if options.one:
        chosen = [ours("--one")]
    elif options.quick:
        chosen = QUICK
    else:
        chosen = [s for name in options.sweep or SWEEPS for s in SWEEPS[name]]
    given = {name: getattr(options, name) for name in
             ("batch", "workers", "types", "skew", "duplicates", "ids", "key")
             if getattr(options, name) is not None}
    settings = dict(pair.split("=", 1) for pair in options.set)
    events = options.events or (500000 if options.quick else 1000000)
    for shape in chosen:
        shape = dataclasses.replace(shape, **given, settings={
            **shape.settings, **{k: typed(v) for k, v in settings.items()}})
        yield dataclasses.replace(shape, events=events_for(shape.batch, events))


def plan(options):
    """(runs, batch sizes of raw COPY, most events, does a run compare to the loop)"""
    chosen = list(shapes(options))
    batches = sorted({s.batch or DEFAULT_BATCH for s in chosen} - {1, 10})
    return chosen, batches, max(s.events for s in chosen), [s for s in chosen if s.one_by_one()]


def measure_limits(lab, options, report):
    """What each part can do by itself, in the same run; COPY's rates by batch, the loop's rate."""
    chosen, batches, most, one_by_one = plan(options)
    copied, ids, repeat = {}, options.ids or "random", max(3, options.repeat)
    for batch in batches:
        lab.progress.next("raw COPY, %d rows a transaction" % batch)
        rows = events_for(batch, most)
        row = limits.median(repeat, lambda: limits.raw_copy(lab, rows, batch, ids))
        copied[batch] = row["rate"]
        report.add(**row, **{"of COPY": 1.0})
        lab.progress.next("ledger alone, %d rows a transaction" % batch)
        row = limits.median(1 if options.quick else repeat,
                            lambda: limits.ledger(lab, rows, batch, ids))
        report.add(**row, **{"of COPY": row["rate"] / copied[batch]})
    lab.progress.next("decode alone")
    report.add(**limits.decoding(lab, min(most, 500000)))
    lab.progress.next("Kafka alone")
    report.add(**limits.consumption(lab, dataclasses.replace(chosen[0], events=most)))
    loop = None
    if one_by_one:
        lab.progress.next("a plain loop")
        row = limits.loop(lab, one_by_one[0].events)
        loop = row["rate"]
        report.add(**row, **{"of loop": 1.0})
    return copied, loop


def measure(lab, options):
    report = Report("-".join(["drain", *which(options)]), options.out,
                    "Bookings a second, a backlog waiting", COLUMNS)
    chosen, batches, most, one_by_one = plan(options)
    lab.progress.total = 2 * len(batches) + len(chosen) + 2 + bool(one_by_one)
    warm_up(lab, most)
    copied, loop = measure_limits(lab, options, report)
    # Runs of the same backlog one after the other: it is made once.
    main_backlog = dataclasses.replace(chosen[0], events=most).backlog()
    for shape in sorted(chosen, key=lambda s: s.backlog() != main_backlog):
        lab.progress.next(shape.name)
        row = limits.median(options.repeat, lambda: drain(lab, shape))
        limit = copied.get(shape.batch or DEFAULT_BATCH)
        if limit:
            row["of COPY"] = row["rate"] / limit
        if shape.one_by_one():
            row["of loop"] = row["rate"] / loop
        report.add(**row)
    # Without what books nothing.
    report.bars("rate", [r for r in report.rows if "WAL bytes" in r])
    return report


def main():
    options = arguments()
    with_lab(lambda lab: measure(lab, options)).print()


if __name__ == "__main__":
    sys.exit(main())
