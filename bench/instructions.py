#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions an event of the daemon's own stages, counted by valgrind: the same on any machine.

A stage runs with two counts of events, so that what it costs to begin falls out of the difference.
The budget is bench/instructions.budget; more than a tenth over it is a failure.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUDGET = os.path.join(HERE, "instructions.budget")
STAGES = ("decode", "batch", "decide", "encode")
FEW, MANY, BATCH = 2000, 6000, 1000
ALLOWED = 1.10


def callgrind(program, stage, events, out="/dev/null"):
    """What valgrind says; the profile goes to `out`."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out, program, stage,
               "--batch", str(BATCH), "--events", str(events)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=300, check=False)
    assert done.returncode == 0, "%s\n%s" % (" ".join(command), done.stderr)
    return done.stderr


def collected(program, stage, events):
    said = callgrind(program, stage, events)
    found = re.search(r"Collected : (\d+)", said)
    assert found, said
    return int(found.group(1))


def by_function(program, stage, events):
    """function -> instructions, its callees' not included."""
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, "callgrind.out")
        callgrind(program, stage, events, out)
        text = subprocess.run(["callgrind_annotate", "--threshold=100", out], capture_output=True,
                              text=True, timeout=60, check=True).stdout
    found = {}
    for count, name in re.findall(r"^ *([\d,]+) \([^)]*\) +[^ ]*?:([\w.']+) \[", text, re.M):
        found[name] = found.get(name, 0) + int(count.replace(",", ""))
    return found


def profile(build, most):
    """(stage, [(function, instructions an event)]), the costliest first."""
    program = os.path.join(build, "bench", "stages")
    for stage in STAGES:
        few, many = (by_function(program, stage, n) for n in (FEW, MANY))
        cost = {name: (n - few.get(name, 0)) / (MANY - FEW) for name, n in many.items()}
        yield stage, sorted(cost.items(), key=lambda item: -item[1])[:most]


def measure(build):
    """stage -> instructions an event."""
    program = os.path.join(build, "bench", "stages")
    found = {stage: (collected(program, stage, MANY) - collected(program, stage, FEW))
             / (MANY - FEW) for stage in STAGES}
    found["batch"] -= found["decode"]  # the program cannot collect without decoding
    return {stage: round(count) for stage, count in found.items()}


def built_with(build):
    """Other compilers count otherwise."""
    with open(os.path.join(build, "Makefile"), encoding="utf-8") as file:
        text = file.read()
    value = lambda name: re.search(r"^%s = *(.*)$" % name, text, re.M).group(1)
    version = subprocess.run([*value("CC").split(), "-dumpfullversion"], capture_output=True,
                             text=True, check=True).stdout.strip()
    return " ".join([value("CC"), version, platform.machine(), value("CFLAGS"),
                     value("SANITIZE_FLAGS")]).strip()


def budget():
    """(what it was built with, stage -> instructions)"""
    with open(BUDGET, encoding="ascii") as file:
        lines = [line.split(None, 1) for line in file if line.strip() and line[0] != "#"]
    found = {name: value.strip() for name, value in lines}
    return found.pop("compiler"), {stage: int(value) for stage, value in found.items()}


def over(found, allowed):
    """Sentences about the stages that cost too much."""
    return ["%s takes %d instructions an event, its budget is %d" % (stage, count, allowed[stage])
            for stage, count in found.items() if count > allowed[stage] * ALLOWED]


def update(build, found):
    with open(BUDGET, "w", encoding="ascii") as file:
        file.write("# SPDX-License-Identifier: Apache-2.0\n"
                   "# Instructions an event; written by ./dev bench instructions --update\n")
        file.write("compiler %s\n" % built_with(build))
        file.writelines("%s %d\n" % item for item in found.items())


def main():
    parser = argparse.ArgumentParser(prog="./dev bench instructions", description=__doc__)
    parser.add_argument("--update", action="store_true", help="what is measured is the new budget")
    parser.add_argument("--functions", type=int, default=0, metavar="N",
                        help="and the N functions that execute most, of each stage (that of batch "
                        "holds decode's)")
    options = parser.parse_args()
    build = os.path.join(HERE, "..", "build")
    found = measure(build)
    if options.update:
        update(build, found)
    compiler, allowed = budget()
    print("%-8s %13s %8s" % ("stage", "instructions", "budget"))
    for stage, count in found.items():
        print("%-8s %13d %8d" % (stage, count, allowed[stage]))
    for stage, functions in profile(build, options.functions) if options.functions else ():
        print("%s: %s" % (stage, ", ".join("%s %.0f" % item for item in functions)))
    if built_with(build) != compiler:
        print("built with %s, the budget is for %s" % (built_with(build), compiler))
        return 0
    for sentence in over(found, allowed):
        print(sentence)
    return 1 if over(found, allowed) else 0


if __name__ == "__main__":
    sys.exit(main())
