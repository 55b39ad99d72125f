#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The log: few lines in a storm, exact totals, fields by which a batch can be followed."""

import re

from harness.holds import bad, order, orders, stop
from harness.tap import case, main

STORM = 100000
LINES_MAX = 200  # systemd drops what exceeds 10000 in 30 s
LINE = re.compile(r"(\S+Z) (error|warning|notice|info|debug): (.*?)(?:  (\w+=.*))?$")
FIELD = re.compile(r'(\w+)=("[^"]*"|\S*)')
TOTALS = re.compile(r"worker-\d+ has ended; since its start: (\d+) records decided: (\d+) payments, "
                    r"(\d+) duplicates, (\d+) conflicts, (\d+) refused$")


class Line:
    def __init__(self, text):
        found = LINE.match(text)
        assert found, "not a line of the log: %r" % text
        self.level, self.text = found.group(2, 3)
        self.fields = {k: v.strip('"') for k, v in FIELD.findall(found.group(4) or "")}

    def __str__(self):
        return "%s: %s %s" % (self.level, self.text, self.fields)


def lines(world):
    return [Line(text) for text in world.daemon.log().splitlines()]


def totals(found):
    """decided, payments, duplicates, conflicts, refused: of all workers, as they say at their end."""
    said = [TOTALS.match(line.text) for line in found]
    said = [list(map(int, s.groups())) for s in said if s]
    assert len(said) == 3, "3 workers end, %d say totals" % len(said)
    return [sum(column) for column in zip(*said)]


@case
def a_storm_of_100000_refused_records_is_few_lines_with_exact_totals(t):
    # Small batches: as many transactions, and chances to say something, as there can be.
    world = t.world(limits__breaker=0, batch__max_events=100)
    world.daemon.start()
    world.send([order("taken", 0)])
    world.wait_done()
    world.send([bad(i % 3) for i in range(STORM)] + orders("good", 700, 1) + orders("good", 20, 1)
               + [order("taken", 2, amount=1000 + i) for i in range(30)])
    world.wait_done()
    letters = world.sql("SELECT count(*) FROM dead_letter")[0][0]
    stop(world)
    found = lines(world)
    t.figure("log lines of a storm of %d refused records: %d (mark: at most %d)", STORM,
             len(found), LINES_MAX)
    assert letters == STORM + 30, letters
    assert totals(found) == [1 + STORM + 720 + 30, 701, 20, 30, STORM], totals(found)
    assert len(found) <= LINES_MAX, "%d lines" % len(found)
    shown = [line for line in found if "became dead letters" in line.text]
    assert shown and all(line.level == "warning" for line in shown)
    assert {line.fields["reason"] for line in shown} <= {"BAD_JSON", "ORDER_CONFLICT"}


@case
def each_batch_is_one_line_and_is_followed_by_its_id(t):
    world = t.world(log__level="debug", batch__max_events=50, limits__breaker=0)
    world.daemon.start()
    for i in range(3):
        world.send([r for p in range(3) for r in orders("o%d" % i, 200, p) + [bad(p)]])
        world.wait_done()
    stop(world)
    world.daemon.start()
    world.send([r for p in range(3) for r in orders("again", 60, p)])
    world.wait_done()
    stop(world)
    found = lines(world)
    batches = [line for line in found if re.match(r"\d+ records: ", line.text)]
    covered = {}
    for line in batches:
        assert set(line.fields) >= {"topic", "partition", "first_offset", "last_offset", "batch_id",
                                    "duration_us"}, str(line)
        first, last = int(line.fields["first_offset"]), int(line.fields["last_offset"])
        assert line.text.startswith("%d records: " % (last - first + 1)), str(line)
        covered.setdefault(line.fields["partition"], []).extend(range(first, last + 1))
    # One line each, no record without, also after a restart.
    assert covered == {str(p): list(range(663)) for p in range(3)}
    ids = [line.fields["batch_id"] for line in batches]
    assert len(ids) == len(set(ids)), "%d batches have %d ids" % (len(ids), len(set(ids)))
    shown = [line for line in found if "became dead letters" in line.text]
    assert len(shown) >= 3
    for line in shown:
        same = [b for b in batches if b.fields["batch_id"] == line.fields["batch_id"]]
        assert len(same) == 1 and same[0].fields["partition"] == line.fields["partition"], str(line)
        assert line.fields["reason"] == "BAD_JSON", str(line)


@case
def what_is_said_of_a_partition_has_topic_and_partition(t):
    world = t.world()
    world.daemon.start()
    world.send(orders("a", 20, 0) + orders("b", 20, 1) + orders("c", 20, 2) + [bad(1)])
    world.wait_done()
    world.postgres.stop()
    world.daemon.wait_status("waiting for PostgreSQL", 20)
    world.postgres.start()
    world.reconnect()
    world.send(orders("more", 20, 0))
    world.wait_done()
    stop(world)
    found = lines(world)
    for says in ("reading on at offset", "became dead letters", "holding, ", "going on after"):
        some = [line for line in found if says in line.text]
        assert some, "nothing says %r" % says
        for line in some:
            assert line.fields.get("topic") == world.topic, str(line)
            assert line.fields.get("partition") in ("0", "1", "2"), str(line)


main(__file__)
