#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Rate and latency as the table `payment`, the backlog and the number of daemons grow.

The table grows by raw COPY between the runs; order ids of rows and events are of one kind, random
or ascending with time, and every number is used once.
"""

import argparse
import sys

from drain import Shape, drain, last_commit, start, used_by, warm_up
from experiment import numbers, run_load, steady
from lab import TOTAL, verify, wal, with_lab
from report import Report
from usage import Usage

COLUMNS = ["run", "rows", "events", "rate", "of first", "p50_ms", "p99_ms", "max_ms", "daemon us",
           "PostgreSQL us", "Kafka us", "MiB", "WAL bytes", "verify s"]
PORTION = 1000000  # rows that one run of `copy` makes in memory
LATENCY_RATE, LATENCY_SECONDS = 200, 5


class Table:
    """One world whose table grows; `used` order numbers are taken, all of them booked."""

    def __init__(self, lab, world, ids):
        self.lab, self.world, self.ids = lab, world, ids
        self.used = self.produced = 0

    def grow(self, rows):
        """By COPY, as if earlier seeks had left these payments; the daemon does not run."""
        while self.used < rows:
            count = min(PORTION, rows - self.used)
            self.lab.progress.say("%s ids: %d of %d rows" % (self.ids, self.used, rows))
            self.lab.run("copy", conninfo=self.lab.postgres.conninfo(
                self.world.database, "postgres"), events=count, first=self.used, ids=self.ids,
                batch=10000)
            self.used += count
        self.world.sql("UPDATE ticket_type SET remaining = total - %s", self.used)
        self.world.sql("UPDATE consumer_progress SET sought_at = clock_timestamp()")
        self.world.sql("VACUUM (ANALYZE) payment")

    def drain(self, events):
        """The rate and what was used for it, with so many events waiting."""
        lab, world = self.lab, self.world
        lab.run("load", "fill", brokers=lab.kafka.bootstrap, topic=world.topic, events=events,
                first=self.used, ids=self.ids)
        self.used += events
        self.produced += events
        lab.checkpoint()
        begin_wal, since = wal(world), world.sql("SELECT clock_timestamp()")[0][0]
        use = Usage(postgres=lab.postgres.child.pid, kafka=lab.kafka.process.pid)
        daemons = start(lab, world, 1)
        end = last_commit(lab, world, self.produced, "%s ids, %d rows" % (self.ids, self.used))
        world.wait_done(300)
        found = used_by(daemons, use, events)
        found["WAL bytes"] = (wal(world) - begin_wal) / events
        first = world.sql("SELECT extract(epoch FROM min(decided_at)) FROM payment "
                          "WHERE decided_at >= %s", since)[0][0]
        return {"events": events, "rate": round(events / (end - float(first))), **found}

    def latency(self):
        found = run_load(self.lab, self.world, steady(LATENCY_RATE, LATENCY_SECONDS),
                         first=self.used, ids=self.ids)
        assert found["failed"] == 0 and found["confirmed"] == found["answered"], found
        taken = found["produced"] + found["warming_up"]
        self.used += taken
        self.produced += taken
        return {k: found[k] for k in ("p50_ms", "p99_ms", "max_ms")}

    def judge(self):
        """Seconds that `ticketpayctl verify` took."""
        lab, world = self.lab, self.world
        world.wait_done(60)
        lab.progress.say("%s ids, %d rows: verify" % (self.ids, self.used))
        begin = lab.progress.seconds()
        found = world.sql("SELECT count(*) FROM payment")[0][0]
        assert found == self.used, "%d payments of %d" % (found, self.used)
        verify(world)
        assert world.daemon.terminate() == 0
        return lab.progress.seconds() - begin


def table_growth(lab, options, report):
    for ids in options.ids:
        with lab.world(totals={1: TOTAL}) as world:
            table = Table(lab, world, ids)
            first = None
            for rows in options.rows:
                lab.progress.next("%s ids, %d rows" % (ids, rows))
                if rows > table.used:
                    table.grow(rows)
                there = table.used
                row = {"run": "%s ids, %.3gM rows" % (ids, there / 1e6), "rows": there,
                       **table.drain(options.events), **table.latency()}
                first = first or row["rate"]
                report.add(**row, **{"of first": row["rate"] / first, "verify s": table.judge()})
        curve(report, "-rows", "million rows in payment", "rows", 1e6, options.ids)


def curve(report, suffix, xlabel, column, unit, kinds):
    points = {kind + " ids": [(r[column] / unit, r["rate"]) for r in report.rows
                              if r["run"].startswith(kind)] for kind in kinds}
    report.curves(suffix, xlabel, "bookings a second",
                  {k: v for k, v in points.items() if v}, "set yrange [0:*]")


def backlog_growth(lab, options, report):
    rows = []
    for events in options.backlogs:
        shape = Shape("backlog %d" % events, events=events)
        lab.progress.next(shape.name)
        rows.append(drain(lab, shape))
        report.add(**rows[-1], **{"of first": rows[-1]["rate"] / rows[0]["rate"]})
    report.curves("-backlog", "events waiting", "bookings a second",
                  {"defaults": [(r["events"], r["rate"]) for r in rows]}, "set yrange [0:*]")


def instance_growth(lab, options, report):
    rows = []
    for count in options.instances:
        shape = Shape("%d daemons of 2 workers" % count, events=options.events, workers=2,
                      instances=count, partitions=2 * max(options.instances))
        lab.progress.next(shape.name)
        rows.append(drain(lab, shape))
        report.add(**rows[-1], **{"of first": rows[-1]["rate"] / rows[0]["rate"]})
    report.curves("-instances", "daemons", "bookings a second",
                  {"2 workers each": list(zip(options.instances, (r["rate"] for r in rows)))},
                  "set yrange [0:*]\nset xtics 1")


def names(text):
    return [w for w in text.split(",") if w]


def arguments(words=None):
    parser = argparse.ArgumentParser(prog="./dev bench growth", description=__doc__)
    parser.add_argument("--rows", type=numbers, default=[0, 1000000, 5000000, 10000000, 20000000],
                        help="in the table before a run, ascending (up to 20,000,000)")
    parser.add_argument("--ids", type=names, default=["random", "time"], help="random,time")
    parser.add_argument("--events", type=int, default=300000, help="waiting in each run (300000)")
    parser.add_argument("--backlogs", type=numbers, default=[100000, 500000, 2000000],
                        help="events waiting (100000,500000,2000000)")
    parser.add_argument("--instances", type=numbers, default=[1, 2, 3], help="daemons (1,2,3)")
    parser.add_argument("--out", default="build/bench", help="directory of the results")
    return parser.parse_args(words)


def measure(lab, options):
    report = Report("growth", options.out, "As table, backlog and daemons grow", COLUMNS)
    lab.progress.total = len(options.ids) * len(options.rows) + len(options.backlogs) + len(
        options.instances)
    warm_up(lab, options.events)
    table_growth(lab, options, report)
    backlog_growth(lab, options, report)
    instance_growth(lab, options, report)
    return report


def main():
    options = arguments()
    with_lab(lambda lab: measure(lab, options)).print()


if __name__ == "__main__":
    sys.exit(main())
