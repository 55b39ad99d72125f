# SPDX-License-Identifier: Apache-2.0
"""What ticketpayctl works on, without a daemon: a database, a topic, a group, rows made by hand."""

import itertools
import json
import time

from confluent_kafka import Producer

from .broker import CLIENT, Group
from .daemon import Ctl
from .postgres import Postgres
from .process import free_port

TOPIC = "payment-completed"
SERIAL = itertools.count(1)


class Shop:
    """A database, with Kafka a topic and a group as well; ticketpayctl told of all of them."""

    def __init__(self, t, migrate=True, encoding="UTF8", kafka=False, **settings):
        number = next(SERIAL)
        self.t, self.postgres = t, t.servers.postgres
        self.database = "ctl_%d" % number
        self.topic = "%s-ctl-%d" % (TOPIC, number) if kafka else TOPIC
        self.group_name = "ctl-%d" % number if kafka else "ticketpayd"
        self.settings = {"kafka.topic": self.topic, "kafka.group": self.group_name,
                         "kafka.brokers": "127.0.0.1:%d" % free_port()}
        if kafka:
            self.settings["kafka.brokers"] = t.servers.kafka.bootstrap
            t.servers.kafka.create_topics({self.topic: 3})
            self.group = Group(t.servers.kafka.bootstrap, self.group_name, self.topic, 3)
            t.cleanup(self.group.close)
        self.settings.update({k.replace("__", "."): v for k, v in settings.items()})
        self.create(encoding)
        self.ctl = self.ctl_with()
        if migrate:
            self.ctl.ok("migrate", "--apply")

    def create(self, encoding):
        self.postgres.create_database(self.database, encoding)
        self.connection = self.postgres.connect(self.database)
        self.t.cleanup(self.connection.close)

    def ctl_with(self, more="", **settings):
        conninfo = self.postgres.conninfo(self.database, Postgres.OWNER) + more
        settings = {k.replace("__", "."): v for k, v in settings.items()}
        return Ctl(self.t.program("ticketpayctl"), {**self.settings, **settings}, conninfo)

    def sql(self, text, *arguments):
        with self.connection.cursor() as q:
            q.execute(text, arguments or None)
            return q.fetchall() if q.description else None

    def refused(self, *verb, code=1, says=""):
        run = self.ctl.run(*verb)
        assert run.code == code and says in run.err, "%s\nexpected exit %d, \"%s\"" % (
            run, code, says)
        return run

    def produce(self, counts):
        """Records, one a millisecond from 2026 on, the last ones just now."""
        producer = Producer({"bootstrap.servers": self.settings["kafka.brokers"], **CLIENT})
        for partition, count in enumerate(counts):
            for _ in range(count):
                producer.produce(self.topic, b"{}", partition=partition,
                                 timestamp=int(time.time() * 1000) - 60000)
        assert producer.flush(20) == 0

    def rows(self, *rows):
        """(partition, next, published) each."""
        for partition, following, published in rows:
            self.sql("INSERT INTO consumer_progress (consumer_group, topic, kafka_partition, "
                     "next_offset, published_offset, claimed_by, unclean_claims, state, sought, "
                     "updated_at) VALUES (%s, %s, %s, %s, %s, 'x', 0, 'running', false, now())",
                     self.group_name, self.topic, partition, following, published)

    def progress(self):
        return self.sql("SELECT kafka_partition, next_offset, published_offset, state, sought, "
                        "owner FROM consumer_progress ORDER BY 1")

    def broken(self, *options):
        """Names of the checks that verify finds broken, with their rows."""
        run = self.ctl.run("verify", "--json", *options)
        found = json.loads(run.out)
        assert set(found) == {"ok", "checks"}, found
        for check in found["checks"]:
            assert set(check) == {"name", "ok", "checked", "broken", "rows"}, check
            assert check["ok"] == (check["broken"] == 0)
            assert len(check["rows"]) == min(check["broken"], 20), check
        broken = {c["name"]: c["rows"] for c in found["checks"] if not c["ok"]}
        assert found["ok"] == (not broken)
        assert run.code == (1 if broken else 0), str(run)
        return broken


def sound(shop):
    """A little of everything that is legal. The constraints go, so that rows can be tampered with."""
    shop.sql("""
ALTER TABLE consumer_progress DROP CONSTRAINT consumer_progress_state_check;
ALTER TABLE payment DROP CONSTRAINT payment_status_check;
ALTER TABLE dead_letter DROP CONSTRAINT dead_letter_state_check;
ALTER TABLE ticket_type DROP CONSTRAINT ticket_type_remaining_check;
INSERT INTO ticket_type VALUES (1, 'a', 10, 4), (2, 'b', 3, 1), (3, 'c', 5, 5);
INSERT INTO payment VALUES
 ('o-1', 'k', 1, 1, 1, 100, 'CONFIRMED', 0, 0, '2026-01-01 00:00:00'),
 ('o-2', 'k', 1, 1, 2, 100, 'CONFIRMED', 0, 1, '2026-01-01 00:00:00'),
 ('o-3', 'k', 2, 1, 2, 100, 'CONFIRMED', 1, 0, '2026-01-01 00:00:01'),
 ('o-4', 'k', 2, 1, 2, 100, 'SOLD_OUT', 1, 1, '2026-01-01 00:00:01'),
 ('o-5', 'k', 9, 1, 1, 100, 'UNKNOWN_TICKET_TYPE', 1, 2, '2026-01-01 00:00:01'),
 ('o-6', 'k', 1, 1, 3, 100, 'CONFIRMED', 2, 7, '2026-01-01 00:00:02');
INSERT INTO consumer_progress (consumer_group, topic, kafka_partition, next_offset,
  published_offset, claimed_by, unclean_claims, state, stopped_reason, sought, updated_at) VALUES
 ('ticketpayd', 'payment-completed', 0, 5, 5, 'x', 0, 'running', NULL, false, now()),
 ('ticketpayd', 'payment-completed', 1, 3, 2, 'x', 0, 'running', NULL, false, now()),
 ('ticketpayd', 'payment-completed', 2, 8, 8, 'x', 0, 'stopped', 'breaker', false, now());
INSERT INTO dead_letter (topic, kafka_partition, kafka_offset, record_timestamp, reason, detail,
  order_id, value, value_bytes, state, parked_at, resolved_at, resolved_by) VALUES
 ('payment-completed', 0, 2, 1, 'BAD_JSON', 'd', NULL, '{x', 2, 'parked', now(), NULL, NULL),
 ('payment-completed', 0, 3, 1, 'TOO_LARGE', 'd', NULL, '{x', 99999, 'parked', now(), NULL, NULL),
 ('payment-completed', 0, 4, 1, 'ORDER_CONFLICT', 'd', 'o-1', '{x', 2, 'discarded', now(), now(),
  'me'),
 ('payment-completed', 2, 0, -1, 'EMPTY_VALUE', 'd', NULL, '', 0, 'parked', now(), NULL, NULL),
 ('payment-completed', 2, 1, -1, 'BAD_FIELD', 'amount: no integer', 'o-9', '{}', 2, 'parked',
  now(), NULL, NULL);
""")


def consumed(t):
    """Three partitions of 10 records, decided up to 10, 8 and 0, published and committed likewise."""
    shop = Shop(t, kafka=True)
    shop.produce([10, 10, 10])
    shop.group.reset(0)
    shop.rows((0, 10, 10), (1, 8, 7), (2, 0, 0))
    return shop
