# SPDX-License-Identifier: Apache-2.0
"""Several daemons of one group, members that are no daemon, and proof of who committed what."""

import re
import time

from confluent_kafka import Consumer, KafkaException

from .broker import CLIENT
from .postgres import Postgres
from .process import wait_until
from .proxy import Proxy

# A group that notices soon: what a test waits for otherwise are 10 s and 5 minutes.
SESSION_MS, POLL_MS = 3000, 4000
SHORT = {
    "kafka__properties": ["session.timeout.ms=%d" % SESSION_MS, "heartbeat.interval.ms=500",
                          "max.poll.interval.ms=%d" % POLL_MS],
    "database__transaction_timeout_ms": 2000, "database__connect_timeout_ms": 1000,
    "lock__wait_ms": 500, "lock__redis_timeout_ms": 300, "lock__lease_ms": 2500,
}

GONE = "the group revoked all partitions"
STOP_MS = 15000  # limits.stop_ms, the default


def passes(seconds):
    """Time is what the claim is about."""
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= until, seconds + 60, "time passes")


def heard(daemon, text, count=1, seconds=15):
    """The daemon has logged `text` so many times."""
    wait_until(lambda: daemon.log().count(text) >= count, seconds,
               lambda: "%s logs \"%s\" %d times\n%s" % (daemon.name, text, count, daemon.status))


def assigned(daemon, partitions, seconds=20):
    """The group has given it all of these since it last took them away."""
    def found():
        # All members lose their partitions before any gets new ones.
        last = daemon.log().rpartition(GONE)[2]
        given = re.findall(r"the group assigned partitions:((?: \d+)*)", last)
        return set(partitions) <= {int(n) for text in given for n in text.split()}
    wait_until(found, seconds, lambda: "%s is assigned %s\n%s" % (
        daemon.name, list(partitions), daemon.status))


def member(world, instance, **settings):
    """Another daemon of the world's group; members sort by instance."""
    return world.another(world.test, world.directory, "daemon-" + instance,
                         kafka__instance=instance, **settings)


def stopped(daemon, budget_ms=STOP_MS):
    """SIGTERM: exit 0 inside the budget; the seconds it took."""
    begin = time.monotonic()
    code = daemon.terminate(budget_ms / 1000 + 30)
    took = time.monotonic() - begin
    assert code == 0, "%s: SIGTERM, then exit %d" % (daemon.name, code)
    assert took * 1000 < budget_ms, "%s: %.2f s from SIGTERM to the exit, budget %d ms" % (
        daemon.name, took, budget_ms)
    return took


def freeze_in_transaction(world, seconds=30):
    """The daemon stands still in the middle of work; its outcomes are still to be published."""
    deadline = time.monotonic() + seconds
    while True:
        wait_until(lambda: world.open_transactions() > 0, max(0, deadline - time.monotonic()),
                   lambda: "a transaction is open: " + world.daemon.status, every=0)
        world.daemon.child.freeze()
        if world.open_transactions() > 0:
            return
        world.daemon.child.thaw()  # it was over before


def through(world, proxy):
    """The conninfo by way of a proxy."""
    return ("host=127.0.0.1 port=%d dbname=%s user=%s sslmode=disable gssencmode=disable" % (
        proxy.port, world.database, Postgres.DAEMON))


class Gate(Proxy):
    """A proxy to PostgreSQL. at_commit(), once, is called when a batch's COMMIT has come and before
    it is passed on; its answer is how that ends (see Proxy.cut_commits), None: it is passed on."""

    def __init__(self, world):
        self.at_commit = None
        super().__init__(("127.0.0.1", world.postgres.port))
        world.test.cleanup(self.close)

    def cut_now(self):
        hook, self.at_commit = self.at_commit, None
        if hook is None:
            return super().cut_now()
        self.commits += 1
        how = hook()
        if how:
            self.cuts.append(how)
        return how

    def block(self):
        """Every connection is cut, every new one refused."""
        self.refusing = True
        self.cut()

    def open(self):
        self.refusing = False


class Stranger:
    """A member of the group that is no daemon of ours: it makes the group rebalance, twice."""

    def __init__(self, world):
        self.assigned = None
        self.consumer = Consumer({
            "bootstrap.servers": world.broker.bootstrap, "group.id": world.group_name,
            "partition.assignment.strategy": "range", "enable.auto.commit": False,
            "session.timeout.ms": 6000, "heartbeat.interval.ms": 500,
            "auto.offset.reset": "earliest", **CLIENT})
        world.test.cleanup(self.leave)
        self.topic = world.topic

    def join(self, seconds):
        """Seconds until the group has given it its share."""
        begin = time.monotonic()

        def on_assign(_consumer, partitions):
            self.assigned = [p.partition for p in partitions]

        self.consumer.subscribe([self.topic], on_assign=on_assign)

        def polled():
            self.consumer.poll(0.05)
            return self.assigned is not None
        wait_until(polled, seconds, "the group gives a new member its share")
        return time.monotonic() - begin

    def leave(self):
        if self.consumer:
            try:
                self.consumer.close()
            except (KafkaException, RuntimeError):
                pass
        self.consumer = None


class Audit:
    """
    Triggers write down every move of next_offset, whose transaction it was and how it ran, and the
    transaction of every payment and letter. (Their xmin would be the savepoint's.)
    """

    def __init__(self, world):
        self.world = world
        world.sql("""
CREATE TABLE audit (n bigserial, xid xid, kafka_partition int, old_next bigint, new_next bigint,
  old_owner uuid, new_owner uuid, synchronous text, isolation text, read_only text);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
  INSERT INTO audit (xid, kafka_partition, old_next, new_next, old_owner, new_owner, synchronous,
    isolation, read_only)
  VALUES (pg_current_xact_id()::xid, NEW.kafka_partition, OLD.next_offset, NEW.next_offset,
    OLD.owner, NEW.owner, current_setting('synchronous_commit'),
    current_setting('transaction_isolation'), current_setting('transaction_read_only'));
  RETURN NULL; END $$;
CREATE TRIGGER audit AFTER UPDATE ON consumer_progress FOR EACH ROW
  WHEN (OLD.next_offset <> NEW.next_offset) EXECUTE FUNCTION audit();
CREATE TABLE audit_row (written text, xid xid, kafka_partition int, kafka_offset bigint);
CREATE FUNCTION audit_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
  INSERT INTO audit_row SELECT TG_TABLE_NAME, pg_current_xact_id()::xid, kafka_partition,
    kafka_offset FROM fresh;
  RETURN NULL; END $$;
CREATE TRIGGER audit_row AFTER INSERT ON payment REFERENCING NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION audit_row();
CREATE TRIGGER audit_row AFTER INSERT ON dead_letter REFERENCING NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION audit_row();
""")

    def judge(self):
        """
        Payments and letters are of the very transaction that moved their partition over them, as
        its owner: so nothing of a fenced one was committed. Returns the number of moves.
        """
        sql = self.world.sql
        gaps = sql("SELECT kafka_partition, old_next, new_next FROM (SELECT *, lag(new_next, 1, "
                   "0::bigint) OVER (PARTITION BY kafka_partition ORDER BY old_next, n) AS due "
                   "FROM audit) a WHERE old_next <> due OR new_next <= old_next")
        assert not gaps, "moves of next_offset that do not follow each other: %s" % gaps[:5]
        wrong = sql("SELECT kafka_partition, old_next FROM audit WHERE old_owner IS NULL OR "
                    "old_owner <> new_owner")
        assert not wrong, "moves by nobody or together with a claim: %s" % wrong[:5]
        wrong = sql("SELECT r.written, r.kafka_partition, r.kafka_offset, r.xid::text, a.xid::text "
                    "FROM audit_row r LEFT JOIN audit a ON a.kafka_partition = r.kafka_partition "
                    "AND r.kafka_offset >= a.old_next AND r.kafka_offset < a.new_next "
                    "WHERE a.xid IS DISTINCT FROM r.xid LIMIT 5")
        assert not wrong, "rows of another transaction than their offset's: %s" % wrong
        for table in ("payment", "dead_letter"):
            missing = sql("SELECT kafka_partition, kafka_offset FROM %s EXCEPT SELECT "
                          "kafka_partition, kafka_offset FROM audit_row WHERE written = '%s'" % (
                              table, table))
            assert not missing, "%s rows that nobody has inserted: %s" % (table, missing[:5])
        return sql("SELECT count(*) FROM audit")[0][0]
