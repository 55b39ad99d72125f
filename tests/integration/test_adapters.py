#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The adapters' own tests, C programs on servers of ours; their TAP is passed on as one."""

import os
import re
import shutil
import subprocess
import sys

from harness import tap
from harness.daemon import environment

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = sorted(name[:-2] for name in os.listdir(HERE) if re.match(r"test_\w+\.c$", name))
LINE = re.compile(r"(ok|not ok)\b\s*\d*\s*-?\s*(.*)")


def find(build, name):
    for folder in ("", "tests/integration", "tests"):
        path = os.path.join(build, folder, name)
        if os.access(path, os.X_OK):
            return path
    return None


def servers_for(servers):
    """What the programs are told; they make databases, roles and topics themselves."""
    return environment(
        CMOCKA_MESSAGE_OUTPUT="TAP",
        TICKETPAY_SOURCE=tap.SOURCE,
        TICKETPAY_TEST_SQL=os.path.join(tap.SOURCE, "sql"),
        TICKETPAY_TEST_CONNINFO=servers.postgres.conninfo("postgres", "postgres"),
        TICKETPAY_TEST_BROKERS=servers.kafka.bootstrap,
        TICKETPAY_TEST_REDIS_SERVER=shutil.which("redis-server") or "redis-server")


def results(name, path, env, note):
    """[(passed, claim)] of one program; everything else it says becomes notes."""
    if path is None:
        return [(False, "%s is built" % name)]
    try:
        done = subprocess.run([path], env=env, stdin=subprocess.DEVNULL, timeout=240, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        code, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as e:
        code, output = "none, it was stopped after 240 s", e.stdout or b""
    out, failed = [], False
    for line in output.decode("utf-8", "replace").splitlines():
        match = LINE.match(line)
        if match:
            passed = match.group(1) == "ok"
            failed = failed or not passed
            out.append((passed, "%s: %s" % (name, match.group(2))))
        elif not re.match(r"(TAP version \d+|\d+\.\.\d+)", line):
            note(line)
    if not out or (code != 0 and not failed):
        out.append((False, "%s: ended with exit code %s" % (name, code)))
    return out


def run_all(test):
    """The driver wants the plan first or last: it comes last here."""
    env = servers_for(test.servers)
    number = bad = 0
    for name in PROGRAMS:
        for passed, claim in results(name, find(test.build, name), env, test.note):
            number += 1
            bad += not passed
            tap.say("%s %d - %s" % ("ok" if passed else "not ok", number, claim))
    tap.say("1..%d" % number)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(tap.with_servers(__file__, run_all))
