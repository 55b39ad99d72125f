# SPDX-License-Identifier: Apache-2.0
"""What processes used: CPU seconds of a process and its children, memory."""

import os

TICK = os.sysconf("SC_CLK_TCK")


def stat(pid):
    """(parent's pid, CPU seconds of it and of the children it has waited for); None: it is gone."""
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # proc(5): fields 4 (ppid) and 14 to 17; the split begins with field 3.
    return int(fields[1]), sum(map(int, fields[11:15])) / TICK


def tree(pid):
    """{pid: CPU seconds} of the process and all below it."""
    children, seconds = {}, {}
    for name in os.listdir("/proc"):
        found = stat(int(name)) if name.isdigit() else None
        if found:
            children.setdefault(found[0], []).append(int(name))
            seconds[int(name)] = found[1]
    found, left = {}, [pid]
    while left:
        one = left.pop()
        if one in seconds:
            found[one] = seconds[one]
        left += children.get(one, [])
    return found


def cpu_seconds(pid):
    """User and system, of the whole tree, those that ended included."""
    before = tree(pid)
    for _ in range(100):
        # A child that ends between two looks is in neither its own nor its parent's figures, or in
        # both: believe two equal trees only.
        now = tree(pid)
        if now.keys() == before.keys():
            return sum(now.values())
        before = now
    return sum(before.values())


class Usage:
    """CPU seconds of several trees between two moments: Usage(postgres=1, kafka=2).since()."""

    def __init__(self, **pids):
        self.pids = pids
        self.begin = {name: cpu_seconds(pid) for name, pid in pids.items()}

    def since(self):
        return {name: cpu_seconds(pid) - self.begin[name] for name, pid in self.pids.items()}
