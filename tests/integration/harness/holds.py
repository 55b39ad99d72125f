# SPDX-License-Identifier: Apache-2.0
"""For the cases of partitions that stop and of logs and databases that change under the daemon."""

import json
import os
import subprocess

from .daemon import environment
from .events import Record, encode
from .oracle import Ledger, Oracle
from .outcomes import read_all
from .process import wait_until


# ---- what goes in

def order(order_id, partition, kind=1, quantity=1, key="constant", amount=100, member=7):
    content = (order_id, key, amount, kind, member, quantity)
    record = Record(encode(content), content)
    record.partition = partition
    return record


def orders(prefix, count, partition, **more):
    return [order("%s-%d-%d" % (prefix, partition, i), partition, **more) for i in range(count)]


def bad(partition):
    record = Record(b"not json at all", reason="BAD_JSON")
    record.partition = partition
    return record


# ---- what is there

def progress(world, partition):
    """(next_offset, published_offset, state, reason) of the row, or None."""
    rows = world.sql("SELECT next_offset, published_offset, state, stopped_reason FROM "
                     "consumer_progress WHERE consumer_group = %s AND kafka_partition = %s",
                     world.group_name, partition)
    return rows[0] if rows else None


def wait_progress(world, ends, seconds=60):
    """ends: partition -> next_offset, all decided and published up to there."""
    def reached():
        return all((progress(world, p) or (0, 0))[:2] == (end, end) for p, end in ends.items())
    wait_until(reached, seconds, lambda: "partitions are at %s: %s; %s" % (ends, world.sql(
        "SELECT kafka_partition, next_offset, published_offset, state, stopped_reason "
        "FROM consumer_progress ORDER BY 1"), world.daemon.status))


def wait_stopped(world, partition, *says, row=True, seconds=60):
    """State, reason and cure are in the row, in STATUS, in the log and in `ticketpayctl status`."""
    status = world.daemon.wait_status(r"partition %d stopped: " % partition, seconds)
    told = status.split("partition %d stopped: " % partition)[1]
    listed = next(p for p in world.ctl.json("status")["partitions"] if p["partition"] == partition)
    assert listed["state"] == "stopped", listed
    texts = {"STATUS": told, "ticketpayctl status": listed["reason"]}
    if row:
        found = progress(world, partition)
        assert found[2] == "stopped", found
        texts["consumer_progress"] = found[3]
    else:
        assert progress(world, partition) is None
    for where, text in texts.items():
        for part in says:
            assert part in text, "%s does not say %r: %s" % (where, part, text)
    assert "partition %d stopped: " % partition in world.daemon.log()
    return listed


def snapshot(world, *more):
    """Everything booked: payments, letters and stock, and every column of theirs."""
    return {table: world.sql("SELECT t::text FROM %s t ORDER BY 1" % table)
            for table in ("payment", "dead_letter", "ticket_type", *more)}


def outcomes(world):
    """(partition, offset) of the record -> its outcomes, in the order in which they were written
    (those of one order are in one partition of the outcome topic)."""
    found = {}
    for p in read_all(world.broker.bootstrap, world.outcome_topic)[0]:
        outcome = json.loads(p.value)
        found.setdefault((outcome["partition"], outcome["offset"]), []).append(outcome)
    return found


def judge(world, sent=None, but=None, latest=False, **how):
    """
    The oracle and `ticketpayctl verify --kafka`, where World.judge() would be wrong:
    sent:   the records that could be decided, if others were deleted from the log
    but:    function of a finding: not one in this case
    latest: of the outcomes of one record only those of the latest decision count
    """
    published, count = read_all(world.broker.bootstrap, world.outcome_topic)
    if latest:
        decided = [(p, json.loads(p.value)) for p in published]
        last = {}
        for _, o in decided:
            where = o["partition"], o["offset"]
            last[where] = max(last.get(where, ""), o["decidedAt"])
        published = [p for p, o in decided if o["decidedAt"] == last[o["partition"], o["offset"]]]
    oracle = Oracle(world.topic, world.sent if sent is None else sent,
                    Ledger(world.connection, world.group_name, world.topic), published, count,
                    world.totals, world.group.high(), world.group.committed())
    findings = [f for f in oracle.judge(**how) if not (but and but(f))]
    assert not findings, "the oracle found %d faults, the first:\n%s" % (
        len(findings), "\n".join(findings[:12]))
    world.ctl.ok("verify", "--kafka")
    return oracle


def fewer_than_offsets(finding):
    """An offset without a record: judge_input() counts on there being none."""
    return "produced, but Kafka's end is" in finding


def stop(world):
    code = world.daemon.terminate()
    assert code == 0, "SIGTERM: exit %d" % code


# ---- Kafka's own tools, for what the Python client cannot do

def tool(broker, main, *arguments, seconds=60):
    done = subprocess.run(broker.java("org.apache.kafka.tools." + main, "--bootstrap-server",
                                      broker.bootstrap, *arguments, heap="128m"),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False,
                          env=environment())
    return done.returncode, done.stdout


def delete_records(world, before):
    """As retention would. before: partition -> offset of the first record that stays."""
    path = os.path.join(world.directory, "delete.json")
    with open(path, "w", encoding="ascii") as out:
        json.dump({"version": 1, "partitions": [
            {"topic": world.topic, "partition": p, "offset": offset}
            for p, offset in before.items()]}, out)
    code, text = tool(world.broker, "DeleteRecordsCommand", "--offset-json-file", path)
    assert code == 0, text
    for p, offset in before.items():
        low = world.group.consumer.get_watermark_offsets(world.group.all()[p], timeout=10)[0]
        assert low == offset, "partition %d begins at %d\n%s" % (p, low, text)


def delete_group(world):
    """Its offsets are gone, as when they had expired; Kafka does it when it has no member."""
    def deleted():
        code, text = tool(world.broker, "consumer.group.ConsumerGroupCommand", "--delete",
                          "--group", world.group_name)
        return code == 0 and "successful" in text
    wait_until(deleted, 60, "the group is deleted")
    assert world.group.committed() == [-1] * world.group.partitions
