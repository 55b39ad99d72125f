# SPDX-License-Identifier: Apache-2.0
"""What surrounds the daemon on a machine: a broker, servers, buyers; and the proof of the books.

The commands are those of README.md.
"""

import collections
import itertools
import json
import os
import subprocess
import threading
import time

import kafka
from harness.process import tail, wait_until

SERIAL = itertools.count(1)
TOPIC, OUTCOMES = "payment-completed", "payment-outcome"
BRANCHES = ("berlin", "hamburg")  # shops of their own: NAME-completed, NAME-outcome
CONFIG = "/etc/ticketpayd/ticketpayd.conf"
EXAMPLE = "/usr/share/doc/ticketpayd/examples/ticketpayd.conf"
AS_DAEMON = "runuser -u ticketpayd -- "
AS_POSTGRES = "runuser -u postgres -- "

JAVA = "java -Xmx%s -XX:+UseSerialGC -Dlog4j2.configurationFile=/etc/kafka/%s.xml " \
       "-cp '/opt/kafka/*' "
TOOL, NODE = JAVA % ("128m", "tool"), JAVA % ("512m", "node")
KAFKA_NODE = """\
#!/bin/sh
set -e
[ -e /var/lib/kafka/data/meta.properties ] || """ + TOOL + """kafka.tools.StorageTool \\
    format -t dGlja2V0cGF5ZC10ZXN0cw -c /etc/kafka/server.properties
exec """ + NODE + """kafka.Kafka /etc/kafka/server.properties
"""
KAFKA_TOPICS = "#!/bin/sh\nexec " + TOOL + 'org.apache.kafka.tools.TopicCommand "$@"\n'
KAFKA_UNIT = """\
[Unit]
Description=Apache Kafka, one node
[Service]
ExecStart=/usr/local/sbin/kafka-node
SuccessExitStatus=143
"""


def start_kafka(machine):
    """Real Kafka, its jars in /opt/kafka; stands for one on another host."""
    machine.write("/etc/kafka/server.properties", kafka.PROPERTIES.format(
        port=9092, controller_port=9093, directory="/var/lib/kafka"))
    machine.write("/etc/kafka/node.xml", kafka.LOGGING)
    machine.write("/etc/kafka/tool.xml", kafka.LOGGING.replace("INFO", "ERROR"))
    machine.write("/usr/local/sbin/kafka-node", KAFKA_NODE, 0o755)
    machine.write("/usr/local/bin/kafka-topics.sh", KAFKA_TOPICS, 0o755)
    machine.write("/etc/systemd/system/kafka.service", KAFKA_UNIT)
    machine.ok("systemctl daemon-reload; systemctl start kafka")
    machine.broker = "127.0.0.1:9092"
    wait_until(lambda: machine.run("kafka-topics.sh --bootstrap-server %s --list" % machine.broker)
               .code == 0, 60, lambda: "Kafka answers: %s" % machine.run("systemctl status kafka"))


def start_embedded_broker(machine, program, topics):
    """librdkafka's mock cluster, where there is no Java; its topics are made when it starts."""
    machine.ok("systemd-run --unit=kafka %s --address-file /run/kafka-address %s" % (
        program, " ".join("--topic %s:3" % name for name in topics)))
    machine.broker = wait_until(lambda: machine.run("cat /run/kafka-address").out.strip(), 20,
                                "embedded_broker writes its address")
    machine.keeps_all = False


def create_topic(machine, name):
    """In real Kafka."""
    if machine.run("test -e /opt/kafka").code == 0:
        machine.ok("kafka-topics.sh --bootstrap-server %s --create --topic %s --partitions 3" % (
            machine.broker, name))


def config_with(machine, path=CONFIG, **settings):
    """section__key=value, written into the file as a person would: each key stands in it once."""
    for key, value in settings.items():
        name = key.split("__")[1]
        text = '"%s"' % value if isinstance(value, str) else str(value)
        machine.ok("grep -q '^\t%s = ' %s && sed -i 's|^\t%s = .*|\t%s = %s;|' %s" % (
            name, path, name, name, text, path))


class Shop:
    """One topic with its database and daemon."""

    def __init__(self, machine, directory, unit="ticketpayd", database="tickets", topic=TOPIC,
                 outcomes=OUTCOMES, config=CONFIG):
        self.machine, self.directory, self.unit = machine, directory, unit
        self.database, self.topic, self.outcomes, self.config = database, topic, outcomes, config
        self.sold = set()  # order ids that were produced, each once
        self.latest = collections.deque(maxlen=300)

    # ---- buyers

    def order(self):
        order_id = "order-%d" % next(SERIAL)
        self.sold.add(order_id)
        self.latest.append(order_id)
        return json.dumps({"orderId": order_id, "paymentKey": "card", "amount": 9900,
                           "ticketTypeId": 1, "memberId": 42}, separators=(",", ":"))

    def produce(self):
        return "kcat -P -b %s -t %s" % (self.machine.broker, self.topic)

    def sell(self, count):
        lines = "".join(self.order() + "\n" for _ in range(count))
        self.machine.ok(self.produce(), given=lines.encode())

    # ---- what became of it

    def sql(self, text):
        return self.machine.ok(AS_POSTGRES + "psql -qtAX -d %s" % self.database,
                               given=text.encode())

    def ctl(self, verb):
        return self.machine.run(AS_DAEMON + "ticketpayctl -c %s %s" % (self.config, verb))

    def decided(self):
        return int(self.sql("SELECT coalesce(sum(next_offset), 0) FROM consumer_progress"))

    def status(self):
        return self.machine.show(self.unit, "StatusText")

    def pid(self):
        return int(self.machine.show(self.unit, "MainPID"))

    def restarts(self):
        return int(self.machine.show(self.unit, "NRestarts"))

    def log(self, options=""):
        return self.machine.ok("journalctl --no-pager -q -o cat -u %s %s" % (self.unit, options))

    def wait_log(self, text, seconds, options=""):
        wait_until(lambda: text in self.log(options), seconds,
                   lambda: "%r is in the journal:\n%s" % (text, tail(self.log(options))), every=0.2)

    def wait_status(self, text, seconds):
        wait_until(lambda: text in self.status(), seconds,
                   lambda: "STATUS has %r, now %r" % (text, self.status()), every=0.2)

    def wait_done(self, seconds=60):
        """All that was sold is decided and published."""
        def whole():
            return self.sql("SELECT (SELECT count(*) FROM payment), count(*) FROM consumer_progress "
                            "WHERE next_offset > published_offset") == "%d|0" % len(self.sold)
        wait_until(whole, seconds, lambda: "%d payments, all published; now %s, %s" % (
            len(self.sold), self.sql("SELECT count(*) FROM payment"), self.status()), every=0.3)

    def judge(self):
        """Nothing is lost, nothing twice, and each order has heard of it."""
        self.wait_done()
        verify = self.ctl("verify --kafka")
        assert verify.code == 0, str(verify)
        paid = set(self.sql("SELECT order_id FROM payment").split())
        assert paid == self.sold, "paid but not sold %s, sold but not paid %s" % (
            sorted(paid - self.sold)[:5], sorted(self.sold - paid)[:5])
        heard = set(self.machine.ok("kcat -C -q -e -b %s -t %s -o beginning -f '%%k\\n'" % (
            self.machine.broker, self.outcomes)).split())
        # The mock cluster keeps only the last 5 MiB of a partition.
        due = self.sold if self.machine.keeps_all else set(self.latest)
        assert due <= heard, "no outcome of %s" % sorted(due - heard)[:5]

    def report(self):
        """For a failed case."""
        return "\n".join(str(self.machine.run(command)) for command in (
            "systemctl --no-pager -l status %s" % self.unit,
            "journalctl --no-pager -q -n 40 -u %s" % self.unit))


class Buyers(threading.Thread):
    """Orders at a steady rate, through one kcat that goes on until stop()."""

    def __init__(self, shop, per_second=1500):
        super().__init__(daemon=True)
        self.shop, self.per_second = shop, per_second
        self.stopping = threading.Event()
        self.log_path = os.path.join(shop.directory, "kcat.log")
        self.kcat = shop.machine.begin(shop.produce() + " -X linger.ms=5", self.log_path,
                                       stdin=subprocess.PIPE)
        self.begin, self.sent = time.monotonic(), 0
        self.start()

    def run(self):
        while not self.stopping.wait(0.02):
            due = int((time.monotonic() - self.begin) * self.per_second) - self.sent
            lines = "".join(self.shop.order() + "\n" for _ in range(due))
            try:
                self.kcat.stdin.write(lines.encode())
                self.kcat.stdin.flush()
            except BrokenPipeError:
                return  # stop() sees its exit code
            self.sent += due

    def stop(self):
        self.stopping.set()
        self.join()
        self.kcat.stdin.close()
        code = self.kcat.wait(60)
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            assert code == 0, "kcat: exit %d\n%s" % (code, tail(file.read()))
