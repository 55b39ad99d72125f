# SPDX-License-Identifier: Apache-2.0
"""Where benchmarks run: the integration tests' throw-away servers, warmed up; the C programs."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "integration"))

from harness.broker import Kafka  # noqa: E402
from harness.daemon import Run  # noqa: E402
from harness.process import Child, wait_until  # noqa: E402
from harness.tap import Test, build_directory, ended  # noqa: E402
from harness.world import Servers  # noqa: E402

from progress import Progress  # noqa: E402

TOTAL = 10**9  # of each ticket type, if a benchmark does not sell out


class PatientKafka(Kafka):
    """Waits a little for all members before the first rebalance, as Kafka does by default (3 s)."""

    def configure(self):
        super().configure()
        with open(self.properties, "a", encoding="ascii") as out:
            out.write("group.initial.rebalance.delay.ms=500\n")


class BenchServers(Servers):
    @property
    def kafka(self):
        return self.get("kafka", PatientKafka)


class Lab:
    """test: the harness's, or one like it: programs, directories, servers."""

    def __init__(self, test):
        self.test = test
        self.progress = Progress()
        self.backlogs = {}
        self.serial = 0

    @property
    def postgres(self):
        return self.test.servers.postgres

    @property
    def kafka(self):
        return self.test.servers.kafka

    # ---- programs of bench/

    def command(self, name, *words, **options):
        command = [self.test.program("bench/" + name), *words]
        for key, value in options.items():
            command += ["--" + key.replace("_", "-"), str(value)]
        return command

    def run(self, name, *words, limit=600, **options):
        """The program's result, a line of JSON."""
        command = self.command(name, *words, **options)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=limit, check=False, text=True)
        if done.returncode:
            raise AssertionError("%s: exit %d\n%s" % (" ".join(command), done.returncode,
                                                      done.stderr))
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def echo(self, world, linger_ms=0):
        """Someone who answers without a database."""
        log = os.path.join(world.directory, "echo.log")
        child = Child(self.command("load", "echo", brokers=self.kafka.bootstrap,
                                   topic=world.topic, outcome_topic=world.outcome_topic,
                                   linger_ms=linger_ms), log)
        try:
            wait_until(lambda: "ready" in child.log() or not child.alive, 20, child.log)
            assert child.alive, child.log()
            yield child
        finally:
            child.signal(signal.SIGTERM)
            child.wait(20, "echo")

    # ---- worlds

    @contextlib.contextmanager
    def world(self, types=1, partitions=3, topic=None, totals=None, **settings):
        """A database, topics and a daemon of its own, all gone afterwards. topic: an existing one
        with `partitions`."""
        self.serial += 1
        names = {"kafka__topic": topic or "bench-in-%d" % self.serial,
                 "kafka__outcome_topic": "bench-out-%d" % self.serial}
        world = self.test.world(totals=totals or {1: TOTAL}, partitions=partitions, topics=False,
                                **{**names, **settings})
        topics = {world.outcome_topic: world.outcome_partitions}
        if not topic:
            topics[world.topic] = partitions
        if types > 1:
            world.sql("INSERT INTO ticket_type SELECT i, 'type ' || i, %s, %s "
                      "FROM generate_series(2, %s) i", TOTAL, TOTAL, types)
        self.kafka.create_topics(topics)
        try:
            yield world
        except AssertionError:
            for report in self.test.reports:
                print(report(), file=sys.stderr)
            raise
        finally:
            self.test.reports.clear()
            while self.test.cleanups:
                self.test.cleanups.pop()()
            for name in topics:
                self.kafka.delete_topic(name)
            self.postgres.execute("postgres", "DROP DATABASE %s WITH (FORCE)" % world.database)

    def backlog(self, **shape):
        """(topic, result of `load fill`); kept for the next run of the same shape."""
        key = tuple(sorted(shape.items()))
        if key not in self.backlogs:
            for topic, _ in self.backlogs.values():
                self.kafka.delete_topic(topic)
            self.backlogs.clear()
            topic = "bench-backlog-%d" % self.test.serial
            self.test.serial += 1
            self.kafka.create_topics({topic: shape["partitions"]})
            self.progress.say("a backlog of %d events" % shape["events"])
            self.backlogs[key] = topic, self.run("load", "fill", brokers=self.kafka.bootstrap,
                                                 topic=topic, **shape)
        return self.backlogs[key]

    def checkpoint(self):
        """So that no run pays for what the one before left in memory."""
        self.postgres.execute("postgres", "CHECKPOINT")


def wal(world):
    """Bytes ever written to PostgreSQL's log."""
    return int(world.sql("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")[0][0])


def verify(world, seconds=600):
    run = Run([*world.ctl.base, "verify"], seconds=seconds)
    assert run.code == 0, str(run)


def with_lab(body):
    """body(lab); the servers and their files are gone afterwards."""
    workspace = tempfile.mkdtemp(prefix="ticketpayd-bench-")
    os.chmod(workspace, 0o755)  # PostgreSQL's user passes through it
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ended)
    lab = Lab(Test(build_directory(None), workspace, BenchServers(workspace)))
    try:
        lab.progress.say("starting servers")
        lab.postgres, lab.test.servers.redis, lab.kafka  # pylint: disable=pointless-statement
        return body(lab)
    finally:
        lab.progress.end()
        lab.test.servers.stop()
        shutil.rmtree(workspace, ignore_errors=True)
