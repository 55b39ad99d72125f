# SPDX-License-Identifier: Apache-2.0
"""What one case has to itself: a database, topics, a group, lock keys, a daemon; on shared servers."""

import itertools
import os
import threading
import time

from .broker import EmbeddedBroker, Group, Kafka
from .daemon import Ctl, Daemon
from .events import Factory, Injector
from .oracle import Ledger, Oracle
from .outcomes import read_all
from .postgres import Postgres
from .process import wait_until
from .redis_server import Redis

NUMBERS = itertools.count(1)
TYPES = (1, 2, 9007199254740993)


class Servers:
    """Started when first asked for, shared by a file's cases, stopped at its end."""

    def __init__(self, workspace):
        self.workspace = workspace
        self.running = {}

    def get(self, name, make):
        if name not in self.running:
            server = make(os.path.join(self.workspace, name))
            self.running[name] = server
            (server.create if name == "postgres" else server.start)()
        return self.running[name]

    @property
    def postgres(self):
        return self.get("postgres", Postgres)

    @property
    def redis(self):
        return self.get("redis", Redis)

    @property
    def kafka(self):
        return self.get("kafka", Kafka)

    def stop(self):
        for server in reversed(list(self.running.values())):
            try:
                server.stop()
            except Exception as e:
                print("# stopping %s: %s" % (type(server).__name__, e), flush=True)


class World:
    """
    totals:   ticket type -> total
    settings: of the daemon, section__key=value
    broker:   another one than the file's Kafka
    """

    def __init__(self, test, totals=None, partitions=3, outcome_partitions=3, broker=None,
                 migrate=True, topics=True, **settings):
        self.test = test
        self.partitions, self.outcome_partitions = partitions, outcome_partitions
        self.postgres, self.redis = test.servers.postgres, test.servers.redis
        self.broker = broker or test.servers.kafka
        self.directory = test.directory()
        number = next(NUMBERS)
        self.database = "case_%d" % number
        self.group_name = "group-%d" % number
        self.topic = "payment-completed-%d" % number
        self.outcome_topic = "payment-outcome-%d" % number
        self.totals = dict(totals if totals is not None else {t: 10**6 for t in TYPES})
        self.sent = []
        self.settings = {
            "kafka.brokers": self.broker.bootstrap,
            "kafka.topic": self.topic,
            "kafka.group": self.group_name,
            "kafka.outcome_topic": self.outcome_topic,
            "kafka.instance": "test",
            "database.conninfo": self.postgres.conninfo(self.database),
            "lock.redis": self.redis.address,
            "lock.key_prefix": "case-%d" % number,
        }
        self.settings.update({k.replace("__", "."): v for k, v in settings.items()})
        self.topic = self.settings["kafka.topic"]
        self.outcome_topic = self.settings["kafka.outcome_topic"]
        self.postgres.create_database(self.database)
        self.owner_conninfo = self.postgres.conninfo(self.database, Postgres.OWNER)
        if migrate:
            self.migrate()
        if topics:
            self.create_topics()
        self.daemon = self.another(test, self.directory, "ticketpayd")
        self.injector = Injector(self.broker.bootstrap, self.topic)
        self.group = Group(self.broker.bootstrap, self.group_name, self.topic, partitions)
        self.connection = self.postgres.connect(self.database)
        test.cleanup(self.close)

    def another(self, test, directory, name, **settings):
        daemon = Daemon(test.program("ticketpayd"), directory, self.settings, name)
        daemon.configure(**settings)
        test.cleanup(daemon.close)
        test.on_failure(daemon.report)
        return daemon

    @property
    def ctl(self):
        return Ctl(self.test.program("ticketpayctl"), self.settings, self.owner_conninfo)

    def migrate(self):
        self.ctl.ok("migrate", "--apply")
        self.postgres.run_file(self.database, os.path.join(self.test.source, "sql", "grants.sql"),
                               daemon=Postgres.DAEMON)
        for kind, total in self.totals.items():
            self.ctl.ok("stock", "create", kind, "--total", total, "--name", "type %d" % kind)

    def create_topics(self):
        if not isinstance(self.broker, EmbeddedBroker):
            self.broker.create_topics({
                self.topic: self.partitions, self.outcome_topic: self.outcome_partitions})

    def close(self):
        self.connection.close()
        self.group.close()

    # ---- what goes in

    def send(self, records):
        self.injector.send(records)
        self.sent += records
        return records

    def factory(self, seed, **options):
        options.setdefault("types", tuple(self.totals) or TYPES)
        return Factory(seed, partitions=self.partitions, **options)

    def sell_out(self, records, kind, fraction=0.5):
        """Before the daemon starts: so many of `kind` that they last for a fraction of the orders."""
        orders = {r.order_id: r.content for r in records if r.content and r.content[3] == kind}
        total = int(sum(c[5] for c in orders.values()) * fraction)
        self.totals[kind] = total
        self.sql("UPDATE ticket_type SET total = %s, remaining = %s WHERE id = %s",
                 total, total, kind)

    # ---- what is there

    def sql(self, text, *arguments):
        if self.connection.closed:
            self.connection = self.postgres.connect(self.database)
        with self.connection.cursor() as q:
            q.execute(text, arguments or None)
            return q.fetchall() if q.description else None

    def reconnect(self):
        """After PostgreSQL was stopped."""
        self.connection.close()
        self.connection = self.postgres.connect(self.database)

    def decided(self):
        return int(self.sql("SELECT coalesce(sum(next_offset), 0) FROM consumer_progress "
                            "WHERE consumer_group = %s", self.group_name)[0][0])

    def published(self):
        return int(self.sql("SELECT coalesce(sum(published_offset), 0) FROM consumer_progress "
                            "WHERE consumer_group = %s", self.group_name)[0][0])

    def open_transactions(self):
        """Transactions of the daemon that have touched payments and are not committed yet."""
        return self.sql(
            "SELECT count(DISTINCT a.pid) FROM pg_stat_activity a JOIN pg_locks l USING (pid) "
            "WHERE a.datname = current_database() AND a.usename = %s "
            "AND l.relation = 'payment'::regclass AND l.mode = 'RowExclusiveLock' AND l.granted",
            Postgres.DAEMON)[0][0]

    def wait_decided(self, count, seconds=60, what=""):
        wait_until(lambda: self.decided() >= count, seconds,
                   lambda: "%d records decided%s (now %d)" % (count, what, self.decided()))

    def wait_done(self, seconds=120):
        """Everything is decided, published and committed."""
        high = self.group.high()

        def whole():
            rows = self.sql("SELECT kafka_partition, next_offset, published_offset FROM "
                            "consumer_progress WHERE consumer_group = %s ORDER BY 1",
                            self.group_name)
            return rows == [(p, h, h) for p, h in enumerate(high)]

        def stand():
            return "all of %s decided and published: %s; %s" % (high, self.sql(
                "SELECT kafka_partition, next_offset, published_offset, state, stopped_reason "
                "FROM consumer_progress ORDER BY 1"), self.daemon.status)
        wait_until(whole, seconds, stand)
        wait_until(lambda: [max(c, 0) for c in self.group.committed()] == high, 15,
                   lambda: "committed offsets %s reach %s" % (self.group.committed(), high),
                   every=0.1)

    def wait_owned(self, owned, seconds=20):
        def rows():
            return [row[0] for row in self.sql(
                "SELECT owner IS NOT NULL FROM consumer_progress WHERE consumer_group = %s",
                self.group_name)]
        wait_until(lambda: all(o == owned for o in rows()), seconds,
                   lambda: "partitions %s an owner: %s" % ("have" if owned else "are without",
                                                           rows()))

    # ---- judging

    def judge(self, once=False, running=None):
        """The oracle and `ticketpayctl verify` find nothing wrong.

        once: each outcome was published only once, which is so while no rebalance comes between
        running: each partition has an owner, as soon as no rebalance is under way; False: none has
        """
        if running is not None:
            self.wait_owned(running)
        once = once and "revoked all partitions" not in self.daemon.log()
        published, count = read_all(self.broker.bootstrap, self.outcome_topic)
        ledger = Ledger(self.connection, self.group_name, self.topic)
        oracle = Oracle(self.topic, self.sent, ledger, published, count, self.totals,
                        self.group.high(), self.group.committed())
        findings = oracle.judge(once=once)
        assert not findings, "the oracle found %d faults, the first:\n%s" % (
            len(findings), "\n".join(findings[:12]))
        self.ctl.ok("verify")
        return oracle

    def finish(self, once=False, seconds=120):
        """Wait until all is done, judge, stop; the exit code must be 0."""
        self.wait_done(seconds)
        oracle = self.judge(once=once, running=True)
        code = self.daemon.terminate()
        assert code == 0, "SIGTERM: exit %d" % code
        return oracle


class Feeder(threading.Thread):
    """Steady load until stopped: `rate` records a second, in small portions."""

    def __init__(self, world, factory, rate):
        super().__init__(daemon=True)
        self.world, self.factory, self.rate = world, factory, rate
        self.stopping = threading.Event()
        self.records = []
        self.failure = None
        world.test.cleanup(self.stopping.set)
        self.start()

    def run(self):
        try:
            begin, sent = time.monotonic(), 0
            while not self.stopping.wait(0.02):
                due = int((time.monotonic() - begin) * self.rate) - sent
                portion = self.factory.make(min(due, 5000))
                self.world.injector.send(portion, flush=False)
                self.records += portion
                sent += len(portion)
        except Exception as e:
            self.failure = e

    def stop(self):
        """All that was fed is in the topic and in world.sent."""
        self.stopping.set()
        self.join()
        assert self.failure is None, self.failure
        self.world.injector.flush()
        self.world.sent += self.records
        return self.records
