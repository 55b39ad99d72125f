# SPDX-License-Identifier: Apache-2.0
"""Runs the cases of one file on one machine, booted for them; prints TAP (harness/tap.py).

TICKETPAY_RELEASE=trixie takes another Debian, TICKETPAY_HERE=1 the machine that we run on, where
the package is installed (autopkgtest).
"""

import fnmatch
import glob
import os
import sys

import kafka
import root
import shop
from harness.tap import CASES, arguments, run, with_servers
from machine import Here, Nspawn

HERE = bool(os.environ.get("TICKETPAY_HERE"))
RELEASE = os.environ.get("TICKETPAY_RELEASE", "bookworm")
APT = "apt-get install -y --no-install-recommends "

# README.md, "Running it for real": what a person types.
INSTALL_SERVERS = [APT + "postgresql redis-server kcat"]
MAKE_TOPICS = [
    "kafka-topics.sh --bootstrap-server 127.0.0.1:9092 --create --topic payment-completed "
    "--partitions 3",
    "kafka-topics.sh --bootstrap-server 127.0.0.1:9092 --create --topic payment-outcome "
    "--partitions 3",
]
MAKE_DATABASE = [
    "runuser -u postgres -- createuser ticketpayd",
    "runuser -u postgres -- createdb --encoding=UTF8 --template=template0 tickets",
    "runuser -u postgres -- ticketpayctl migrate --apply",
    "runuser -u postgres -- psql -q -v daemon=ticketpayd -f /usr/share/ticketpayd/sql/grants.sql "
    "tickets",
    "runuser -u postgres -- ticketpayctl stock create 1 --total 5000 --name standing",
]
CONFIGURE = [
    "cp /usr/share/doc/ticketpayd/examples/ticketpayd.conf /etc/ticketpayd/",
    "ticketpayd --check-config",
]


def deb_directory(test):
    """Of this release; ./dev names another one than that of ./dev deb."""
    return os.path.abspath(os.environ.get("TICKETPAY_DEB") or os.path.join(test.build, "deb"))


def package(test):
    """The path of the package inside the machine."""
    found = glob.glob(os.path.join(deb_directory(test), "ticketpayd_*.deb"))
    assert len(found) == 1, "one package (./dev deb makes it) in %s: %s" % (
        deb_directory(test), found)
    return "/srv/deb/" + os.path.basename(found[0])


def boot(test):
    if HERE:
        machine = Here()
    else:
        directory = test.directory("machine")
        machine = Nspawn(root.fetch(RELEASE), directory, {
            deb_directory(test): "/srv/deb", kafka.fetch(): "/opt/kafka"})
    return machine.boot()


def main(file, prepare=None):
    """prepare: a function (test), called first; what it takes is no case's time."""
    options = arguments()
    if options.list:
        print("\n".join(name for name, _, _ in CASES))
        return
    chosen = [c for c in CASES if options.pattern in c[0] or
              fnmatch.fnmatch(c[0], options.pattern)]

    def body(test):
        test.machine = boot(test)
        test.shop = None
        try:
            if prepare:
                prepare(test)
            return run(test, chosen)
        finally:
            test.machine.stop()
    sys.exit(with_servers(file, body))


def begin(test, *commands, seconds=180):
    for command in commands:
        test.machine.ok(command, seconds)


def open_shop(test):
    """The machine with everything installed, set up and working; once for all cases of a file."""
    if not test.shop:
        if HERE:
            branches = [name + end for name in shop.BRANCHES for end in ("-completed", "-outcome")]
            shop.start_embedded_broker(test.machine, test.program("embedded_broker"),
                                       [shop.TOPIC, shop.OUTCOMES, *branches])
        else:
            begin(test, *INSTALL_SERVERS, APT + package(test))
            shop.start_kafka(test.machine)
            begin(test, *MAKE_TOPICS)
        begin(test, *MAKE_DATABASE, *CONFIGURE)
        if HERE:
            # The mock cluster knows no static members.
            shop.config_with(test.machine, kafka__brokers=test.machine.broker,
                             kafka__instance="none")
        test.shop = shop.Shop(test.machine, test.directory("shop"))
    test.machine.ok("systemctl reset-failed; systemctl start postgresql redis-server kafka "
                    "ticketpayd", seconds=120)
    test.on_failure(test.shop.report)
    return test.shop


