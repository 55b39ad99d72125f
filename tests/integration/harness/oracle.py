# SPDX-License-Identifier: Apache-2.0
"""Judges what the daemon did: against what was produced, in the database and on the outcome topic.

It knows the contracts (README) and nothing of the daemon. Every finding is one line; none is good.
Where records of one order race in several partitions, either may have been first: the row that
stands decides what is right for the others.
"""

import json
from collections import defaultdict, namedtuple

from .events import EVENT_BYTES

Payment = namedtuple("Payment", "order_id payment_key amount ticket_type_id member_id quantity "
                                "status partition offset decided_at")
Letter = namedtuple("Letter", "partition offset timestamp reason detail order_id key value "
                              "value_bytes has_headers state parked_at")
Progress = namedtuple("Progress", "partition next_offset published_offset state owned "
                                  "last_record_ms")

DECIDED_AT, PARKED_AT = (
    "to_char(%s AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')" % column
    for column in ("decided_at", "parked_at"))
OUTCOME_KEYS = {"orderId", "paymentKey", "ticketTypeId", "memberId", "quantity", "amount", "status",
                "remaining", "duplicate", "decidedAt", "topic", "partition", "offset"}


def murmur2(data):
    """Kafka's, as its Java clients place keys."""
    mask = 0xffffffff
    h = 0x9747b28c ^ len(data)
    whole = len(data) // 4 * 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i:i + 4], "little") * 0x5bd1e995 & mask
        k ^= k >> 24
        h = h * 0x5bd1e995 & mask ^ k * 0x5bd1e995 & mask
    if len(data) > whole:
        h ^= int.from_bytes(data[whole:], "little")
        h = h * 0x5bd1e995 & mask
    h ^= h >> 13
    h = h * 0x5bd1e995 & mask
    return h ^ h >> 15


class Ledger:
    """What the database says, read in one snapshot."""

    def __init__(self, connection, group, topic):
        with connection.cursor() as q:
            q.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            q.execute("SELECT order_id, payment_key, amount, ticket_type_id, member_id, quantity, "
                      "status, kafka_partition, kafka_offset, " + DECIDED_AT + " FROM payment")
            self.payments = {row[0]: Payment(*row) for row in q.fetchall()}
            q.execute("SELECT id, total, remaining FROM ticket_type")
            self.stock = {row[0]: row[1:] for row in q.fetchall()}
            q.execute("SELECT kafka_partition, kafka_offset, record_timestamp, reason, detail, "
                      "order_id, record_key, value, value_bytes, headers IS NOT NULL, state, "
                      + PARKED_AT + " FROM dead_letter WHERE topic = %s", (topic,))
            rows = [row[:6] + tuple(v if v is None else bytes(v) for v in row[6:8]) + row[8:]
                    for row in q.fetchall()]
            self.letters = {row[:2]: Letter(*row) for row in rows}
            q.execute("SELECT kafka_partition, next_offset, published_offset, state, "
                      "owner IS NOT NULL, (extract(epoch FROM last_record_at) * 1000)::bigint "
                      "FROM consumer_progress WHERE consumer_group = %s AND topic = %s",
                      (group, topic))
            self.progress = {row[0]: Progress(*row) for row in q.fetchall()}
            q.execute("COMMIT")


class Oracle:
    """
    sent:       every Record produced, with partition and offset
    ledger:     Ledger
    published:  list of outcomes.Published, in order within each partition
    totals:     ticket type -> total, as the stock was made
    high:       per partition of the topic: next offset to be written
    committed:  per partition: the group's committed offset
    """

    def __init__(self, topic, sent, ledger, published, outcome_partitions, totals, high, committed):
        self.topic, self.sent, self.ledger = topic, sent, ledger
        self.published, self.outcome_partitions = published, outcome_partitions
        self.totals, self.high, self.committed = totals, high, committed
        self.findings = []
        self.orders = defaultdict(list)
        for record in sent:
            if record.content:
                self.orders[record.order_id].append(record)

    def found(self, text, *arguments):
        self.findings.append(text % arguments)

    def judge(self, once=False, running=None):
        """
        once:     nothing was ever repeated (no crash, no replay): exactly one outcome each, and
                  every fresh one says what remained
        running:  True: partitions are owned; False: released; None: not judged
        """
        self.once = once
        self.judge_input()
        self.judge_payments()
        self.judge_letters()
        self.judge_progress(running)
        self.judge_outcomes()
        self.judge_stock()
        return self.findings

    def judge_input(self):
        """Is our own list of what was produced whole? Else nothing below means anything."""
        count = defaultdict(int)
        seen = set()
        for record in self.sent:
            count[record.partition] += 1
            seen.add((record.partition, record.offset))
        if len(seen) != len(self.sent):
            self.found("two produced records have one offset")
        for partition, high in enumerate(self.high):
            if count[partition] != high:
                self.found("partition %d: %d produced, but Kafka's end is %d", partition,
                           count[partition], high)

    # ---- payments

    def judge_payments(self):
        payments = self.ledger.payments
        for order_id in self.orders.keys() - payments.keys():
            self.found("order %s: produced, but has no payment", order_id)
        for order_id in payments.keys() - self.orders.keys():
            self.found("order %s: a payment that nobody produced", order_id)
        for order_id, row in payments.items():
            if order_id in self.orders:
                self.judge_payment(row, self.orders[order_id])

    def judge_payment(self, row, records):
        mine = [r for r in records if r.partition == row.partition]
        first = min(mine, key=lambda r: r.offset, default=None)
        if first is None or first.offset != row.offset:
            self.found("order %s: the payment is of %d/%d, but the partition's first is %s",
                       row.order_id, row.partition, row.offset, first and first.offset)
        elif first.content != row[:6]:
            self.found("order %s: the payment is %s, the record was %s", row.order_id, row[:6],
                       first.content)
        known = row.ticket_type_id in self.totals
        if known != (row.status in ("CONFIRMED", "SOLD_OUT")) or \
                not known and row.status != "UNKNOWN_TICKET_TYPE":
            self.found("order %s: status %s, type %d", row.order_id, row.status,
                       row.ticket_type_id)

    def same(self, record):
        """Is the record's content that of its order's row?"""
        row = self.ledger.payments.get(record.order_id)
        return row is not None and record.content == row[:6]

    # ---- dead letters

    def judge_letters(self):
        wanted = {}
        for record in self.sent:
            if record.reason:
                wanted[record.partition, record.offset] = record
            elif not self.same(record):
                wanted[record.partition, record.offset] = record
        letters = self.ledger.letters
        for where in wanted.keys() - letters.keys():
            self.found("record %d/%d: no dead letter, expected %s", *where,
                       wanted[where].reason or "ORDER_CONFLICT")
        for where in letters.keys() - wanted.keys():
            self.found("record %d/%d: a dead letter %s of a good record", *where,
                       letters[where].reason)
        for where in wanted.keys() & letters.keys():
            self.judge_letter(letters[where], wanted[where])

    def judge_letter(self, letter, record):
        value = record.value or b""
        order_id = record.order_id or (record.readable and record.readable[0])
        wanted = {
            "reason": record.reason or "ORDER_CONFLICT",
            "timestamp": record.timestamp,
            "key": record.key,
            "value": value[:EVENT_BYTES],
            "value_bytes": len(value),
            "has_headers": bool(record.headers),
            "state": "parked",
        }
        if letter.reason in ("BAD_FIELD", "ORDER_CONFLICT", "EMPTY_VALUE"):
            wanted["order_id"] = order_id
        for name, due in wanted.items():
            if getattr(letter, name) != due:
                self.found("letter %d/%d: %s is %.80r, expected %.80r", letter.partition,
                           letter.offset, name, getattr(letter, name), due)
        if not letter.detail.startswith(record.detail):
            self.found("letter %d/%d: detail %r does not begin with %r", letter.partition,
                       letter.offset, letter.detail, record.detail)

    # ---- progress

    def judge_progress(self, running):
        progress = self.ledger.progress
        if sorted(progress) != list(range(len(self.high))):
            self.found("progress rows of partitions %s, expected %d", sorted(progress),
                       len(self.high))
        last = {}
        for record in self.sent:
            if record.offset >= last.get(record.partition, record).offset:
                last[record.partition] = record
        for partition, row in progress.items():
            high = self.high[partition]
            if row.next_offset != high or row.published_offset != high:
                self.found("partition %d: next_offset %d, published_offset %d, Kafka's end %d",
                           partition, row.next_offset, row.published_offset, high)
            if self.committed[partition] != high and not (high == 0 and
                                                          self.committed[partition] == -1):
                self.found("partition %d: committed offset %d, published %d", partition,
                           self.committed[partition], row.published_offset)
            if row.state != "running":
                self.found("partition %d: state %s", partition, row.state)
            if running is not None and row.owned != running:
                self.found("partition %d: %s", partition,
                           "owned" if row.owned else "has no owner")
            if partition in last and row.last_record_ms != last[partition].timestamp:
                self.found("partition %d: last_record_at %s, the record's time %s", partition,
                           row.last_record_ms, last[partition].timestamp)

    # ---- outcomes

    def expected(self, record):
        """The outcome due for a record as (fields, may have remaining); (None, False): none."""
        where = {"topic": self.topic, "partition": record.partition, "offset": record.offset}
        if record.reason:
            letter = self.ledger.letters.get((record.partition, record.offset))
            if not record.readable or letter is None:
                return None, False
            return {**named(record.readable), **where, "status": "REFUSED", "duplicate": False,
                    "decidedAt": letter.parked_at, "reason": "BAD_FIELD"}, False
        row = self.ledger.payments.get(record.order_id)
        if row is None:
            return None, False
        due = {**named(record.content), **where, "decidedAt": row.decided_at}
        if record.content != row[:6]:
            return {**due, "status": "ORDER_CONFLICT", "duplicate": False,
                    "firstPaymentKey": row.payment_key}, False
        own = (record.partition, record.offset) == (row.partition, row.offset)
        return {**due, "status": row.status, "duplicate": not own}, \
            own and row.status != "UNKNOWN_TICKET_TYPE"

    def judge_outcomes(self):
        records = {(r.partition, r.offset): r for r in self.sent}
        times = defaultdict(int)
        self.fresh = []  # (record, remaining) of fresh decisions, once each
        last = {}
        for p in self.published:
            try:
                outcome = json.loads(p.value)
                where = outcome["partition"], outcome["offset"]
                record = records[where]
            except (ValueError, KeyError, TypeError):
                self.found("outcome %d/%d: of no record: %.200r", p.partition, p.offset, p.value)
                continue
            if outcome["status"] not in ("ORDER_CONFLICT", "REFUSED"):
                last[outcome["orderId"]] = outcome
            times[where] += 1
            self.judge_outcome(p, outcome, record)
        self.judge_last(last)
        for where, record in records.items():
            due = self.expected(record)[0] is not None
            if (times[where] < 1) if due and not self.once else (times[where] != int(due)):
                self.found("record %d/%d: %d outcomes, due: %s", *where, times[where], due)

    def judge_outcome(self, p, outcome, record):
        due, may_remain = self.expected(record)
        if due is None:
            self.found("outcome %d/%d: nothing was due: %.200r", p.partition, p.offset, p.value)
            return
        remaining = outcome.pop("remaining", "missing")
        if set(outcome) | {"remaining"} != OUTCOME_KEYS | set(due):
            self.found("outcome %d/%d: its keys are %s", p.partition, p.offset, sorted(outcome))
        for name, value in due.items():
            if outcome.get(name) != value or type(outcome.get(name)) is not type(value):
                self.found("outcome %d/%d of record %d/%d: %s is %r, expected %r", p.partition,
                           p.offset, record.partition, record.offset, name, outcome.get(name),
                           value)
        if remaining is not None:
            if type(remaining) is not int or not may_remain:
                self.found("outcome %d/%d: remaining is %r", p.partition, p.offset, remaining)
            else:
                self.fresh.append((record, outcome["status"], remaining))
        elif self.once and may_remain:
            self.found("outcome %d/%d: a fresh decision without remaining", p.partition, p.offset)
        key = due["orderId"].encode()
        place = (murmur2(key) & 0x7fffffff) % self.outcome_partitions
        if p.key != key or p.partition != place:
            self.found("outcome %d/%d: key %r, expected %r in partition %d", p.partition, p.offset,
                       p.key, key, place)

    def judge_last(self, last):
        """An order's last outcome is its payment row."""
        for order_id, row in self.ledger.payments.items():
            outcome = last.get(order_id)
            if outcome is None:
                self.found("order %s: no outcome says what became of it", order_id)
                continue
            told = tuple(outcome.get(n) for n in (
                "orderId", "paymentKey", "amount", "ticketTypeId", "memberId", "quantity",
                "status", "decidedAt"))
            if told != row[:7] + (row.decided_at,):
                self.found("order %s: last outcome %s, row %s", order_id, told, row)

    # ---- stock

    def judge_stock(self):
        taken, refused = defaultdict(int), defaultdict(list)
        for row in self.ledger.payments.values():
            if row.status == "CONFIRMED":
                taken[row.ticket_type_id] += row.quantity
            elif row.status == "SOLD_OUT":
                refused[row.ticket_type_id].append(row.quantity)
        if {i: s[0] for i, s in self.ledger.stock.items()} != self.totals:
            self.found("ticket types are %s", self.ledger.stock)
        for kind, (total, remaining) in self.ledger.stock.items():
            if remaining != total - taken[kind] or remaining < 0:
                self.found("type %d: remaining %d, but total %d - confirmed %d", kind, remaining,
                           total, taken[kind])
            # Stock only falls, so whoever was refused would be refused now as well.
            if refused[kind] and min(refused[kind]) <= remaining:
                self.found("type %d: %d remain, but an order of %d was refused", kind, remaining,
                           min(refused[kind]))
            self.judge_history(kind, total, remaining)

    def judge_history(self, kind, total, remaining):
        """
        A confirmed order's outcome says that the stock went from remaining + quantity to
        remaining. Of one type these steps cannot overlap; with every outcome heard, they are the
        whole way from the total to what is left. A refusal stands between two of them, at a stock
        below its quantity; within a partition the stock never rises.
        """
        steps, refusals = set(), set()
        place = {}
        for record, status, left in self.fresh:
            if record.content[3] != kind:
                continue
            place[record.partition, record.offset] = left
            if status == "CONFIRMED":
                steps.add((left, left + record.content[5], record.partition, record.offset))
            else:
                refusals.add(left)
                if left >= record.content[5]:
                    self.found("record %d/%d: refused %d of type %d while %d were left",
                               record.partition, record.offset, record.content[5], kind, left)
        below = remaining
        for low, high, partition, offset in sorted(steps):
            if low < below or (self.once and low != below):
                self.found("type %d: record %d/%d took the stock from %d to %d, another took it "
                           "to %d before", kind, partition, offset, high, low, below)
            below = high
        if below > total or (self.once and below != total):
            self.found("type %d: the steps of the stock end at %d, total %d", kind, below, total)
        self.judge_order(kind, place)
        for left in refusals:
            if any(low < left < high for low, high, _, _ in steps if high - low > 1):
                self.found("type %d: a refusal saw a stock of %d that never was", kind, left)

    def judge_order(self, kind, place):
        stock = {}
        for partition, offset in sorted(place):
            left = place[partition, offset]
            if left > stock.get(partition, left):
                self.found("type %d: the stock rose to %d at record %d/%d", kind, left, partition,
                           offset)
            stock[partition] = left


def named(content):
    return dict(zip(("orderId", "paymentKey", "amount", "ticketTypeId", "memberId", "quantity"),
                    content))
