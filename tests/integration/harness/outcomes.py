# SPDX-License-Identifier: Apache-2.0
"""What was published on the outcome topic."""

import time

from confluent_kafka import Consumer, TopicPartition, OFFSET_BEGINNING

from .broker import CLIENT


class Published:
    """One record of the outcome topic."""

    __slots__ = ("partition", "offset", "key", "value")

    def __init__(self, message):
        self.partition, self.offset = message.partition(), message.offset()
        self.key, self.value = message.key(), message.value()


def reader(bootstrap, **settings):
    return Consumer({"bootstrap.servers": bootstrap, "group.id": "reader-of-outcomes",
                     "enable.auto.commit": False, "fetch.error.backoff.ms": 10, **CLIENT,
                     **settings})


def read_all(bootstrap, topic, seconds=60):
    """Everything that is there now, by partition in offset order; and the number of partitions."""
    consumer = reader(bootstrap)
    try:
        partitions = sorted(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        ends = {}
        for p in partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)
            if high > low:
                ends[p] = high
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in ends])
        found = []
        deadline = time.monotonic() + seconds
        while ends:
            assert time.monotonic() < deadline, "the outcome topic cannot be read to its end"
            for message in consumer.consume(2000, timeout=0.2):
                if message.error():
                    continue
                found.append(Published(message))
                if message.offset() + 1 >= ends.get(message.partition(), -1):
                    ends.pop(message.partition(), None)
        found.sort(key=lambda m: (m.partition, m.offset))
        return found, len(partitions)
    finally:
        consumer.close()
