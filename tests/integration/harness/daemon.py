# SPDX-License-Identifier: Apache-2.0
"""ticketpayd under a notify socket of ours, and ticketpayctl."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time

from .process import Child, tail, wait_until


def environment(**more):
    """Ours, less what would reach the daemon from whoever runs the tests."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("PG", "NOTIFY_", "WATCHDOG_", "LISTEN_"))
           and k not in ("JOURNAL_STREAM", "CREDENTIALS_DIRECTORY", "INVOCATION_ID")}
    env.update(more)
    return env


def libconfig(settings):
    """A file from {"section.key": value}; lists of strings, strings, booleans and integers."""
    sections = {}
    for key, value in settings.items():
        section, name = key.split(".", 1)
        sections.setdefault(section, []).append("%s = %s;" % (name, literal(value)))
    return "".join("%s = {\n\t%s\n};\n" % (s, "\n\t".join(lines)) for s, lines in sections.items())


def literal(value):
    if isinstance(value, (list, tuple)):
        return "[ %s ]" % ", ".join(literal(v) for v in value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"%s"' % value.replace("\\", "\\\\").replace('"', '\\"')
    return str(value)


class Notifications(threading.Thread):
    """What the daemon tells systemd: a list of (monotonic seconds, name, value)."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path = path
        self.heard = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.start()

    def run(self):
        while True:
            try:
                ready, _, _ = select.select([self.socket], [], [], 0.5)
                text = self.socket.recv(65536).decode("utf-8", "replace") if ready else ""
            except (OSError, ValueError):
                return
            now = time.monotonic()
            for line in text.splitlines():
                name, _, value = line.partition("=")
                self.heard.append((now, name, value))

    def close(self):
        self.socket.close()


class Daemon:
    def __init__(self, program, directory, settings, name="ticketpayd"):
        self.program, self.directory, self.name = program, directory, name
        self.settings = dict(settings)
        self.config_path = os.path.join(directory, name + ".conf")
        self.log_path = os.path.join(directory, name + ".log")
        self.child = None
        self.notifications = None
        self.starts = 0
        self.environment = {}  # added to what the daemon starts with

    def configure(self, **settings):
        """Python has no dot in names: database__conninfo is database.conninfo."""
        self.settings.update({k.replace("__", "."): v for k, v in settings.items()})

    def start(self, wait=True, arguments=()):
        assert not self.alive, "it runs already"
        with open(self.config_path, "w", encoding="utf-8") as out:
            out.write(libconfig(self.settings))
        self.starts += 1
        if self.notifications:
            self.notifications.close()
        self.notifications = Notifications("%s.%d" % (
            os.path.join(self.directory, self.name[:20] + ".notify"), self.starts))
        self.child = Child([self.program, "-c", self.config_path, *arguments], self.log_path,
                           env=environment(NOTIFY_SOCKET=self.notifications.path,
                                           **self.environment))
        if wait:
            self.wait_ready()
        return self

    @property
    def pid(self):
        return self.child.pid

    @property
    def alive(self):
        return self.child is not None and self.child.alive

    def wait_ready(self, seconds=30):
        def ready():
            assert self.child.alive, "%s ended with %s" % (self.name, self.child.popen.returncode)
            return self.ready
        wait_until(ready, seconds, lambda: "READY=1 (last status: %s)" % self.status)
        return self

    def told(self, *names, since=0.0):
        """(name, value) of what systemd was told since then of these names, in its order."""
        return [(name, value) for at, name, value in self.notifications.heard
                if name in names and at > since]

    @property
    def ready(self):
        return bool(self.told("READY"))

    @property
    def statuses(self):
        return [(at, value) for at, name, value in self.notifications.heard if name == "STATUS"]

    @property
    def status(self):
        return self.statuses[-1][1] if self.statuses else ""

    def wait_status(self, pattern, seconds, since=None):
        """A STATUS of now or later that matches; returns it."""
        since = time.monotonic() if since is None else since

        def found():
            assert self.child.alive, "%s ended with %s" % (self.name, self.child.popen.returncode)
            # What was said last before `since` still holds then.
            said = [s for at, s in self.statuses if at >= since] or [self.status]
            return next((s for s in said if re.search(pattern, s)), None)
        return wait_until(found, seconds, lambda: "STATUS matches /%s/, last: %r" % (
            pattern, self.status))

    def kill(self):
        self.child.kill()

    def terminate(self, seconds=20):
        """SIGTERM; the exit code."""
        self.child.signal(signal.SIGTERM)
        return self.child.wait(seconds, self.name)

    def close(self):
        if self.alive:
            self.child.kill()
        if self.notifications:
            self.notifications.close()

    def memory(self, name="VmHWM"):
        """MiB from /proc/PID/status: VmHWM is the most that was ever resident."""
        with open("/proc/%d/status" % self.pid, encoding="ascii") as file:
            for line in file:
                if line.startswith(name + ":"):
                    return int(line.split()[1]) / 1024
        return 0.0

    def log(self):
        return self.child.log() if self.child else ""

    def report(self):
        """For a failed case."""
        heard = ["%s=%s" % (n, v) for _, n, v in
                 (self.notifications.heard[-12:] if self.notifications else [])]
        return "the end of %s's log:\n%s\nits last notifications:\n%s" % (
            self.name, tail(self.log()), "\n".join(heard))


class Run:
    """A program that ran to its end."""

    def __init__(self, command, seconds=30, **options):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=seconds, check=False, env=environment(), **options)
        self.command = command
        self.code = done.returncode
        self.out = done.stdout.decode("utf-8", "replace")
        self.err = done.stderr.decode("utf-8", "replace")

    def __str__(self):
        return "%s: exit %d\nstdout: %s\nstderr: %s" % (
            " ".join(self.command), self.code, tail(self.out, 20), tail(self.err, 20))


class Ctl:
    """ticketpayctl as the owner of the tables."""

    def __init__(self, program, settings, conninfo):
        self.base = [program]
        for key, value in {**settings, "database.conninfo": conninfo}.items():
            if not isinstance(value, (list, tuple)):
                text = value if isinstance(value, str) else literal(value)
                self.base += ["--set", "%s=%s" % (key, text)]

    def run(self, *verb):
        return Run([*self.base, *map(str, verb)])

    def ok(self, *verb):
        run = self.run(*verb)
        assert run.code == 0, str(run)
        return run

    def json(self, *verb):
        return json.loads(self.ok(*verb, "--json").out)
