#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""ticketpayctl status, progress and resume."""

import os
import subprocess

from harness.process import free_port
from harness.shop import Shop, consumed
from harness.tap import case, main

PARTITION_KEYS = ["topic", "partition", "low", "high", "committed", "next_offset",
                  "published_offset", "lag", "lag_seconds", "owner", "state", "reason"]


@case
def status_shows_every_partition_letters_and_stock(t):
    shop = consumed(t)
    shop.ctl.ok("stock", "create", 5, "--total", 7, "--name", "Tor \u2460")
    owner = "01234567-89ab-cdef-0123-456789abcdef"
    shop.sql("UPDATE consumer_progress SET owner = %s WHERE kafka_partition = 1", owner)
    shop.sql("INSERT INTO dead_letter (topic, kafka_partition, kafka_offset, record_timestamp, "
             "reason, detail, value, value_bytes, state, parked_at) VALUES "
             "(%s, 0, 3, 1, 'BAD_JSON', '', '{', 1, 'parked', now())", shop.topic)
    found = shop.ctl.json("status")
    assert set(found) == {"partitions", "dead_letters", "stock"}
    assert found["dead_letters"] == {"parked": 1}
    assert found["stock"] == [{"id": 5, "name": "Tor \u2460", "total": 7, "remaining": 7}]
    assert [set(p) for p in found["partitions"]] == [set(PARTITION_KEYS)] * 3
    first, second, third = found["partitions"]
    assert {k: first[k] for k in PARTITION_KEYS} == {
        "topic": shop.topic, "partition": 0, "low": 0, "high": 10, "committed": 0,
        "next_offset": 10, "published_offset": 10, "lag": 0, "lag_seconds": 0, "owner": None,
        "state": "running", "reason": None}
    assert (second["lag"], second["owner"]) == (2, owner)
    assert third["lag"] == 10 and 55 < third["lag_seconds"] < 240, third
    lines = shop.ctl.ok("status").out.splitlines()
    assert lines[0].split()[:3] == ["topic", "partition", "low"]
    assert owner in lines[2] and "Tor" in lines[-1], lines


@case
def a_partition_without_a_row_beside_a_committed_offset_is_stopped(t):
    shop = Shop(t, kafka=True)
    found = shop.ctl.json("status")["partitions"]
    assert [(p["state"], p["next_offset"], p["lag"]) for p in found] == [(None, None, None)] * 3
    shop.produce([3, 3, 3])
    shop.group.reset(2)
    for p in shop.ctl.json("status")["partitions"]:
        assert p["state"] == "stopped" and p["committed"] == 2, p
        assert "progress adopt" in p["reason"] and "seek" in p["reason"], p


@case
def adopt_takes_kafkas_offsets_over(t):
    shop = Shop(t, kafka=True)
    shop.produce([5, 5, 5])
    shop.refused("progress", "adopt", says="no committed offset")
    shop.group.reset(3)
    shop.rows((1, 5, 4))
    shop.sql("UPDATE consumer_progress SET owner = gen_random_uuid(), state = 'stopped', "
             "stopped_reason = 'why', last_record_at = now()")
    out = shop.ctl.ok("progress", "adopt").out
    assert "5 -> 3" in out and "replays the records 3 to 4" in out, out
    assert shop.progress() == [(p, 3, 3, "running", True, None) for p in range(3)]
    assert shop.sql("SELECT DISTINCT last_record_at, stopped_reason FROM consumer_progress") == [
        (None, None)]
    assert shop.broken() == {}


@case
def seek_goes_anywhere_in_the_log_and_nowhere_else(t):
    shop = consumed(t)
    for target, offset in (("earliest", 0), ("latest", 10), (4, 4), ("committed", 0), (10, 10)):
        shop.ctl.ok("progress", "seek", "--partition", 1, "--to", target, "--yes")
        assert shop.progress()[1] == (1, offset, offset, "running", True, None)
    assert shop.progress()[0][:3] == (0, 10, 10)
    out = shop.ctl.ok("progress", "seek", "--partition", 2, "--to", "latest").out
    assert "skips the records 0 to 9" in out, out
    before = shop.progress()
    shop.refused("progress", "seek", "--partition", 1, "--to", 11, says="0 to 10")
    shop.refused("progress", "seek", "--partition", 3, "--to", "earliest", says="no partition 3")
    assert shop.progress() == before
    shop.refused("progress", "seek", "--partition", 1, "--to", "earliest", "--set",
                 "kafka.brokers=127.0.0.1:%d" % free_port(), code=2)


@case
def seek_asks_on_a_terminal(t):
    shop = consumed(t)
    command = [*shop.ctl.base, "progress", "seek", "--partition", "0", "--to", "earliest"]
    for answer, code, following in (("n", 1, 10), ("y", 0, 0)):
        inner, outer = os.openpty()
        child = subprocess.Popen(command, stdin=outer, stdout=outer, stderr=subprocess.DEVNULL)
        os.close(outer)
        text = b""
        while b"[y/N]" not in text:
            text += os.read(inner, 4096)
        assert shop.progress()[0][1] == 10, "moved before the answer"
        os.write(inner, (answer + "\n").encode())
        assert child.wait(30) == code
        os.close(inner)
        assert shop.progress()[0][1] == following


@case
def resume_lets_stopped_partitions_go_on(t):
    shop = Shop(t)
    shop.refused("resume", says="no progress row")
    shop.rows((0, 1, 1), (1, 1, 1))
    shop.sql("UPDATE consumer_progress SET state = 'stopped', stopped_reason = 'breaker', "
             "unclean_claims = 21")
    shop.refused("resume", "--partition", 7, says="partition 7")
    out = shop.ctl.ok("resume", "--partition", 1).out
    assert "breaker" in out, out
    rows = "SELECT state, stopped_reason, unclean_claims FROM consumer_progress ORDER BY "
    assert shop.sql(rows + "kafka_partition") == [("stopped", "breaker", 21),
                                                  ("running", None, 0)]
    shop.ctl.ok("resume")
    assert shop.sql(rows + "kafka_partition") == [("running", None, 0)] * 2
    assert "running" in shop.ctl.ok("progress", "show").out


main(__file__)
