# SPDX-License-Identifier: Apache-2.0
"""Runs the cases of one file and prints TAP.

    from harness.tap import case, main
    @case
    def rows_are_exact(t): ...
    main(__file__)

A case's name is its claim. It fails by any exception. `t` is a Test: t.world(...) makes what the
case needs, t.note(...) says something for the log, t.servers has the file's shared servers.
"""

import argparse
import fnmatch
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback

from .process import Timeout
from .world import Servers, World

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
CASES = []


def case(function=None, seconds=180):
    """seconds: the case is given up after that."""
    def register(f):
        CASES.append((f.__name__, f, seconds))
        return f
    return register(function) if function else register


def cases_of(names, seconds=180):
    """One case for each (name, arguments) pair, from a function (t, *arguments)."""
    def register(f):
        for name, arguments in names:
            CASES.append((name, lambda t, a=arguments: f(t, *a), seconds))
        return f
    return register


def say(text=""):
    print(text, flush=True)


class Test:
    def __init__(self, build, workspace, servers):
        self.build, self.source, self.workspace, self.servers = build, SOURCE, workspace, servers
        self.cleanups = []
        self.reports = []
        self.serial = 0

    def note(self, text, *arguments):
        for line in (text % arguments if arguments else text).splitlines() or [""]:
            say("# " + line)

    def figure(self, text, *arguments):
        """A measurement; ./dev check prints it at its end."""
        self.note("figure: " + text, *arguments)

    def program(self, name):
        path = os.path.join(self.build, name)
        assert os.access(path, os.X_OK), "%s is not built" % path
        return path

    def directory(self, name="case"):
        self.serial += 1
        path = os.path.join(self.workspace, "%s-%d" % (name, self.serial))
        os.makedirs(path)
        return path

    def cleanup(self, function):
        """Called after the case, the last one first, however it ends."""
        self.cleanups.append(function)

    def on_failure(self, report):
        """report() is printed if the case fails."""
        self.reports.append(report)

    def world(self, **options):
        return World(self, **options)


def run_case(test, function, seconds):
    """None, or what went wrong."""
    def given_up(_number, _frame):
        raise Timeout("the case took longer than %d s" % seconds)

    signal.signal(signal.SIGALRM, given_up)
    signal.alarm(seconds)
    try:
        function(test)
        return None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as e:  # a case must not end the others
        lines = traceback.format_exception(e)
        if isinstance(e, AssertionError) and not isinstance(e, Timeout):
            lines = lines[-3:]
        signal.alarm(0)
        for report in test.reports:
            try:
                lines.append(report())
            except Exception as other:  # the report of a broken case may break as well
                lines.append("(no report: %s)" % other)
        return "".join(line if line.endswith("\n") else line + "\n" for line in lines)
    finally:
        signal.alarm(0)
        signal.alarm(60)  # for the cleanups
        while test.cleanups:
            try:
                test.cleanups.pop()()
            except Exception as e:
                say("# cleaning up: %s" % e)
        signal.alarm(0)
        test.reports.clear()


def build_directory(given):
    for path in (given, os.environ.get("TICKETPAY_BUILD"), os.getcwd(),
                 os.path.join(SOURCE, "build")):
        if path and (path is given or os.path.exists(os.path.join(path, "ticketpayd"))):
            return os.path.abspath(path)
    return os.path.join(SOURCE, "build")


def ended(number, _frame):
    sys.exit(128 + number)


def main(file):
    options = arguments()
    if options.list:
        print("\n".join(name for name, _, _ in CASES))
        return
    chosen = [c for c in CASES if options.pattern in c[0] or
              fnmatch.fnmatch(c[0], options.pattern)]
    sys.exit(with_servers(file, lambda test: run(test, chosen)))


def arguments():
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--build", help="where ticketpayd was built (default: here, or build/)")
    parser.add_argument("--list", action="store_true", help="print the cases' names")
    parser.add_argument("pattern", nargs="?", default=os.environ.get("TICKETPAY_CASE", "*"),
                        help="only cases whose name contains or matches this")
    return parser.parse_args()


def with_servers(file, body):
    """body(test), with a workspace and servers that are gone afterwards; returns the exit code."""
    stem = os.path.basename(file).replace(".py", "")
    workspace = tempfile.mkdtemp(prefix="ticketpayd-%s-" % stem[:24])
    os.chmod(workspace, 0o755)  # PostgreSQL's user passes through it
    servers = Servers(workspace)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ended)
    try:
        return body(Test(build_directory(arguments().build), workspace, servers))
    except KeyboardInterrupt:
        say("Bail out! interrupted")
        return 130
    finally:
        servers.stop()
        if os.environ.get("TICKETPAY_KEEP"):
            say("# kept: " + workspace)
        else:
            shutil.rmtree(workspace, ignore_errors=True)


def run(test, chosen):
    say("1..%d" % len(chosen) if chosen else "1..0 # SKIP no case of this name")
    failed = 0
    for number, (name, function, seconds) in enumerate(chosen, 1):
        begin = time.monotonic()
        wrong = run_case(test, function, seconds)
        if wrong:
            failed += 1
            say("\n".join("# " + line for line in wrong.splitlines()))
        say("%s %d - %s" % ("not ok" if wrong else "ok", number, name))
        say("# %.1f s" % (time.monotonic() - begin))
    return 1 if failed else 0
