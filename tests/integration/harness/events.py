# SPDX-License-Identifier: Apache-2.0
"""What the tests produce, from a seed, each record with what must become of it.

Malformed() has a record for each rule of the event contract; good ones with strange but valid
shapes (rows 9 and 10) are among the good. The README's contract is all this knows.
"""

import json
import random
import time

from confluent_kafka import Producer

FIELDS = ("orderId", "paymentKey", "amount", "ticketTypeId", "memberId", "quantity")
EVENT_BYTES = 65536  # limits.event_bytes, the default
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_=.-"
UNKNOWN_TYPE = 4040404


class Record:
    """One record to be produced, or produced: then with its partition, offset and timestamp."""

    __slots__ = ("topic", "partition", "offset", "timestamp", "key", "value", "headers",
                 "content", "reason", "detail", "readable")

    def __init__(self, value, content=None, reason=None, detail="", readable=None):
        self.value = value
        self.content = content    # good: the six fields, in the order of FIELDS
        self.reason = reason      # refused: dead_letter.reason, and what its detail begins with
        self.detail = detail
        self.readable = readable  # BAD_FIELD with a valid order id: the fields of its outcome
        self.partition = self.offset = self.timestamp = self.key = self.headers = None
        self.topic = None

    @property
    def order_id(self):
        return self.content[0] if self.content else None


def encode(content, rng=None, extra=()):
    """JSON of an event; with rng in any of the shapes that mean the same."""
    fields = [(n, v) for n, v in zip(FIELDS, content)]
    if content[5] == 1 and (rng is None or rng.random() < 0.7):
        fields.pop()
    fields += extra
    if rng is None or rng.random() < 0.5:
        return json.dumps(dict(fields), separators=(",", ":")).encode()
    rng.shuffle(fields)
    return json.dumps(dict(fields), indent=rng.choice((None, 1)),
                      ensure_ascii=rng.random() < 0.5).encode()


class Malformed:
    """kinds: functions that make one record each; every one is used before any comes again."""

    def __init__(self, rng):
        self.rng = rng
        self.kinds = [*self.json_kinds(), *self.field_kinds()]

    def base(self, order_id):
        return dict(zip(FIELDS, (order_id, "pay_%d" % self.rng.randrange(10**9), 10000, 1,
                                 self.rng.randrange(1, 10**6), 2)))

    @staticmethod
    def json_kinds():
        def raw(reason, make):
            return lambda self, o: Record(make(json.dumps(self.base(o)).encode()), reason=reason)

        def with_text(reason, text):
            return raw(reason, lambda good: good[:-1] + b", " + text + b"}")

        nest = lambda levels: b'"x": ' + b"[" * levels + b"]" * levels
        return [
            raw("EMPTY_VALUE", lambda good: None),
            raw("EMPTY_VALUE", lambda good: b""),
            raw("BAD_JSON", lambda good: good[:-1]),
            raw("BAD_JSON", lambda good: good[:len(good) // 2]),
            raw("BAD_JSON", lambda good: good + b" x"),
            raw("BAD_JSON", lambda good: good + good),
            raw("BAD_JSON", lambda good: b"[" + good + b"]"),
            raw("BAD_JSON", lambda good: b"null"),
            raw("BAD_JSON", lambda good: b'"' + b"A" * 100 + b'"'),
            raw("BAD_JSON", lambda good: b" \n "),
            raw("BAD_JSON", lambda good: b"not json at all"),
            raw("BAD_JSON", lambda good: b"\xef\xbb\xbf" + good),
            raw("BAD_JSON", lambda good: good.replace(b'"', b"'")),
            raw("BAD_JSON", lambda good: good[:-1] + b",}"),
            with_text("BAD_JSON", nest(16)),
            raw("BAD_JSON", lambda good: b"[" * 20000),
            with_text("BAD_JSON", b'"x": "\xff\xfe"'),
            with_text("BAD_JSON", b'"x": "\xc0\x80"'),
            with_text("BAD_JSON", b'"x": "a\x00b"'),
            with_text("BAD_JSON", b'"x": "a\\u0000b"'),
            raw("BAD_JSON", lambda good: good + b"\x00"),
            with_text("BAD_JSON", b'"x": "\\ud800"'),
            with_text("BAD_JSON", b'"x": 99999999999999999999'),
            with_text("BAD_JSON", b'"x": 1e400'),
            with_text("BAD_JSON", b'"x": NaN'),
            with_text("BAD_JSON", b'"x": 007'),
            with_text("DUPLICATE_KEY", b'"amount": 10000'),
            with_text("DUPLICATE_KEY", b'"orderId": "another"'),
            with_text("DUPLICATE_KEY", b'"x": {"a": 1, "a": 2}'),
            raw("TOO_LARGE", lambda good: good + b" " * (EVENT_BYTES + 1 - len(good))),
        ]

    @staticmethod
    def field_kinds():
        def field(name, text):
            """One field replaced by JSON text; None removes it."""
            def make(self, order_id):
                event = self.base(order_id)
                del event[name]
                value = json.dumps(event).encode()
                if text is not None:
                    value = value[:-1] + b', "%s": %s}' % (name.encode(), text.encode())
                readable = None
                if name != "orderId":
                    readable = tuple(event.get(n) for n in FIELDS)
                return Record(value, reason="BAD_FIELD", detail=name, readable=readable)
            return make

        def two_fields(self, order_id):
            event = self.base(order_id)
            event["quantity"], event["amount"] = 0, None
            readable = tuple(None if n in ("quantity", "amount") else event[n] for n in FIELDS)
            return Record(json.dumps(event).encode(), reason="BAD_FIELD", detail="amount",
                          readable=readable)

        kinds = [field(name, None) for name in FIELDS[:5]]
        kinds += [field(name, text) for name in FIELDS for text in ("null", "true", "{}", "[1]")]
        kinds += [field("orderId", text) for text in (
            '""', '"%s"' % ("a" * 65), '"with space"', '"with/slash"', '"\\u00e9"', "12345",
            '"new\\nline"')]
        kinds += [field("paymentKey", text) for text in (
            '""', '"%s"' % ("k" * 201), '"\\u00e9"', '"tab\\t"', "17")]
        kinds += [field(name, text) for name in FIELDS[2:] for text in (
            '"1"', "1e3", "10000.0", "-5", "1.5")]
        kinds += [field(name, text) for name in FIELDS[3:] for text in ("0", "-0")]
        kinds += [field("amount", "1000000000000001"), field("quantity", "1001"),
                  field("quantity", "4294967297"), two_fields]
        return kinds

    def make(self, number, order_id):
        return self.kinds[number % len(self.kinds)](self, order_id)


class Factory:
    """Makes records from a seed, on and on; `types` are the ticket types' ids."""

    def __init__(self, seed, partitions=3, types=(1, 2, 9007199254740993), unknown=0.003,
                 duplicates=0.10, malformed=0.02, conflicts=0.003, prefix="o"):
        self.rng = random.Random(seed)
        self.partitions, self.types = partitions, types
        self.unknown, self.conflicts = unknown, conflicts
        self.duplicates, self.malformed = duplicates, malformed
        self.prefix = prefix
        self.good = []
        self.made = self.bad = 0
        self.breaker = Malformed(self.rng)

    def content(self):
        rng = self.rng
        self.made += 1
        order_id = "%s-%s%d" % (self.prefix, rng.choice(ALPHABET), self.made)
        if rng.random() < 0.05:
            order_id = (order_id + "".join(rng.choices(ALPHABET, k=64)))[:64]
        # Production's test producers send a constant payment key; the rest is anything printable.
        key = "constant" if rng.random() < 0.1 else 'p"\\/<&%d>' % rng.randrange(10**12)
        kind = UNKNOWN_TYPE if rng.random() < self.unknown else rng.choice(self.types)
        amount = rng.choice((0, 10**15, 10**15 - 1, rng.randrange(10**6)))
        member = 2**63 - 1 if rng.random() < 0.01 else rng.randrange(1, 10**9)
        return order_id, key, amount, kind, member, rng.choice((1, 1, 2, 3, 4))

    def fresh(self):
        content = self.content()
        extra = ()
        if self.rng.random() < 0.05:
            # Unknown fields are ignored, nested up to 16 levels with the event itself.
            extra = [("x", json.loads("[" * 15 + "]" * 15)), ("\u00e9", {"deep": [1.5, None, -0.0]})]
        record = Record(encode(content, self.rng, extra), content)
        record.partition = self.rng.randrange(self.partitions)
        self.good.append(record)
        return record

    def earlier(self):
        # Half of the repetitions come right after the first, so that they race in other partitions.
        pool = self.good[-40:] if self.rng.random() < 0.5 else self.good
        return self.rng.choice(pool)

    def again(self):
        first = self.earlier()
        record = Record(encode(first.content, self.rng), first.content)
        same = self.rng.random() < 0.5
        record.partition = first.partition if same else self.rng.randrange(self.partitions)
        return record

    def conflicting(self):
        content = list(self.earlier().content)
        at = self.rng.randrange(1, 6)
        content[at] = {1: "other key", 2: 4711, 3: self.types[0] + 5, 4: 4712, 5: 9}[at]
        record = Record(encode(content, self.rng), tuple(content))
        record.partition = self.rng.randrange(self.partitions)
        return record

    def refused(self):
        # Some carry the id of an order that was paid properly.
        if self.good and self.rng.random() < 0.2:
            order_id = self.earlier().order_id
        else:
            order_id = "%s-bad%d" % (self.prefix, self.bad)
        record = self.breaker.make(self.bad, order_id)
        record.partition = self.rng.randrange(self.partitions)
        self.bad += 1
        return record

    def next(self):
        rng = self.rng
        draw = rng.random()
        if draw < self.malformed:
            record = self.refused()
        elif not self.good or draw >= self.malformed + self.conflicts + self.duplicates:
            record = self.fresh()
        elif draw < self.malformed + self.conflicts:
            record = self.conflicting()
        else:
            record = self.again()
        record.key = rng.choice((None, b"key", (record.order_id or "x").encode(), b"\x00\xff", b""))
        if rng.random() < 0.05:
            record.headers = [("trace", b"\x00\x01"), ("empty", None)]
        return record

    def make(self, count):
        return [self.next() for _ in range(count)]


class Injector:
    """Produces records into exact partitions, in order, each once."""

    def __init__(self, bootstrap, topic, **settings):
        self.topic = topic
        self.producer = Producer({
            "bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 2,
            "queue.buffering.max.messages": 1000000, "message.timeout.ms": 300000,
            "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "log_level": 0,
            "allow.auto.create.topics": False, "socket.nagle.disable": True,
            **settings})
        self.error = None

    def send(self, records, flush=True):
        now = int(time.time() * 1000)
        for i, record in enumerate(records):
            record.topic = self.topic
            record.timestamp = now + i // 100

            def delivered(error, message, record=record):
                if error:
                    self.error = error
                else:
                    record.offset = message.offset()
            self.producer.produce(
                self.topic, record.value, record.key, record.partition, on_delivery=delivered,
                timestamp=record.timestamp, headers=record.headers or [])
            if i % 1000 == 0:
                self.producer.poll(0)
        if flush:
            self.flush()
        return records

    def flush(self, seconds=60):
        left = self.producer.flush(seconds)
        assert not left and not self.error, "not produced: %d, %s" % (left, self.error)
