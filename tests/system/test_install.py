#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The package on a fresh Debian: to the first booked ticket, upgrades, removal."""

import json
import os
import re

import paths  # noqa: F401  (first)
import booted
import shop
from booted import main
from harness.process import wait_until
from harness.tap import case


class Transcript:
    """Commands and what they printed; the long-winded ones shortened."""

    def __init__(self, machine, path):
        self.machine = machine
        self.file = open(path, "w", encoding="utf-8")
        self.commands = []

    def say(self, text):
        self.file.write("\n# %s\n" % text)

    def ok(self, command, keep=None, where="/", seconds=180):
        """keep: only the lines that match it."""
        ran = self.machine.run("cd %s; %s 2>&1" % (where, command), seconds)
        lines = ran.out.splitlines()
        shown = [line for line in lines if keep is None or re.search(keep, line)]
        if len(shown) < len(lines):
            shown.append("[of %d lines]" % len(lines))
        self.file.write("$ %s\n%s" % (command, "".join(line + "\n" for line in shown)))
        self.file.flush()
        self.commands.append(command)
        assert ran.code == 0, str(ran)
        return ran.out


@case(seconds=300)
def from_a_fresh_debian_to_the_first_ticket_with_documented_commands(t):
    path = os.path.join(t.build, "first-ticket.txt")
    m, log = t.machine, Transcript(t.machine, path)
    t.on_failure(lambda: open(path, encoding="utf-8").read())
    shop.start_kafka(m)

    log.say("A fresh Debian, as root. Kafka answers on 127.0.0.1:9092.")
    log.ok("cat /etc/debian_version")
    for command in booted.INSTALL_SERVERS:
        log.ok(command, keep="^Setting up (postgresql|redis-server|kcat) ")
    directory, name = os.path.split(booted.package(t))
    log.ok(booted.APT + "./" + name, keep="^Setting up ticketpayd", where=directory)
    assert m.active("ticketpayd") == "inactive", "a first installation starts nothing"
    assert m.run("systemctl is-enabled ticketpayd").out.strip() == "enabled"
    refused = m.run("systemctl start ticketpayd")
    assert refused.code != 0, "it starts without a configuration"
    assert "ssertion" in refused.err, str(refused)
    assert m.ok("systemctl --failed --no-legend") == "", "to be without a configuration is no failure"

    log.say("Topics, the database, its two roles (here: postgres owns the tables), a ticket type.")
    for command in booted.MAKE_TOPICS + booted.MAKE_DATABASE:
        log.ok(command)
    log.say("The configuration: the example's defaults are right for servers on this host.")
    for command in booted.CONFIGURE:
        log.ok(command)

    log.say("It returns when all servers have been checked and the group is joined.")
    log.ok("systemctl start ticketpayd")
    assert m.active("ticketpayd") == "active"

    log.say("A customer has paid.")
    event = {"orderId": "a-1", "paymentKey": "card-4711", "amount": 9900, "ticketTypeId": 1,
             "memberId": 42}
    log.ok("echo '%s' |\n    kcat -P -b 127.0.0.1:9092 -t payment-completed" % json.dumps(
        event, separators=(",", ":")))
    outcome = log.ok("kcat -C -q -b 127.0.0.1:9092 -t payment-outcome -o beginning -c 1")
    told = json.loads(outcome)
    assert (told["orderId"], told["status"], told["remaining"]) == ("a-1", "CONFIRMED", 4999), told
    log.ok("runuser -u ticketpayd -- ticketpayctl status")
    log.ok("runuser -u ticketpayd -- ticketpayctl verify", keep="hold$")
    wait_until(lambda: "consuming 3/3" in m.show("ticketpayd", "StatusText"), 10, "STATUS says so")
    log.ok("systemctl --no-pager status ticketpayd", keep="Loaded|Active|Status")
    log.ok("journalctl --no-pager -q -o cat -u ticketpayd", keep="^ready:")
    log.file.close()
    with open(path, encoding="utf-8") as file:
        t.note("%s", file.read())

    t.shop = shop.Shop(m, t.directory("shop"))
    t.shop.sold.add("a-1")
    t.shop.judge()
    with open(os.path.join(t.source, "README.md"), encoding="utf-8") as readme:
        quoted = readme.read()
    missing = [c for c in log.commands if "$ %s\n" % c not in quoted]
    assert not missing, "README.md does not have these commands: %s" % missing


def newer(t, shop_, suffix):
    """The same package with a higher version; its path in the machine."""
    m = t.machine
    old = m.ok("dpkg-query -W -f '${Version}' ticketpayd")
    new = old.split("+")[0] + suffix
    m.ok("rm -rf /tmp/next && dpkg-deb -R %s /tmp/next && "
         "sed -i 's/^Version: .*/Version: %s/' /tmp/next/DEBIAN/control && "
         "dpkg-deb -b /tmp/next /tmp/ticketpayd_next.deb" % (booted.package(t), new))
    return "/tmp/ticketpayd_next.deb", new


@case
def an_upgrade_under_load_restarts_it_and_loses_nothing(t):
    s = booted.open_shop(t)
    m = t.machine
    pid = s.pid()
    path, version = newer(t, s, "+1")
    buyers = shop.Buyers(s)
    before = s.decided()
    wait_until(lambda: s.decided() > before + 1000, 20, "orders come in")
    m.ok(booted.APT + path, seconds=120)
    assert m.ok("dpkg-query -W -f '${Version}' ticketpayd") == version
    wait_until(lambda: m.active("ticketpayd") == "active" and s.pid() not in (0, pid), 30,
               "it was restarted")
    after = s.decided()
    wait_until(lambda: s.decided() > after + 1000, 20, "it goes on")
    buyers.stop()
    s.judge()


@case
def an_upgrade_does_not_wait_for_a_server_that_is_down(t):
    """In one run of apt PostgreSQL may be stopped, and start after us."""
    s = booted.open_shop(t)
    m = t.machine
    path, version = newer(t, s, "+2")
    m.ok("systemctl stop postgresql")
    m.ok(booted.APT + path, seconds=60)
    assert m.ok("dpkg-query -W -f '${Version}' ticketpayd") == version
    m.wait_active("ticketpayd", "activating", 30)
    m.ok("systemctl start postgresql")
    m.wait_active("ticketpayd", "active", 30)
    s.sell(100)
    s.judge()


@case
def an_upgrade_does_not_start_what_was_stopped(t):
    s = booted.open_shop(t)
    m = t.machine
    m.ok("systemctl stop ticketpayd")
    path, version = newer(t, s, "+3")
    m.ok(booted.APT + path)
    assert m.ok("dpkg-query -W -f '${Version}' ticketpayd") == version
    # A job, if there were one, would be done before this one, which waits for it.
    m.ok("systemctl --quiet list-jobs; systemctl daemon-reload")
    assert m.active("ticketpayd") == "inactive"


@case
def an_unchanged_configuration_is_never_asked_about(t):
    """There is no conffile: dpkg asks nothing, whatever was edited."""
    booted.open_shop(t)
    m = t.machine
    shop.config_with(m, batch__max_events=4321)
    path, _ = newer(t, t.shop, "+4")
    out = m.ok(booted.APT + path)
    assert "onfiguration file" not in out, out
    assert "max_events = 4321;" in m.ok("cat " + shop.CONFIG)


# Where the system itself remembers what was there.
KEPT = ("/var/log/", "/var/cache/", "/srv/", "/proc/", "/sys/", "/tmp/next", "/tmp/ticketpayd_next",
        "/var/lib/postgresql/", "/var/lib/apt/", "/var/lib/kafka/")


@case
def remove_keeps_and_purge_leaves_nothing(t):
    booted.open_shop(t)
    m = t.machine
    m.ok("mkdir -p /etc/systemd/system/ticketpayd.service.d && "
         "printf '[Service]\\nMemoryMax=2G\\n' >/etc/systemd/system/ticketpayd.service.d/a.conf")
    m.ok("cp %s /etc/ticketpayd/other.conf && systemctl enable ticketpayd@other" % shop.CONFIG)
    m.ok("apt-get -q -y remove ticketpayd", seconds=90)
    assert m.run("pgrep -x ticketpayd").code != 0, "it still runs"
    m.ok("test -e %s && id ticketpayd" % shop.CONFIG)
    m.ok("apt-get -q -y purge ticketpayd", seconds=60)

    left = [line for line in m.ok("find / -xdev -name '*ticketpay*'").splitlines()
            if not line.startswith(KEPT)]
    assert not left, "left behind: %s" % left
    for database in ("passwd", "group"):
        assert m.run("getent %s ticketpayd" % database).code != 0, database
    m.ok("systemctl daemon-reload")
    assert "not-found" in m.show("ticketpayd", "LoadState")
    assert m.ok("systemctl --failed --no-legend") == ""
    assert m.ok("dpkg -l | grep ticketpay | cat") == ""


if __name__ == "__main__":
    main(__file__)
