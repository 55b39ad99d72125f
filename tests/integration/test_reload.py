#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: a broken file changes nothing, a good one is taken without a pause."""

import signal

from harness.daemon import libconfig
from harness.process import wait_until
from harness.tap import case, main
from harness.world import Feeder


def write(daemon, text):
    with open(daemon.config_path, "w", encoding="utf-8") as out:
        out.write(text)


def hup(daemon):
    before = sum(1 for _, name, _ in daemon.notifications.heard if name == "RELOADING")
    daemon.child.signal(signal.SIGHUP)
    wait_until(lambda: sum(1 for _, name, _ in daemon.notifications.heard
                           if name == "RELOADING") > before, 10, "RELOADING=1")


@case
def a_broken_and_a_good_file_under_load(t):
    world = t.world()
    world.daemon.start()
    feeder = Feeder(world, world.factory(61), 2000)
    world.wait_decided(2000)

    write(world.daemon, "batch = { max_events = 0; };\n")
    hup(world.daemon)
    wait_until(lambda: "the settings stay as they are: " in world.daemon.log(), 10, "it is said")
    assert "batch.max_events: 0 is below 1" in world.daemon.log()

    good = {**world.daemon.settings, "batch.max_events": 7, "log.level": "debug",
            "kafka.group": "another"}
    write(world.daemon, libconfig(good))
    hup(world.daemon)
    wait_until(lambda: "need a restart: kafka.group" in world.daemon.log(), 10, "it is taken")
    marked = len(world.daemon.log())
    wait_until(lambda: world.daemon.log()[marked:].count("7 records: ") >= 3, 20,
               "batches are of 7 records, and log.level is debug")
    assert world.daemon.alive
    feeder.stop()
    world.finish()


if __name__ == "__main__":
    main(__file__)
