# SPDX-License-Identifier: Apache-2.0
"""What a benchmark says on standard error while it runs."""

import sys
import time


class Progress:
    """One line that is written over on a terminal; elsewhere a line every few seconds."""

    EVERY = 5

    def __init__(self, total=0):
        self.total, self.done = total, 0
        self.begin = time.monotonic()
        self.last = 0.0
        self.terminal = sys.stderr.isatty()

    def next(self, what):
        """The next of `total` runs."""
        self.done += 1
        self.last = 0.0
        self.say(what)

    def seconds(self):
        return time.monotonic() - self.begin

    def say(self, what):
        now = time.monotonic()
        if not self.terminal and self.last and now - self.last < self.EVERY:
            return
        self.last = now
        count = "%d/%d " % (self.done, self.total) if self.total else ""
        line = "bench: %3d s  %s%s" % (now - self.begin, count, what)
        if self.terminal:
            sys.stderr.write("\r\033[K" + line[:118])
        else:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def end(self):
        if self.terminal:
            sys.stderr.write("\r\033[K")
