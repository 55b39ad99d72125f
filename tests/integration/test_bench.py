#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks stay alive: each in a short form; and what they are trusted for is true."""

import json
import os
import signal
import subprocess
import sys
import threading

from harness.outcomes import read_all
from harness.tap import SOURCE, case, main

sys.path.insert(0, os.path.join(SOURCE, "bench"))
import drain  # noqa: E402  (bench/)
import experiment  # noqa: E402
import growth  # noqa: E402
import instructions  # noqa: E402
from lab import Lab  # noqa: E402


def written(report, *suffixes):
    """The report's files are there and not empty."""
    for suffix in (".csv", ".md", *suffixes):
        assert os.path.getsize(report.path(suffix)) > 100, report.path(suffix)
    with open(report.path(".csv"), encoding="utf-8") as file:
        text = file.read()
    for fact in ("commit", "kernel", "PostgreSQL", "Kafka", "librdkafka", "Redis"):
        assert "# %s: " % fact in text, text
    return {row["run"]: row for row in report.rows}


@case
def drain_shows_the_daemon_beside_its_limits(t):
    options = drain.arguments(["--one", "--events", "3000", "--batch", "1000", "--duplicates",
                               "0.2", "--types", "5", "--skew", "1", "--workers", "2",
                               "--out", t.directory()])
    rows = written(drain.measure(Lab(t), options), ".png")
    one, copied = rows["--one"], rows["raw COPY, 1000 rows"]
    assert set(rows) == {"--one", "raw COPY, 1000 rows", "ledger alone, 1000 rows",
                         "decode alone, 1 thread", "Kafka read alone"}, sorted(rows)
    assert abs(one["of COPY"] - one["rate"] / copied["rate"]) < 0.001, rows
    for name in ("daemon us", "PostgreSQL us", "Kafka us", "MiB", "WAL bytes"):
        assert one[name] > 0, one


@case
def batch_1_is_shown_beside_a_plain_loop(t):
    options = drain.arguments(["--one", "--events", "300", "--batch", "1", "--set",
                               "lock.provider=database", "--out", t.directory()])
    rows = written(drain.measure(Lab(t), options))
    loop = rows["plain loop, 3 connections"]["rate"]
    assert abs(rows["--one"]["of loop"] - rows["--one"]["rate"] / loop) < 0.01, rows


@case
def experiment_measures_each_strategy_and_steady_loads(t):
    options = experiment.arguments(["--vus", "5", "--seconds", "1", "--pause-ms", "100", "--rates",
                                    "50", "--shares", "20", "--flood", "3000", "--work-ms", "20",
                                    "--only", "pessimistic", "--out", t.directory()])
    report = experiment.measure(Lab(t), options)
    rows = {(r["run"], r["load"]): r for r in report.rows}
    written(report, "-1.png", "-2.png")
    assert len(rows) == 1 + 2 + 2 + 1 + 2 * 2, sorted(rows)
    for row in rows.values():
        assert row["failed"] == 0 and row["confirmed"] == row["produced"] > 0, row
    # A user who waits longer for an answer than he works would be measured wrongly.
    slow = rows["pessimistic, 1 a time, 20 ms work", "5 users"]
    assert slow["p50_ms"] >= 20, slow


@case
def growth_keeps_the_books_as_the_table_grows(t):
    options = growth.arguments(["--rows", "0,5000", "--events", "2000", "--ids", "time",
                                "--backlogs", "1000", "--instances", "2", "--out", t.directory()])
    rows = written(growth.measure(Lab(t), options), "-rows.png")
    assert len(rows) == 4, sorted(rows)


@case
def a_stall_is_in_the_latency_of_all_who_waited(t):
    """No coordinated omission: a second of silence is seen by each event that was due in it."""
    lab = Lab(t)
    rate, seconds, stall = 200, 4, 1.0
    with lab.world() as world, lab.echo(world) as echo:
        load = subprocess.Popen(
            lab.command("load", "open", brokers=lab.kafka.bootstrap, topic=world.topic,
                        outcome_topic=world.outcome_topic, rate=rate, seconds=seconds),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        t.cleanup(load.kill)
        load.stderr.readline()  # said when the load has begun
        echo.signal(signal.SIGSTOP)
        threading.Event().wait(stall)  # what is measured, not what is waited for
        echo.signal(signal.SIGCONT)
        found = json.loads(load.communicate(timeout=60)[0])
    assert found["answered"] == rate * seconds and found["failed"] == 0, found
    # A quarter of all events were due during the stall, half of them waited longer than 0.5 s.
    assert found["max_ms"] >= 1000 * stall * 0.95, found
    assert found["p90_ms"] >= 1000 * stall * 0.45, found
    assert found["p50_ms"] < 1000 * stall * 0.5, found


@case
def the_backlog_has_the_duplicates_and_orders_it_says(t):
    lab = Lab(t)
    with lab.world() as world:
        found = lab.run("load", "fill", brokers=lab.kafka.bootstrap, topic=world.topic,
                        events=20000, duplicates=0.3, types=10, skew=1)
        events = [json.loads(m.value) for m in read_all(world.broker.bootstrap, world.topic)[0]]
    orders = {e["orderId"]: json.dumps(e, sort_keys=True) for e in events}
    assert len(events) == found["events"] == 20000
    assert len(orders) == found["orders"] and abs(len(orders) - 14000) < 300, found
    assert {json.dumps(e, sort_keys=True) for e in events} == set(orders.values()), "not the same"
    kinds = [e["ticketTypeId"] for e in events]
    # Zipf over ten types: the first has 1 / (1 + 1/2 + ... + 1/10) = 0.34 of all, the last 0.034.
    assert set(kinds) == set(range(1, 11)), set(kinds)
    assert 0.30 < kinds.count(1) / len(kinds) < 0.38, kinds.count(1)


@case
def our_code_keeps_its_instruction_budget(t):
    compiler, allowed = instructions.budget()
    found = instructions.measure(t.build)
    for stage, count in found.items():
        t.figure("%-7s %6d instructions an event (budget %d)", stage, count, allowed[stage])
    if instructions.built_with(t.build) != compiler:
        t.note("not compared: built with %s, the budget is for %s",
               instructions.built_with(t.build), compiler)
        return
    assert not instructions.over(found, allowed), "\n".join(instructions.over(found, allowed))


if __name__ == "__main__":
    main(__file__)
