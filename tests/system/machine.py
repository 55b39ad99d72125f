# SPDX-License-Identifier: Apache-2.0
"""A machine under a real systemd: one booted in systemd-nspawn, or the one that we run on."""

import os
import shlex
import signal
import subprocess

import kafka
from harness.process import Child, tail, wait_until

ENVIRONMENT = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
               "HOME=/root", "LANG=C.UTF-8", "TERM=dumb", "DEBIAN_FRONTEND=noninteractive",
               "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0"]


class Ran:
    """A command that has ended."""

    def __init__(self, command, done):
        self.command, self.code = command, done.returncode
        self.out = done.stdout.decode("utf-8", "replace")
        self.err = done.stderr.decode("utf-8", "replace")

    def __str__(self):
        return "%s: exit %d\nstdout: %s\nstderr: %s" % (
            self.command, self.code, tail(self.out, 30), tail(self.err, 30))


class Machine:
    """Commands are lines for a shell, run by root, as a person at a terminal would type them."""

    prefix = []
    broker = None  # its address, once there is one
    keeps_all = True  # does it keep every record?

    def argv(self, command):
        return [*self.prefix, *ENVIRONMENT, "bash", "-c", "cd /; " + command]

    def run(self, command, seconds=60, given=b""):
        # nsenter stops itself when what it started is stopped, as at the end of a machine: killed
        # with us it does not keep the machine from ending.
        return Ran(command, subprocess.run(self.argv(command), input=given, capture_output=True,
                                           timeout=seconds, check=False,
                                           preexec_fn=kafka.die_with_parent))

    def ok(self, command, seconds=60, given=b""):
        """What it printed, without white space at the ends."""
        ran = self.run(command, seconds, given)
        assert ran.code == 0, str(ran)
        return ran.out.strip()

    def begin(self, command, log_path, **options):
        """A command that goes on while we do other things; a subprocess.Popen."""
        with open(log_path, "ab") as log:
            return subprocess.Popen(self.argv(command), stdout=log, stderr=log,
                                    start_new_session=True, preexec_fn=kafka.die_with_parent,
                                    **options)

    def write(self, path, text, mode=0o644):
        self.ok("mkdir -p %s; cat >%s; chmod %o %s" % (
            shlex.quote(os.path.dirname(path)), shlex.quote(path), mode, shlex.quote(path)),
            given=text.encode())

    # ---- systemd

    def show(self, unit, name):
        return self.ok("systemctl show --property=%s --value %s" % (name, unit))

    def active(self, unit):
        return self.show(unit, "ActiveState")

    def wait_active(self, unit, state, seconds):
        wait_until(lambda: self.active(unit) == state, seconds, lambda: "%s is %s, now: %s" % (
            unit, state, self.run("systemctl status %s" % unit)), every=0.1)


class Here(Machine):
    """The machine that we run on, given up to the test (autopkgtest)."""

    def boot(self):
        assert os.path.isdir("/run/systemd/system"), "this machine does not run under systemd"
        return self

    def stop(self):
        pass

    def log(self):
        return ""


class Nspawn(Machine):
    """
    Booted from a root that stays as it is: what is written goes to memory and is gone with it.
    Its only network is its own loopback.

    binds: directory of ours -> where it is seen, for reading only
    """

    def __init__(self, root, directory, binds):
        self.root, self.binds = root, binds
        self.log_path = os.path.join(directory, "console.log")
        self.child = None

    def boot(self):
        environment = dict(os.environ, SYSTEMD_NSPAWN_LOCK="0")  # nobody writes to the root
        # When we die it hears SIGTERM, and ends the machine before itself.
        self.child = Child([
            "systemd-nspawn", "--quiet", "--directory=" + self.root, "--volatile=overlay",
            "--machine=ticketpayd-test-%d" % os.getpid(), "--register=no",
            "--keep-unit", "--boot", "--console=pipe", "--private-network",
            *("--bind-ro=%s:%s" % pair for pair in self.binds.items())],
            self.log_path, env=environment, death=signal.SIGTERM)

        def running():
            assert self.child.alive, "systemd-nspawn ended:\n" + tail(self.child.log())
            # Its first children are helpers: the last one is the machine's init.
            with open("/proc/%d/task/%d/children" % (self.child.pid, self.child.pid),
                      encoding="ascii") as file:
                children = file.read().split()
            if not children:
                return False
            self.prefix = ["nsenter", "--target", children[0], "--all"]
            return self.run("systemctl is-system-running").out.strip() == "running"
        wait_until(running, 60, lambda: "it is running: %s\n%s" % (
            self.run("systemctl --failed"), self.log()), every=0.1)
        return self

    def stop(self):
        if not self.child or not self.child.alive:
            return
        self.child.signal(signal.SIGTERM)
        try:
            self.child.wait(30, "systemd-nspawn")
        except AssertionError:
            # Its leader is the init of a PID namespace: with it ends everything inside.
            if self.prefix:
                os.kill(int(self.prefix[2]), signal.SIGKILL)
            self.child.kill()
            self.child.wait(10, "systemd-nspawn")

    def log(self):
        return self.child.log() if self.child else ""
