#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The experiment: 100 buyers of one ticket type, 15 seconds, a second of pause after each answer.

Each of its strategies and ours, then heavier loads on ours: a steady rate whatever the answers do,
latency counted from the moment at which each event was due. Every load also runs against a
stand-in that answers without a database: the floor.
"""

import argparse
import contextlib
import os
import sys

from drain import experiment, ours, typed, warm_up
from lab import verify, with_lab
from report import Report

COLUMNS = ["run", "load", "mean_ms", "p50_ms", "p90_ms", "p99_ms", "max_ms", "rate", "produced",
           "confirmed", "failed"]
# So that a user of the slowest strategy is answered, not given up.
TIMEOUT_MS = 180000
BUSY_RATE = 5000

STRATEGIES = [
    experiment("pessimistic, 1 a time", "database", 1),
    experiment("Redis, 1 a time, wait 5 s", "redis", 1, 5000),
    experiment("Redis, 1 a time, wait 1 s", "redis", 1, 1000),
    experiment("buffer + Redis, 500", "redis", 500),
    ours("defaults"),
]

# Slow business logic while the stock is locked, for the benchmark's own database alone.
WORK = """
    CREATE FUNCTION business_logic() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_sleep(%g); RETURN NULL; END';
    CREATE TRIGGER business_logic BEFORE UPDATE ON ticket_type
        FOR EACH STATEMENT EXECUTE FUNCTION business_logic();
    """


class Load:
    def __init__(self, name, mode, **options):
        self.name, self.mode, self.options = name, mode, options


def closed(options):
    return Load("%d users" % options.vus, "closed", vus=options.vus, seconds=options.seconds,
                pause_ms=options.pause_ms)


def steady(rate, seconds, name=None):
    # Kafka's default linger for rates that no producer sends event by event: the broker alone
    # would be at its limit.
    linger_ms = 5 if rate >= BUSY_RATE else 0
    return Load(name or "%d/s" % rate, "open", rate=int(rate), seconds=seconds,
                linger_ms=linger_ms)


def run_load(lab, world, load, first=0, ids="random"):
    path = os.path.join(world.directory, "latencies")
    found = lab.run("load", load.mode, brokers=lab.kafka.bootstrap, topic=world.topic,
                    outcome_topic=world.outcome_topic, timeout_ms=TIMEOUT_MS, histogram=path,
                    first=first, ids=ids, **load.options)
    with open(path, encoding="ascii") as file:
        found["curve"] = [tuple(map(float, line.split()[:2])) for line in file]
    return found


@contextlib.contextmanager
def serving(lab, shape, work_ms=0):
    """A world whose daemon is up."""
    with lab.world(partitions=shape.workers, **shape.daemon_settings()) as world:
        if work_ms:
            world.sql(WORK % (work_ms / 1000))
        world.daemon.start()
        yield world


def judge(world, found):
    """What was produced is booked, once each, and all of it answered."""
    world.wait_done(300)
    sent = found["produced"] + found["warming_up"]
    rows = world.sql("SELECT count(*), count(*) FILTER (WHERE status = 'CONFIRMED') FROM payment")
    assert rows == [(sent, sent)], "%s of %d" % (rows, sent)
    verify(world)
    assert world.daemon.terminate() == 0
    assert found["confirmed"] == found["answered"], found


class Experiment:
    def __init__(self, lab, options, report):
        self.lab, self.options, self.report = lab, options, report
        self.curves = {}

    def add(self, name, load, found):
        self.curves.setdefault(load.name, {})[name] = found.pop("curve")
        self.report.add(run=name, load=load.name, **found)

    def answered_without_a_database(self, load):
        with self.lab.world() as world, self.lab.echo(
                world, load.options.get("linger_ms", 0)):
            return run_load(self.lab, world, load)

    def floor(self, load):
        self.lab.progress.next("floor, " + load.name)
        found = self.answered_without_a_database(load)
        assert found["failed"] == 0, found
        self.add("no database (floor)", load, found)

    def warm_up(self):
        """Small requests are other work for the broker than a backlog: it compiles anew."""
        warm_up(self.lab, self.options.flood)
        self.lab.progress.say("warming up for steady loads")
        self.answered_without_a_database(steady(4 * BUSY_RATE, self.options.seconds))

    def daemon(self, shape, load, work_ms=0):
        self.lab.progress.next("%s, %s" % (shape.name, load.name))
        with serving(self.lab, shape, work_ms) as world:
            found = run_load(self.lab, world, load)
            judge(world, found)
        name = shape.name + (", %g ms work" % work_ms if work_ms else "")
        self.add(name, load, found)

    def capacity(self, shape):
        """What daemon and load reach together: far more is due than they can."""
        self.lab.progress.next("capacity")
        load = steady(self.options.flood, 3)
        with serving(self.lab, shape) as world:
            found = run_load(self.lab, world, load)
            judge(world, found)
        found.pop("curve")
        self.report.add(run="capacity", load="as much as goes",
                        **{k: v for k, v in found.items() if not k.endswith("_ms")})
        return found["rate"]

    def run(self):
        options, chosen = self.options, self.given(STRATEGIES)
        crowd = closed(options)
        default = chosen[-1]
        self.lab.progress.total = 3 + (1 + bool(options.work_ms)) * len(chosen) + 2 * (
            len(options.rates) + len(options.shares))
        self.warm_up()
        self.floor(crowd)
        for shape in chosen:
            self.daemon(shape, crowd)
        if options.work_ms:
            for shape in chosen:
                self.daemon(shape, crowd, options.work_ms)
        capacity = self.capacity(default) if options.shares else 0
        loads = [steady(r, options.seconds) for r in options.rates]
        loads += [steady(capacity * s / 100, options.seconds,
                         "%d %% of capacity" % s) for s in options.shares]
        for load in loads:
            self.floor(load)
            self.daemon(default, load)

    def given(self, chosen):
        settings = {k: typed(v) for k, v in (pair.split("=", 1) for pair in self.options.set)}
        default = chosen[-1]
        default.settings.update(settings)
        return [s for s in chosen if s is default or self.options.only in s.name]

    def pictures(self):
        for number, (load, curves) in enumerate(self.curves.items(), 1):
            # One of how many took longer: each label of the axis is ten times rarer.
            points = {name: [(1 / (1 - share), ms) for ms, share in curve if share < 1]
                      for name, curve in curves.items()}
            self.report.curves(
                "-%d" % number, "percentile of %s" % load, "milliseconds", points,
                'set logscale xy\nset xtics ("50" 2, "90" 10, "99" 100, "99.9" 1000, '
                '"99.99" 10000, "99.999" 100000)')


def numbers(text):
    return [int(n) for n in text.split(",") if n]


def arguments(words=None):
    parser = argparse.ArgumentParser(prog="./dev bench experiment", description=__doc__)
    parser.add_argument("--vus", type=int, default=100, help="virtual users (100)")
    parser.add_argument("--seconds", type=int, default=15, help="of each load (15)")
    parser.add_argument("--pause-ms", type=int, default=1000, help="of a user (1000)")
    parser.add_argument("--work-ms", type=float, default=0, help="each strategy once more with a "
                        "stock table that sleeps so long at each update, as slow business logic "
                        "would (the experiment's seconds come with 300)")
    parser.add_argument("--rates", type=numbers, default=[100, 2000], help="events a second of "
                        "the steady loads (100,2000)")
    parser.add_argument("--shares", type=numbers, default=[50, 80, 95], help="and percent of "
                        "capacity (50,80,95)")
    parser.add_argument("--flood", type=int, default=300000, help="rate that capacity is measured "
                        "with (300000)")
    parser.add_argument("--only", default="", metavar="TEXT", help="strategies whose name holds "
                        "that text, and our defaults")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="a setting of the daemon, for the runs with our defaults")
    parser.add_argument("--out", default="build/bench", help="directory of the results")
    return parser.parse_args(words)


def measure(lab, options):
    name = "experiment-work" if options.work_ms else "experiment"
    whole = Experiment(lab, options, Report(name, options.out, "Produce to outcome", COLUMNS))
    whole.run()
    whole.pictures()
    return whole.report


def main():
    options = arguments()
    with_lab(lambda lab: measure(lab, options)).print()


if __name__ == "__main__":
    sys.exit(main())
