# SPDX-License-Identifier: Apache-2.0
"""Results as a table, CSV, Markdown and pictures, with the machine and versions they belong to."""

import csv
import glob
import os
import platform
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "kafka"))
from kafka import version as kafka_version  # noqa: E402  (tests/kafka/kafka.py)


def output(*command):
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              cwd=HERE, timeout=60, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"model name\s*: (.*)", file.read())
    return found.group(1) if found else platform.machine()


def memory_gib():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def surroundings():
    """What a figure means nothing without."""
    servers = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))
    redis = re.search(r"v=(\S+)", output("redis-server", "--version"))
    dirty = " and changes" if output("git", "status", "--porcelain", "-uno") else ""
    return {
        "commit": (output("git", "rev-parse", "--short=10", "HEAD") or "unknown") + dirty,
        "machine": "%d CPUs (%s), %.0f GiB" % (os.cpu_count(), cpu_model(), memory_gib()),
        "kernel": platform.release(),
        "PostgreSQL": output(servers[-1], "--version").split()[2] if servers else "?",
        "Kafka": kafka_version(),
        "librdkafka": output("pkg-config", "--modversion", "rdkafka") or "?",
        "Redis": redis.group(1) if redis else "?",
    }


def shown(value):
    if isinstance(value, float):
        return "%.0f" % value if abs(value) >= 100 else "%.3g" % value
    return "" if value is None else str(value)


class Report:
    """
    out:     directory for NAME.csv, NAME.md and pictures
    columns: in the order in which they are shown; rows are dicts
    """

    def __init__(self, name, out, title, columns):
        self.name, self.out, self.title, self.columns = name, out, title, columns
        self.rows = []
        self.pictures = []
        self.facts = surroundings()
        self.command = "./dev bench " + " ".join([name.partition("-")[0], *sys.argv[1:]])
        os.makedirs(out, exist_ok=True)

    def add(self, **row):
        self.rows.append({k: float("%.5g" % v) if isinstance(v, float) else v
                          for k, v in row.items()})
        self.write()  # an interrupted run leaves what it has measured

    def path(self, suffix):
        return os.path.join(self.out, self.name + suffix)

    def cells(self):
        return [self.columns] + [[shown(row.get(c)) for c in self.columns] for row in self.rows]

    def write(self):
        with open(self.path(".csv"), "w", encoding="utf-8", newline="") as file:
            for key, value in {"command": self.command, **self.facts}.items():
                file.write("# %s: %s\n" % (key, value))
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows([row.get(c) for c in self.columns] for row in self.rows)
        with open(self.path(".md"), "w", encoding="utf-8") as file:
            file.write(self.markdown())

    def markdown(self):
        head, *rows = self.cells()
        lines = ["| %s |" % " | ".join(head), "|%s|" % "|".join("---" for _ in head)]
        lines += ["| %s |" % " | ".join(row) for row in rows]
        lines += ["", "`%s`" % self.command, "",
                  "; ".join("%s %s" % item for item in self.facts.items()), ""]
        lines += ["![%s](%s)" % (self.title, os.path.basename(p)) for p in self.pictures]
        return "\n".join(lines) + "\n"

    def print(self):
        cells = self.cells()
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        print(self.title)
        for row in cells:
            print("  ".join(c.ljust(w) if i == 0 else c.rjust(w)
                            for i, (c, w) in enumerate(zip(row, widths))).rstrip())
        for key, value in self.facts.items():
            print("%-10s %s" % (key, value))
        print("written to %s" % self.out, flush=True)

    # ---- pictures

    def bars(self, value, rows):
        """A bar for each row; nothing without gnuplot."""
        data = "\n".join('"%s" %.0f' % (r["run"].replace('"', ""), r[value]) for r in rows)
        self.plot("", """
            set style fill solid 0.7
            set xrange [0:*]
            set offsets 0, graph 0.1, 0.5, 0.5
            set yrange [] reverse
            set xlabel "{value}"
            set ytics scale 0 noenhanced
            set grid xtics
            plot $data using ($2/2):0:($2/2):(0.35):ytic(1) with boxxy notitle lc rgb "#30638e", \\
                 $data using 2:0:2 with labels left offset 0.5,0 font ",8" notitle
            """.format(value=value), {"data": data}, height=120 + 18 * len(rows))

    def curves(self, suffix, xlabel, ylabel, curves, settings=""):
        """curves: name -> [(x, y)]"""
        blocks = {"c%d" % i: "\n".join("%s %s" % point for point in points)
                  for i, points in enumerate(curves.values())}
        plots = ", ".join('$c%d using 1:2 with linespoints lw 2 pt 7 ps 0.4 title "%s"' % (i, name)
                          for i, name in enumerate(curves))
        self.plot(suffix, 'set xlabel "%s"\nset ylabel "%s"\nset grid\nset key below\n'
                  "%s\nplot %s" % (xlabel, ylabel, settings, plots), blocks)

    def plot(self, suffix, script, blocks, height=480):
        if not shutil.which("gnuplot") or not any(blocks.values()):
            return
        path = self.path(suffix + ".png")
        text = 'set terminal pngcairo size 900,%d font "sans,10"\n' % height
        text += 'set output "%s"\n' % path
        text += 'set title "%s" noenhanced\n' % self.title
        text += "".join("$%s << EOD\n%s\nEOD\n" % block for block in blocks.items()) + script
        done = subprocess.run(["gnuplot"], input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            print("gnuplot: " + done.stderr, file=sys.stderr)
        elif path not in self.pictures:
            self.pictures.append(path)
            self.write()
