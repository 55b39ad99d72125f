# SPDX-License-Identifier: Apache-2.0
"""Children that die with us, free ports, waiting for a condition."""

import ctypes
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "kafka"))
from kafka import free_port  # noqa: E402, F401  (tests/kafka/kafka.py)

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


class Timeout(AssertionError):
    """A condition did not come true before its deadline."""


def wait_until(condition, seconds, what, every=0.02):
    """Return the first true value of condition(); `what` may be a function, called when it failed."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            text = what() if callable(what) else what
            raise Timeout("not within %g s: %s" % (seconds, text))
        time.sleep(every)


class Child:
    """A process of ours. It is signalled by pid alone, and killed when we die (so start it from the
    main thread: the kernel means the thread that forked)."""

    def __init__(self, command, log_path, user=None, env=None, cwd=None, death=signal.SIGKILL):
        def before_exec():
            LIBC.prctl(PR_SET_PDEATHSIG, death)

        # A child that other users' files are not for must not inherit a directory it cannot enter.
        options = {"user": user, "group": user, "extra_groups": []} if user else {}
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self.popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
                cwd=cwd or os.path.dirname(log_path), preexec_fn=before_exec,
                start_new_session=True, **options)

    @property
    def pid(self):
        return self.popen.pid

    @property
    def alive(self):
        return self.popen.poll() is None

    def signal(self, number):
        if self.alive:
            os.kill(self.pid, number)

    def freeze(self):
        """SIGSTOP; on return no thread of it runs any more."""
        self.signal(signal.SIGSTOP)
        # Not reaped: Popen wants to hear of its end, too.
        told = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert told.si_code == os.CLD_STOPPED, "it ended by itself"

    def thaw(self):
        self.signal(signal.SIGCONT)

    def wait(self, seconds, what="the process"):
        """The exit code; negative for a signal."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Timeout("not within %g s: the end of %s" % (seconds, what)) from None

    def kill(self):
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()


def tail(text, lines=40):
    return "\n".join(text.splitlines()[-lines:])
