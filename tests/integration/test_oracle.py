#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The oracle itself: content with a faultless run, and every kind of fault is found. No servers."""

import json
import random
from types import SimpleNamespace

from harness import oracle as o
from harness.events import FIELDS, Factory
from harness.tap import case, cases_of, main

TOPIC, TYPES = "payment-completed", (1, 2, 9007199254740993)


class Model:
    """What a faultless daemon would leave behind, made the naive way."""

    def __init__(self, seed=7, count=2000):
        factory = Factory(seed, types=TYPES)
        self.sent = factory.make(count)
        self.totals = {t: 10**6 for t in TYPES}
        orders = {r.order_id: r.content for r in factory.good if r.content[3] == 2}
        self.totals[2] = sum(c[5] for c in orders.values()) // 2
        self.remaining = dict(self.totals)
        self.payments, self.letters = {}, {}
        self.published = []
        self.high = [0, 0, 0]
        for at, record in enumerate(self.sent):
            record.topic, record.timestamp = TOPIC, 10**12 + at
            record.offset = self.high[record.partition]
            self.high[record.partition] += 1
        queues = [[r for r in self.sent if r.partition == p] for p in range(3)]
        rng = random.Random(seed)
        while any(queues):
            self.decide(rng.choice([q for q in queues if q]).pop(0))
        last = {r.partition: r for r in sorted(self.sent, key=lambda r: r.offset)}
        self.progress = {p: o.Progress(p, h, h, "running", True, last[p].timestamp)
                         for p, h in enumerate(self.high)}
        self.committed = list(self.high)

    def letter(self, record, reason, order_id, now):
        value = record.value or b""
        self.letters[record.partition, record.offset] = o.Letter(
            record.partition, record.offset, record.timestamp, reason, record.detail, order_id,
            record.key, value[:o.EVENT_BYTES], len(value), bool(record.headers), "parked", now)

    def decide(self, record):
        now = "2026-01-01T00:00:00.%06dZ" % len(self.published)
        if record.reason:
            readable = record.readable
            self.letter(record, record.reason, readable and readable[0], now)
            if readable:
                self.publish(record, readable, now, "REFUSED", reason="BAD_FIELD")
            return
        row = self.payments.get(record.order_id)
        if row is None:
            status, left = self.allocate(record.content[3], record.content[5])
            self.payments[record.order_id] = o.Payment(
                *record.content, status, record.partition, record.offset, now)
            self.publish(record, record.content, now, status, left)
        elif row[:6] == record.content:
            self.publish(record, record.content, row.decided_at, row.status, duplicate=True)
        else:
            self.letter(record, "ORDER_CONFLICT", record.order_id, now)
            self.publish(record, record.content, row.decided_at, "ORDER_CONFLICT",
                         firstPaymentKey=row.payment_key)

    def allocate(self, kind, quantity):
        if kind not in self.remaining:
            return "UNKNOWN_TICKET_TYPE", None
        if self.remaining[kind] < quantity:
            return "SOLD_OUT", self.remaining[kind]
        self.remaining[kind] -= quantity
        return "CONFIRMED", self.remaining[kind]

    def publish(self, record, content, at, status, remaining=None, duplicate=False, **more):
        outcome = dict(zip(FIELDS, content), status=status, remaining=remaining,
                       duplicate=duplicate, decidedAt=at, topic=TOPIC,
                       partition=record.partition, offset=record.offset, **more)
        key = content[0].encode()
        self.published.append(SimpleNamespace(
            partition=(o.murmur2(key) & 0x7fffffff) % 3, offset=len(self.published), key=key,
            value=json.dumps(outcome).encode()))

    def judge(self, **how):
        ledger = SimpleNamespace(
            payments=self.payments, letters=self.letters, progress=self.progress,
            stock={t: (total, self.remaining[t]) for t, total in self.totals.items()})
        return o.Oracle(TOPIC, self.sent, ledger, self.published, 3, self.totals, self.high,
                        self.committed).judge(**how)

    # ---- for the faults

    def some(self, status):
        return next(k for k, p in self.payments.items() if p.status == status)

    def change_payment(self, order_id, **fields):
        self.payments[order_id] = self.payments[order_id]._replace(**fields)

    def change_letter(self, of, /, **fields):
        where = next(k for k, v in self.letters.items() if v.reason == of)
        self.letters[where] = self.letters[where]._replace(**fields)

    def change_outcome(self, which, **fields):
        p = next(p for p in self.published if which(json.loads(p.value)))
        p.value = json.dumps({**json.loads(p.value), **fields}).encode()

    def drop_outcome(self, which):
        self.published.remove(next(p for p in self.published if which(json.loads(p.value))))


@case
def a_faultless_run_has_no_finding(_t):
    for seed in range(4):
        findings = Model(seed).judge(once=True, running=True)
        assert not findings, findings[:5]


@case
def murmur2_is_kafkas(_t):
    # From the tests of Kafka's own Utils.murmur2().
    for text, value in ((b"21", -973932308), (b"foobar", -790332482),
                        (b"a-little-bit-long-string", -985981536), (b"abc", 479470107)):
        assert o.murmur2(text) == value & 0xffffffff, text


def status(name, duplicate=False):
    return lambda x: x["status"] == name and x["duplicate"] == duplicate


def remaining_of(kind, place):
    def change(m):
        confirmed = [p for p in m.published if (x := json.loads(p.value))["status"] == "CONFIRMED"
                     and x["ticketTypeId"] == kind and x["remaining"] is not None]
        x = json.loads(confirmed[place].value)
        x["remaining"] += 1
        confirmed[place].value = json.dumps(x).encode()
    return change


FAULTS = {
    "a_lost_payment": lambda m: m.payments.pop(m.some("CONFIRMED")),
    "a_payment_of_nobody": lambda m: m.payments.update(
        ghost=m.payments[m.some("CONFIRMED")]._replace(order_id="ghost")),
    "a_wrong_amount": lambda m: m.change_payment(m.some("CONFIRMED"), amount=77),
    "a_wrong_offset": lambda m: m.change_payment(m.some("CONFIRMED"), offset=999999),
    "a_wrong_quantity": lambda m: m.change_payment(m.some("CONFIRMED"), quantity=77),
    "a_sold_out_that_was_not": lambda m: m.change_payment(m.some("CONFIRMED"), status="SOLD_OUT"),
    "a_confirmed_that_was_not": lambda m: m.change_payment(
        m.some("SOLD_OUT"), status="CONFIRMED"),
    "an_unknown_type_booked": lambda m: m.change_payment(
        m.some("UNKNOWN_TICKET_TYPE"), status="CONFIRMED"),
    "a_ticket_sold_twice": lambda m: m.remaining.update({1: m.remaining[1] + 1}),
    "a_ticket_lost": lambda m: m.remaining.update({1: m.remaining[1] - 1}),
    "a_lost_letter": lambda m: m.letters.pop(next(iter(m.letters))),
    "a_letter_of_a_good_record": lambda m: m.letters.update(
        {(p.partition, p.offset): next(iter(m.letters.values()))
         for p in [m.payments[m.some("CONFIRMED")]]}),
    "a_wrong_reason": lambda m: m.change_letter("BAD_JSON", reason="BAD_FIELD"),
    "a_wrong_detail": lambda m: m.change_letter("BAD_FIELD", detail="nothing"),
    "a_cut_value": lambda m: m.change_letter("BAD_JSON", value=b"x"),
    "a_wrong_length": lambda m: m.change_letter("TOO_LARGE", value_bytes=65536),
    "a_letter_without_its_order": lambda m: m.change_letter("ORDER_CONFLICT", order_id=None),
    "progress_behind": lambda m: m.progress.update({1: m.progress[1]._replace(next_offset=5)}),
    "published_behind": lambda m: m.progress.update(
        {1: m.progress[1]._replace(published_offset=5)}),
    "a_lost_owner": lambda m: m.progress.update({1: m.progress[1]._replace(owned=False)}),
    "a_missing_progress_row": lambda m: m.progress.pop(2),
    "a_wrong_last_time": lambda m: m.progress.update(
        {1: m.progress[1]._replace(last_record_ms=5)}),
    "a_commit_behind": lambda m: m.committed.__setitem__(0, 5),
    "a_lost_outcome": lambda m: m.drop_outcome(status("CONFIRMED")),
    "a_lost_outcome_of_a_duplicate": lambda m: m.drop_outcome(status("CONFIRMED", True)),
    "a_lost_refusal": lambda m: m.drop_outcome(status("REFUSED")),
    "an_outcome_twice": lambda m: m.published.append(m.published[0]),
    "a_contradicting_outcome": lambda m: m.change_outcome(status("CONFIRMED"), status="SOLD_OUT"),
    "a_wrong_duplicate_flag": lambda m: m.change_outcome(status("CONFIRMED"), duplicate=True),
    "a_wrong_first_payment_key": lambda m: m.change_outcome(
        status("ORDER_CONFLICT"), firstPaymentKey="other"),
    "a_wrong_decided_at": lambda m: m.change_outcome(
        status("CONFIRMED"), decidedAt="2026-01-01T00:00:01.000000Z"),
    "an_amount_as_a_float": lambda m: m.change_outcome(status("CONFIRMED"), amount=1.5),
    "a_key_too_many": lambda m: m.change_outcome(status("CONFIRMED"), more=1),
    "a_wrong_partition_of_an_outcome": lambda m: setattr(
        m.published[0], "partition", (m.published[0].partition + 1) % 3),
    "a_remaining_that_never_was": remaining_of(1, 5),
    "a_stock_that_rose": remaining_of(2, 0),
    "a_fresh_decision_without_remaining": lambda m: m.change_outcome(
        status("CONFIRMED"), remaining=None),
    "a_duplicate_with_remaining": lambda m: m.change_outcome(
        status("CONFIRMED", True), remaining=5),
    "an_outcome_that_is_no_json": lambda m: setattr(m.published[3], "value", b"{"),
}


@cases_of([("finds_" + name, (fault,)) for name, fault in FAULTS.items()])
def finds(_t, fault):
    model = Model()
    fault(model)
    findings = model.judge(once=True, running=True)
    assert findings, "the oracle found nothing"


if __name__ == "__main__":
    main(__file__)
