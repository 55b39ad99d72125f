#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The service as the engineer on call meets it: start, reload, faults, stop; under a real systemd."""

import json
import re
import time

import paths  # noqa: F401  (first)
import shop
from booted import main, open_shop
from harness.process import wait_until
from harness.tap import case
from shop import AS_POSTGRES, Buyers, config_with

WATCHDOG_SECONDS = 20  # WatchdogSec= of the unit


def wait_sold(s, count=500, seconds=20):
    """So many orders more are decided."""
    before = s.decided()
    wait_until(lambda: s.decided() >= before + count, seconds,
               lambda: "%d orders more are decided; %s" % (count, s.status()))


@case
def the_process_is_as_confined_as_the_unit_says(t):
    s = open_shop(t)
    status = dict(line.split(":\t", 1) for line in
                  t.machine.ok("cat /proc/%d/status" % s.pid()).splitlines() if ":\t" in line)
    assert status["CapEff"] == status["CapBnd"] == "0000000000000000", status
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status
    assert t.machine.ok("stat -c %%U /proc/%d" % s.pid()) == "ticketpayd"
    assert "Max core file size        0 " in t.machine.ok("cat /proc/%d/limits" % s.pid())
    report = t.machine.run("systemd-analyze security --no-pager --threshold=15 ticketpayd")
    assert report.code == 0, str(report)
    t.figure("exposure level of the running ticketpayd.service: %s (mark: at most 1.5)",
             re.search(r"exposure level for ticketpayd.service: ([0-9.]+)", report.out).group(1))
    s.sell(100)
    s.judge()


@case
def start_returns_when_ready_and_waits_for_postgresql(t):
    s = open_shop(t)
    m = t.machine
    m.ok("systemctl stop ticketpayd postgresql")
    start = m.begin("systemctl start ticketpayd", t.directory("start") + "/log")
    s.wait_status("waiting for PostgreSQL", 20)
    assert m.active("ticketpayd") == "activating"
    pid = s.pid()
    # Longer than TimeoutStartSec=: its time is extended.
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() > begin + 70, 80, "time passes", every=1)
    assert m.active("ticketpayd") == "activating" and s.pid() == pid and s.restarts() == 0
    assert start.poll() is None, "systemctl start returned before READY"
    m.ok("systemctl start postgresql")
    assert start.wait(30) == 0
    assert m.active("ticketpayd") == "active" and s.pid() == pid
    s.sell(100)
    s.judge()


@case
def status_is_one_line_that_says_what_it_does(t):
    s = open_shop(t)
    s.sell(200)
    s.wait_status("consuming 3/3 partitions", 20)
    shown = t.machine.ok("systemctl --no-pager status ticketpayd")
    assert re.search(r'Status: "consuming 3/3 partitions, .*"', shown), shown


@case
def reload_takes_a_good_file_and_refuses_a_broken_one(t):
    s = open_shop(t)
    m = t.machine
    pid = s.pid()
    m.ok("cp %s /tmp/good.conf" % s.config)
    config_with(m, log__level="debug", batch__max_events=50)
    m.ok("systemctl reload ticketpayd")
    s.wait_log("reload: the settings are taken", 10, "_PID=%d" % pid)
    s.sell(300)
    s.wait_log(" records: ", 10, "PRIORITY=7")
    m.ok("echo 'batch = { max_evnts = 1; };' >%s" % s.config)
    m.ok("systemctl reload ticketpayd")
    s.wait_log("the settings stay as they are: ", 10)
    assert "batch.max_evnts" in s.log(), "it names the key"
    m.ok("cp /tmp/good.conf %s && systemctl reload ticketpayd" % s.config)
    m.wait_active("ticketpayd", "active", 5)
    assert s.pid() == pid, "it was restarted"
    s.judge()


@case(seconds=240)
def restarts_under_load_lose_nothing(t):
    s = open_shop(t)
    buyers = Buyers(s)
    for _ in range(5):
        wait_sold(s)
        pid = s.pid()
        t.machine.ok("systemctl restart ticketpayd")
        assert s.pid() != pid
        assert t.machine.active("ticketpayd") == "active", "restart returns when it is ready"
    wait_sold(s)
    buyers.stop()
    s.judge()


@case(seconds=240)
def kills_under_load_lose_nothing_and_systemd_brings_it_back(t):
    s = open_shop(t)
    buyers = Buyers(s)
    for number in range(8):  # more than systemd's default start limit
        wait_sold(s, seconds=30)
        before, pid = s.restarts(), s.pid()
        t.machine.ok("systemctl kill --signal=KILL ticketpayd")
        wait_until(lambda: s.restarts() > before and s.pid() not in (0, pid) and
                   t.machine.active("ticketpayd") == "active", 30,
                   lambda n=number: "it is back after kill %d: %s" % (n, s.report()))
    wait_sold(s, seconds=30)
    buyers.stop()
    s.judge()


@case
def a_process_that_hangs_is_ended_by_the_watchdog(t):
    s = open_shop(t)
    buyers = Buyers(s, 200)
    wait_sold(s, 100)
    pid, before = s.pid(), s.restarts()
    t.machine.ok("systemctl kill --signal=STOP ticketpayd")
    begin = time.monotonic()
    wait_until(lambda: s.pid() not in (0, pid), WATCHDOG_SECONDS + 20, "another process")
    t.figure("SIGSTOP until systemd starts another: %.1f s (WatchdogSec=%d)",
             time.monotonic() - begin, WATCHDOG_SECONDS)
    assert s.restarts() == before + 1
    # A dump would hold passwords and payments.
    s.wait_log("Watchdog timeout", 5)
    assert "dumped core" not in s.log()
    t.machine.wait_active("ticketpayd", "active", 30)
    wait_sold(s, 100)
    buyers.stop()
    s.judge()


@case
def a_bad_configuration_fails_at_once_and_is_not_tried_again(t):
    s = open_shop(t)
    m = t.machine
    m.ok("cp %s /tmp/good.conf" % s.config)
    config_with(m, batch__max_events=0)
    m.ok("systemctl stop ticketpayd")
    start = m.run("systemctl start ticketpayd")
    assert start.code != 0, "it starts"
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() > begin + 4, 6, "longer than RestartSec=")
    assert m.active("ticketpayd") == "failed"
    assert m.show("ticketpayd", "ExecMainStatus") == "78" and s.restarts() == 0
    assert re.search(r"ticketpayd.conf:\d+: batch.max_events: 0 is below 1", s.log()), s.log("-n 9")
    m.ok("cp /tmp/good.conf %s && systemctl start ticketpayd" % s.config)
    s.judge()


@case
def postgresql_stopped_and_started_is_waited_for(t):
    s = open_shop(t)
    buyers = Buyers(s)
    wait_sold(s)
    pid = s.pid()
    t.machine.ok("systemctl stop postgresql")
    s.wait_status("waiting for PostgreSQL", 15)
    assert t.machine.active("ticketpayd") == "active"
    t.machine.ok("systemctl start postgresql")
    wait_sold(s)
    assert s.pid() == pid
    buyers.stop()
    s.judge()


@case
def stop_under_load_leaves_nothing_undone(t):
    s = open_shop(t)
    buyers = Buyers(s)
    wait_sold(s)
    begin = time.monotonic()
    t.machine.ok("systemctl stop ticketpayd")
    t.note("systemctl stop took %.1f s", time.monotonic() - begin)
    assert t.machine.show("ticketpayd", "Result") == "success"
    assert t.machine.show("ticketpayd", "ExecMainStatus") == "0"
    assert s.sql("SELECT DISTINCT next_offset - published_offset, owner IS NULL "
                 "FROM consumer_progress") == "0|t"
    buyers.stop()
    t.machine.ok("systemctl start ticketpayd")
    s.judge()


@case
def the_journal_follows_a_batch_by_its_fields(t):
    s = open_shop(t)
    m = t.machine
    m.ok("cp %s /tmp/good.conf" % s.config)
    config_with(m, log__level="debug")
    m.ok("systemctl reload ticketpayd")
    s.wait_log("reload: the settings are taken", 10)
    s.sell(300)
    s.judge()
    batches = [json.loads(line) for line in m.ok(
        "journalctl -q -o json -u ticketpayd _PID=%d" % s.pid()).splitlines()]
    batch = [e for e in batches if "TICKETPAY_BATCH_ID" in e][-1]
    number = batch["TICKETPAY_BATCH_ID"]
    found = [json.loads(line) for line in m.ok(
        "journalctl -q -o json -u ticketpayd _PID=%d TICKETPAY_BATCH_ID=%s" % (
            s.pid(), number)).splitlines()]
    assert found and all(e["TICKETPAY_BATCH_ID"] == number for e in found), found
    for field in ("TOPIC", "PARTITION", "FIRST_OFFSET", "LAST_OFFSET", "DURATION_US"):
        assert any("TICKETPAY_" + field in e for e in found), (field, found)
    assert all("MESSAGE_ID" in e and e["_UID"] != "0" for e in found), found
    m.ok("cp /tmp/good.conf %s && systemctl reload ticketpayd" % s.config)


@case
def journalctl_explains_what_happened(t):
    s = open_shop(t)
    m = t.machine
    # The newest message that has an entry: one of ours is always "ready".
    explained = m.ok("journalctl --no-pager -q -x -u ticketpayd -g ^ready: -n 1")
    assert re.search(r"^░░ ", explained, re.M), explained


@case
def a_storm_of_refused_records_is_counted_and_not_suppressed(t):
    """100,000 of them, and the breaker off: nothing the journal drops, and every one is booked."""
    s = open_shop(t)
    m = t.machine
    m.ok("cp %s /tmp/good.conf" % s.config)
    config_with(m, limits__breaker=0)
    m.ok("systemctl restart ticketpayd")
    letters = int(s.sql("SELECT count(*) FROM dead_letter"))
    m.ok(s.produce(), given=b"no event\n" * 100000)
    wait_until(lambda: int(s.sql("SELECT count(*) FROM dead_letter")) == letters + 100000, 60,
               lambda: "100,000 letters: " + s.sql("SELECT count(*) FROM dead_letter"), every=0.5)
    s.sell(10)
    s.judge()
    s.wait_status("100000 dead letters", 5)
    lines = len(s.log("_PID=%d" % s.pid()).splitlines())
    t.figure("lines in the journal for 100,000 refused records: %d", lines)
    assert lines < 1000, lines
    assert "uppressed" not in m.ok("journalctl --no-pager -q -o cat -u ticketpayd -u "
                                   "systemd-journald | grep -i suppressed | cat")
    m.ok("cp /tmp/good.conf %s && systemctl restart ticketpayd" % s.config)


@case
def a_password_given_by_loadcredential_opens_redis_and_metrics_are_for_all_to_read(t):
    s = open_shop(t)
    m = t.machine
    dropin = "/etc/systemd/system/ticketpayd.service.d/credential.conf"
    m.ok("cp %s /tmp/good.conf" % s.config)
    m.write("/etc/redis-password", "hush\n", 0o600)  # root's: systemd hands it over
    m.write(dropin, "[Service]\nLoadCredential=redis:/etc/redis-password\n")
    m.ok("redis-cli config set requirepass hush")
    config_with(m, lock__redis_password_file="redis",
                metrics__textfile="/run/ticketpayd/ticketpayd.prom")
    try:
        m.ok("systemctl daemon-reload && systemctl restart ticketpayd")
        s.sell(100)
        s.judge()
        samples = m.ok("runuser -u nobody -- cat /run/ticketpayd/ticketpayd.prom")
        assert re.search(r"^ticketpayd_payments_stored_total(\{.*\})? ", samples, re.M), samples
        # Without the lock it would go on under row locks, and say so.
        assert "row locks alone" not in s.log("_PID=%d" % s.pid()), s.log("-n 20")
        ran = m.ok("redis-cli -a hush --no-auth-warning info commandstats")
        assert re.search(r"cmdstat_eval(sha)?:calls=[1-9]", ran), ran
    finally:
        m.ok("redis-cli -a hush --no-auth-warning config set requirepass ''; rm %s; "
             "cp /tmp/good.conf %s; systemctl daemon-reload; systemctl restart ticketpayd" % (
                 dropin, s.config))
    assert m.run("test -e /run/ticketpayd/ticketpayd.prom").code != 0, "it stays behind"


@case(seconds=240)
def the_template_runs_two_instances_apart(t):
    open_shop(t)
    m = t.machine
    shops = []
    for name in shop.BRANCHES:
        topic, outcomes = name + "-completed", name + "-outcome"
        config = "/etc/ticketpayd/%s.conf" % name
        for one in (topic, outcomes):
            shop.create_topic(m, one)
        m.ok("cp %s %s" % (shop.EXAMPLE, config))
        config_with(m, config, kafka__brokers=m.broker, kafka__topic=topic, kafka__outcome_topic=outcomes,
                    kafka__group=name, lock__key_prefix=name,
                    database__conninfo="dbname=" + name)
        m.ok(AS_POSTGRES + "createdb --encoding=UTF8 --template=template0 " + name)
        for verb in ("migrate --apply", "stock create 1 --total 50"):
            m.ok(AS_POSTGRES + "ticketpayctl -c %s %s" % (config, verb))
        m.ok(AS_POSTGRES + "psql -q -v daemon=ticketpayd -f /usr/share/ticketpayd/sql/grants.sql "
             + name)
        shops.append(shop.Shop(m, t.directory(name), "ticketpayd@" + name, name, topic, outcomes,
                               config))
        t.on_failure(shops[-1].report)
    m.ok("systemctl start ticketpayd@berlin ticketpayd@hamburg")
    for one in shops:
        one.sell(100)
    shops[0].machine.ok("systemctl kill --signal=KILL ticketpayd@berlin")
    m.wait_active("ticketpayd@berlin", "active", 30)
    for one in shops:
        one.sell(50)
        one.judge()
        members = m.ok("tr '\\0' ' ' </proc/%d/cmdline" % one.pid())
        assert "kafka.instance=%s-%s" % (m.ok("uname -n"), one.database) in members, members
    m.ok("systemctl stop ticketpayd@berlin")
    assert m.active("ticketpayd@hamburg") == "active" and m.active("ticketpayd") == "active"
    m.ok("systemctl stop ticketpayd@hamburg")


if __name__ == "__main__":
    main(__file__, prepare=open_shop)
