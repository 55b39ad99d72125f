#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A throw-away Apache Kafka: one KRaft node on free loopback ports, its files in one directory.

    kafka.py fetch        get the jars by Maven, once; prints their directory
    kafka.py start DIR    start a broker that stays; prints its bootstrap address (DIR/bootstrap)
    kafka.py stop DIR     stop it

Tests use class Broker.
"""

import ctypes
import fcntl
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))

# broker.session.timeout.ms: after kill -9 the controller lets the broker back in only when its old
# session has run out.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=BROKER://127.0.0.1:{port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={directory}/data
auto.create.topics.enable=false
num.partitions=3
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.retention.check.interval.ms=1000
log.initial.task.delay.ms=1000
"""

LOGGING = """\
<Configuration status="ERROR"><Appenders><Console name="out">
<PatternLayout pattern="%d %p %m (%c{1})%n%throwable"/></Console></Appenders>
<Loggers><Root level="INFO"><AppenderRef ref="out"/></Root></Loggers></Configuration>
"""


class KafkaError(Exception):
    pass


def version():
    with open(os.path.join(HERE, "pom.xml"), encoding="utf-8") as pom:
        return re.search(r"kafka_2\.13</artifactId>\s*<version>([^<]+)<", pom.read()).group(1)


def cache_directory():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "ticketpayd", "kafka-" + version())


def fetch():
    """The directory of the jars, filled by Maven if this is the first time."""
    target = cache_directory()
    if os.path.isdir(target):
        return target

    parent = os.path.dirname(target)
    os.makedirs(parent, exist_ok=True)
    # Filled beside its place and renamed when whole: an interrupted run leaves no half a cache.
    with open(target + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.isdir(target):
            return target
        part = tempfile.mkdtemp(prefix="part-", dir=parent)
        try:
            command = ["mvn", "-q", "-B", "-f", os.path.join(HERE, "pom.xml"),
                       "dependency:copy-dependencies", "-DoutputDirectory=" + part]
            print("getting Apache Kafka %s by Maven, once" % version(), file=sys.stderr)
            # A registry that is slow to answer the first time often has it the second.
            for attempt in (1, 2, 3):
                try:
                    done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False,
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                except FileNotFoundError:
                    raise KafkaError("mvn is not installed (./dev build installs it)") from None
                if done.returncode == 0:
                    break
                if attempt == 3:
                    raise KafkaError("Maven cannot get Apache Kafka:\n"
                                     + done.stdout.decode(errors="replace")[-2000:])
            os.chmod(part, 0o755)
            os.rename(part, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return target


def free_port():
    """
    Below those that the kernel gives to outgoing connections: one of these could take the port of a
    server that is stopped for a while, and a client that keeps trying to reach it meet itself.
    """
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        end = int(file.read().split()[0])
    while True:
        port = random.randrange(10240, max(end, 20480))
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Broker:
    """One broker. The ports and the data stay the same when it is stopped and started again."""

    def __init__(self, directory):
        self.directory = os.path.abspath(directory)
        self.process = None
        self.log_path = os.path.join(self.directory, "kafka.log")
        self.bootstrap = None

    def java(self, main, *arguments, heap="512m"):
        # No classpath argument per jar: java expands the star itself.
        return ["java", "-Xmx" + heap, "-XX:+UseSerialGC", "-Djava.awt.headless=true",
                "-Dlog4j2.configurationFile=" + os.path.join(self.directory, "log4j2.xml"),
                "-cp", os.path.join(fetch(), "*"), main, *arguments]

    def configure(self):
        os.makedirs(self.directory, exist_ok=True)
        self.port = free_port()
        self.bootstrap = "127.0.0.1:%d" % self.port
        with open(self.properties, "w", encoding="ascii") as out:
            out.write(PROPERTIES.format(port=self.port, controller_port=free_port(),
                                        directory=self.directory))
        with open(os.path.join(self.directory, "log4j2.xml"), "w", encoding="ascii") as out:
            out.write(LOGGING)
        shutil.rmtree(os.path.join(self.directory, "data"), ignore_errors=True)
        cluster = subprocess.run(
            self.java("kafka.tools.StorageTool", "format", "-t", "dGlja2V0cGF5ZC10ZXN0cw",
                      "-c", self.properties, heap="128m"),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            check=False)
        if cluster.returncode:
            raise KafkaError("formatting Kafka's storage failed:\n" + cluster.stdout.decode())

    @property
    def properties(self):
        return os.path.join(self.directory, "server.properties")

    def start(self, detached=False, timeout=60):
        """Start it, or start it again; return when it answers a metadata request."""
        for attempt in range(5):
            if self.bootstrap is None:
                self.configure()
            with open(self.log_path, "ab") as log:
                mark = log.tell()
                self.process = subprocess.Popen(
                    self.java("kafka.Kafka", self.properties), stdin=subprocess.DEVNULL,
                    stdout=log, stderr=log, cwd=self.directory, start_new_session=True,
                    preexec_fn=None if detached else die_with_parent)
            if self.answers(time.monotonic() + timeout):
                return self
            self.kill()
            with open(self.log_path, "rb") as log:
                log.seek(mark)
                text = log.read().decode(errors="replace")
            # Somebody took a port between our look and Kafka's bind: others next time.
            if attempt == 0 or "Address already in use" in text:
                if not os.path.isdir(os.path.join(self.directory, "data", "__cluster_metadata-0")):
                    self.bootstrap = None
                continue
            break
        raise KafkaError("Kafka did not start; the end of its log:\n" + text[-3000:])

    def answers(self, deadline):
        from confluent_kafka.admin import AdminClient
        from confluent_kafka import KafkaException
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0,
                             "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100})
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if admin.list_topics(timeout=0.5).brokers:
                    return True
            except KafkaException:
                pass
        return False

    def signal(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        """As a crash would; what was acknowledged is in the page cache and survives it."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self, timeout=20):
        if not self.process or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()


def main():
    if len(sys.argv) == 2 and sys.argv[1] == "fetch":
        print(fetch())
    elif len(sys.argv) == 3 and sys.argv[1] == "start":
        broker = Broker(sys.argv[2]).start(detached=True)
        for name, text in (("pid", str(broker.process.pid)), ("bootstrap", broker.bootstrap)):
            with open(os.path.join(broker.directory, name), "w", encoding="ascii") as out:
                out.write(text + "\n")
        print(broker.bootstrap)
    elif len(sys.argv) == 3 and sys.argv[1] == "stop":
        with open(os.path.join(sys.argv[2], "pid"), encoding="ascii") as file:
            stop_other(int(file.read()), sys.argv[2])
    else:
        sys.exit(__doc__)


def stop_other(pid, directory):
    """Stop a broker that another process started, if `pid` still is it."""
    wanted = os.path.join(os.path.abspath(directory), "server.properties").encode()
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + 20
        sent = False
        while time.monotonic() < deadline:
            try:
                with open("/proc/%d/cmdline" % pid, "rb") as file:
                    if wanted not in file.read():
                        return
                if not sent:
                    os.kill(pid, number)
                    sent = True
            except (FileNotFoundError, ProcessLookupError):
                return
            time.sleep(0.05)


if __name__ == "__main__":
    try:
        main()
    except KafkaError as e:
        sys.exit("kafka.py: %s" % e)
