#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A log with gaps, that lost its beginning, that was made anew, that got more partitions."""

from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewPartitions

from harness.broker import CLIENT, AdminClient, Group, Kafka, wait_for_topics
from harness.events import Injector
from harness.holds import bad, delete_records, fewer_than_offsets, judge, orders, outcomes, \
    progress, snapshot, stop, wait_progress, wait_stopped
from harness.outcomes import reader
from harness.process import wait_until
from harness.tap import case, main


def gaps_logged(world):
    return world.daemon.log().count("hold no records (compaction or transaction markers)")


# ---- row 17

def send_transaction(world, injector, records, commit=True):
    injector.producer.begin_transaction()
    injector.send(records)
    if commit:
        injector.producer.commit_transaction(30)
        world.sent += records
    else:
        injector.producer.abort_transaction(30)


@case
def transaction_markers_and_aborted_records_are_passed(t):
    world = t.world()
    injector = Injector(world.broker.bootstrap, world.topic,
                        **{"transactional.id": "shop-" + world.topic,
                           "message.timeout.ms": 30000})
    injector.producer.init_transactions(30)
    world.daemon.start()
    # Aborted first: the very first record a partition shows has not the expected offset.
    send_transaction(world, injector, orders("aborted", 7, 0) + orders("aborted", 3, 1), False)
    for i in range(5):
        send_transaction(world, injector, [r for p in range(3)
                                           for r in orders("t%d" % i, 50 + p, p)])
        send_transaction(world, injector, orders("never%d" % i, 20, 1), False)
    world.send([r for p in range(3) for r in orders("plain", 30, p)])
    world.wait_done()
    assert world.sql("SELECT count(*) FROM payment WHERE order_id LIKE 'aborted%%' "
                     "OR order_id LIKE 'never%%'") == [(0,)]
    # A marker at the very end, a restart there, and on.
    send_transaction(world, injector, orders("last", 5, 2))
    wait_until(lambda: progress(world, 2)[1] == world.group.high()[2] - 1, 20,
               lambda: "the last record is published: %s" % world.daemon.status)
    world.ctl.ok("verify", "--kafka")
    listed = world.ctl.json("status")["partitions"][2]
    assert (listed["high"] - listed["next_offset"], listed["lag"], listed["lag_seconds"]) == \
        (1, 0, 0), listed
    stop(world)
    world.daemon.start()
    world.send([r for p in range(3) for r in orders("end", 5, p)])
    world.wait_done()
    judge(world, but=fewer_than_offsets, once=True, running=True)
    assert gaps_logged(world) >= 3, "gaps are not logged"
    stop(world)


class CompactingKafka(Kafka):
    """Its cleaner looks at the logs all the time, not every 15 s."""

    def configure(self):
        super().configure()
        with open(self.properties, "a", encoding="ascii") as out:
            out.write("log.cleaner.backoff.ms=100\n")


def surviving(world):
    """Offsets per partition that a consumer gets to see."""
    consumer = reader(world.broker.bootstrap, **{"enable.partition.eof": True})
    try:
        consumer.assign([TopicPartition(world.topic, p, 0) for p in range(world.partitions)])
        found, ended = [set() for _ in range(world.partitions)], set()
        while len(ended) < world.partitions:
            message = consumer.poll(10)
            assert message, "the topic cannot be read to its end"
            if message.error():
                ended.add(message.partition())
            else:
                found[message.partition()].add(message.offset())
        return found
    finally:
        consumer.close()


def send_keyed(world, prefix, count, keys):
    records = [r for p in range(3) for r in orders(prefix, count, p)]
    for i, record in enumerate(records):
        record.key = b"%s-%d" % (prefix.encode(), i % keys)
    return world.send(records)


def compact(world, high):
    """Until no offset below `high` is left but the last of each key."""
    def compacted():
        # A segment is closed by the next record that is late enough; only closed ones are cleaned.
        send_keyed(world, "filler%d" % len(world.sent), 1, 3)
        found = surviving(world)
        return all(len([o for o in found[p] if o < high]) < 20 for p in range(3)) and found
    found = wait_until(compacted, 60, lambda: "the log is compacted: %s" % [
        len(f) for f in surviving(world)], every=0.3)
    return found


@case
def a_compacted_log_is_passed_also_when_the_last_decided_record_is_gone(t):
    world = t.world(broker=t.servers.get("compacting", CompactingKafka), topics=False)
    world.broker.create_topics({
        world.topic: (3, {"cleanup.policy": "compact", "segment.ms": "100",
                          "min.cleanable.dirty.ratio": "0.001"}),
        world.outcome_topic: 3})
    send_keyed(world, "early", 100, 10)
    world.daemon.start()
    world.wait_done()
    stop(world)
    decided = world.sql("SELECT count(*) FROM payment")[0][0]
    # The same keys again: everything decided is compacted away, next_offset - 1 with it.
    first = world.group.high()
    send_keyed(world, "early", 100, 10)
    found = compact(world, max(first) + 90)
    assert all(h - 1 not in found[p] for p, h in enumerate(first)), "the last decided one is left"
    world.daemon.start()
    world.wait_done()
    # What the daemon could see the second time: duplicates, for the ids are the same.
    seen = surviving(world)
    t.note("of %s records %s are left", world.group.high(), [len(s) for s in seen])
    assert gaps_logged(world) >= 3
    left = [r for r in world.sent if r.offset in seen[r.partition] or r.offset < first[r.partition]]
    judge(world, sent=left, but=fewer_than_offsets, running=True)
    assert world.sql("SELECT count(*) FROM payment")[0][0] >= decided
    stop(world)


# ---- row 19

def log_settled(world, count):
    """`count` orders in each partition, decided and published."""
    world.daemon.start()
    world.send([r for p in range(3) for r in orders("first", count, p)])
    world.wait_done()


@case
def undecided_records_deleted_by_retention_stop_that_partition_until_a_seek(t):
    world = t.world()
    log_settled(world, 100)
    stop(world)
    world.send([r for p in range(3) for r in orders("second", 100, p)])
    delete_records(world, {1: 150})
    world.daemon.start()
    says = ("100 to 149", "retention", "ticketpayctl progress seek --partition 1 --to earliest")
    wait_stopped(world, 1, *says)
    wait_progress(world, {0: 200, 2: 200})
    # Neither a restart nor the wrong cure leads over the hole.
    stop(world)
    world.daemon.start()
    wait_stopped(world, 1, *says)
    world.ctl.ok("resume", "--partition", 1)
    wait_until(lambda: progress(world, 1)[2] == "stopped", 20, "it is stopped again")
    wait_stopped(world, 1, *says)
    world.send(orders("third", 50, 0) + orders("third", 50, 1) + orders("third", 50, 2))
    wait_progress(world, {0: 250, 2: 250})
    assert progress(world, 1)[:3] == (100, 100, "stopped")
    world.ctl.ok("verify")
    assert "kafka_next_in_log" in world.ctl.run("verify", "--kafka").out
    pid = world.daemon.pid
    world.ctl.ok("progress", "seek", "--partition", 1, "--to", "earliest", "--yes")
    world.wait_done()
    assert world.daemon.pid == pid and world.daemon.alive
    gone = [r for r in world.sent if r.partition == 1 and 100 <= r.offset < 150]
    judge(world, sent=[r for r in world.sent if r not in gone], but=fewer_than_offsets,
          running=True)
    stop(world)


@case
def records_deleted_while_we_run_and_hold_stop_that_partition(t):
    world = t.world(batch__max_events=10)
    log_settled(world, 10)
    holder = world.postgres.connect(world.database)
    t.cleanup(holder.close)
    holder.autocommit = False
    with holder.cursor() as q:
        q.execute("SELECT FROM consumer_progress WHERE kafka_partition = 1 FOR UPDATE")
    world.send(orders("second", 2000, 0) + orders("second", 2000, 1) + orders("second", 2000, 2))
    wait_progress(world, {0: 2010, 2: 2010})
    world.daemon.wait_status("waiting for rows that PostgreSQL keeps locked", 30)
    delete_records(world, {1: 1990})
    holder.rollback()
    wait_stopped(world, 1, "to 1989", "retention", "progress seek --partition 1 --to earliest")
    # What was polled before the hold is decided, in order and without a hole; nothing behind it.
    reached = progress(world, 1)[0]
    assert 10 <= reached < 1990, reached
    assert world.sql("SELECT count(*), max(kafka_offset) FROM payment WHERE kafka_partition = 1") \
        == [(reached, reached - 1)]
    world.send(orders("third", 10, 0) + orders("third", 10, 1) + orders("third", 10, 2))
    wait_progress(world, {0: 2020, 2: 2020})
    world.ctl.ok("progress", "seek", "--partition", 1, "--to", "earliest", "--yes")
    world.wait_done()
    judge(world, sent=[r for r in world.sent
                       if r.partition != 1 or r.offset < reached or r.offset >= 1990],
          but=fewer_than_offsets, running=True)
    stop(world)


@case
def only_published_records_deleted_begins_at_the_first_that_is_left(t):
    world = t.world(kafka__instance="none")
    log_settled(world, 100)
    stop(world)
    before = snapshot(world)
    world.group.reset(0)
    delete_records(world, {0: 60, 1: 60, 2: 100})
    world.daemon.start()

    def again():
        found = outcomes(world)
        return all(len(found[p, o]) > 1 for p in (0, 1) for o in range(60, 100)) and found
    found = wait_until(again, 30, "the outcomes of what is left come again", every=0.2)
    assert all(len(found[p, o]) == 1 for p in range(3) for o in range(60))
    assert snapshot(world) == before
    assert "offsets 0 to 59 are deleted by now" in world.daemon.log()
    assert "offsets 0 to 99 are deleted by now" in world.daemon.log()
    world.send([r for p in range(3) for r in orders("more", 20, p)])
    world.finish()
    assert "stopped:" not in world.daemon.log()


# ---- row 20

def recreate(world):
    world.broker.delete_topic(world.topic)
    admin = AdminClient({"bootstrap.servers": world.broker.bootstrap, **CLIENT})
    wait_until(lambda: world.topic not in admin.list_topics(timeout=10).topics, 30,
               "the topic is gone")
    world.broker.create_topics({world.topic: 3})
    world.injector = Injector(world.broker.bootstrap, world.topic)


def seek_all(world):
    for p in range(3):
        world.ctl.ok("progress", "seek", "--partition", p, "--to", "earliest", "--yes")


def rows_of(world, prefix):
    return world.sql("SELECT count(*) FROM payment WHERE order_id LIKE %s", prefix + "%")[0][0]


@case
def a_topic_made_anew_stops_its_partitions_until_a_seek(t):
    """Longer than before, shorter, and empty."""
    world = t.world()
    world.daemon.start()
    world.send([r for p in range(3) for r in (*orders("old", 50, p), bad(p))])
    world.wait_done()
    stop(world)
    recreate(world)
    world.sent = []
    world.send(orders("new", 50, 0) + [bad(0)] + orders("new2", 30, 0)
               + orders("new", 20, 1))
    before = snapshot(world)
    world.daemon.start()
    cure = "ticketpayctl progress seek --partition %d --to earliest"
    wait_stopped(world, 0, "recreated", cure % 0)
    wait_stopped(world, 1, "recreated", "above the log's end 20", cure % 1)
    wait_stopped(world, 2, "above the log's end 0", cure % 2)
    assert snapshot(world) == before
    seek_all(world)
    world.send(orders("new", 20, 2))
    world.wait_done()
    assert rows_of(world, "old") == 150 and rows_of(world, "new") == 120
    # One letter of the old topic beside one of the new, of the same partition and offset.
    assert world.sql("SELECT count(*), count(DISTINCT record_timestamp) FROM dead_letter "
                     "WHERE kafka_partition = 0 AND kafka_offset = 50") == [(2, 2)]
    assert world.sql("SELECT count(*) FROM dead_letter") == [(4,)]
    world.ctl.ok("verify", "--kafka")
    found = outcomes(world)
    assert all(any(o["orderId"] == r.order_id for o in found[r.partition, r.offset])
               for r in world.sent if r.content)
    stop(world)


@case
def a_topic_made_anew_while_we_run_loses_no_record(t):
    """Longer at once: the offset that the daemon waits for is there again."""
    world = t.world()
    log_settled(world, 20)
    recreate(world)
    world.sent = []
    world.send([r for p in range(3) for r in orders("new", 60, p)])
    for p in range(3):
        wait_stopped(world, p, "recreated", "progress seek --partition %d --to earliest" % p,
                     seconds=30)
    seek_all(world)
    world.wait_done()
    assert rows_of(world, "new") == 180
    world.ctl.ok("verify", "--kafka")
    stop(world)


# ---- row 24

@case
def partitions_that_are_added_are_served_from_their_first_record_without_a_restart(t):
    """Also with kafka.start = latest, which is for a new group only."""
    world = t.world(kafka__start="latest")
    log_settled(world, 50)
    pid = world.daemon.pid
    admin = AdminClient({"bootstrap.servers": world.broker.bootstrap, **CLIENT})
    admin.create_partitions([NewPartitions(world.topic, 6)])[world.topic].result(30)
    wait_for_topics(admin, {world.topic: 6})
    world.injector = Injector(world.broker.bootstrap, world.topic)
    world.send([r for p in range(6) for r in orders("second", 50, p)])
    world.group.close()
    world.group = Group(world.broker.bootstrap, world.group_name, world.topic, 6)
    world.partitions = 6
    world.daemon.wait_status("consuming 6/6 partitions", 60)
    world.wait_done()
    assert world.daemon.pid == pid
    world.send([r for p in range(6) for r in orders("third", 50, p)])
    world.wait_done()
    judge(world, running=True)
    stop(world)


main(__file__)
