# SPDX-License-Identifier: Apache-2.0
"""The broker and what the tests ask of it: topics, watermarks, a group's offsets."""

import os
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from .process import Child, tail, wait_until

from kafka import Broker  # tests/kafka/kafka.py: harness.process has set the path

# A client of ours comes back at once when its broker does.
CLIENT = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "log_level": 0,
          "socket.nagle.disable": True, "allow.auto.create.topics": False}


class Kafka(Broker):
    """Apache Kafka (tests/kafka/kafka.py)."""

    def create_topics(self, topics):
        """topics: name -> partitions, or (partitions, settings)."""
        new = []
        for name, shape in topics.items():
            count, settings = shape if isinstance(shape, tuple) else (shape, {})
            new.append(NewTopic(name, count, 1, config=settings))
        admin = AdminClient({"bootstrap.servers": self.bootstrap, **CLIENT})
        for future in admin.create_topics(new, operation_timeout=20).values():
            future.result(30)
        wait_for_topics(admin, {n.topic: n.num_partitions for n in new})

    def delete_topic(self, name):
        admin = AdminClient({"bootstrap.servers": self.bootstrap, **CLIENT})
        admin.delete_topics([name], operation_timeout=20)[name].result(30)


class EmbeddedBroker:
    """build/embedded_broker: librdkafka's mock cluster in a process of its own."""

    def __init__(self, program, directory):
        self.program, self.directory = program, directory
        self.log_path = os.path.join(directory, "embedded_broker.log")
        self.child = None
        self.bootstrap = None

    def start(self, topics):
        os.makedirs(self.directory, exist_ok=True)
        address = os.path.join(self.directory, "address")
        command = [self.program, "--address-file", address]
        for name, partitions in topics.items():
            command += ["--topic", "%s:%d" % (name, partitions)]
        self.child = Child(command, self.log_path)

        def written():
            assert self.child.alive, "embedded_broker ended:\n" + tail(self.child.log())
            try:
                with open(address, encoding="ascii") as file:
                    return file.read().strip()
            except FileNotFoundError:
                return None
        self.bootstrap = wait_until(written, 10, "embedded_broker writes its address")
        wait_for_topics(AdminClient({"bootstrap.servers": self.bootstrap, **CLIENT}), topics)
        return self

    def stop(self):
        if self.child:
            self.child.kill()


def wait_for_topics(admin, topics):
    def there():
        found = admin.list_topics(timeout=10).topics
        return all(name in found and len(found[name].partitions) == count and
                   all(p.leader >= 0 for p in found[name].partitions.values())
                   for name, count in topics.items())
    wait_until(there, 30, "topics %s have leaders" % ", ".join(topics))


class Group:
    """The group's offsets, read and set the way Kafka's own tool does: as a member of nothing."""

    def __init__(self, bootstrap, group, topic, partitions):
        self.topic, self.partitions = topic, partitions
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group,
                                  "enable.auto.commit": False, **CLIENT})

    def all(self, offset=None):
        return [TopicPartition(self.topic, p, *([] if offset is None else [offset]))
                for p in range(self.partitions)]

    def high(self):
        """Per partition: the offset of the next record to be written."""
        return [self.retry(lambda p=p: self.consumer.get_watermark_offsets(p, timeout=5)[1])
                for p in self.all()]

    def committed(self):
        """Per partition: the committed offset, -1 if there is none."""
        answer = self.retry(lambda: self.consumer.committed(self.all(), timeout=5))
        return [max(p.offset, -1) for p in answer]

    def reset(self, offset):
        """Set all offsets; Kafka lets us only when the group has no member."""
        def done():
            try:
                answer = self.consumer.commit(offsets=self.all(offset), asynchronous=False)
                return all(p.error is None for p in answer)
            except KafkaException:
                return False
        wait_until(done, 30, "the group's offsets can be set", every=0.1)

    @staticmethod
    def retry(call, seconds=20):
        # A broker just started answers "coordinator loading" for a moment.
        deadline = time.monotonic() + seconds
        while True:
            try:
                return call()
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def close(self):
        self.consumer.close()
