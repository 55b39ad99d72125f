#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The connection is lost while COMMIT is under way: the progress row says what happened."""

from harness.process import wait_until
from harness.proxy import Proxy
from harness.tap import cases_of, main
from harness.world import Feeder

PLAIN = " sslmode=disable gssencmode=disable"


@cases_of([
    ("commit_answer_lost_100_times", (["answered", "forwarded"], 100, True)),
    ("commit_answer_lost_20_times_without_prepared_statements",
     (["answered", "forwarded"], 20, False)),
    ("commit_never_arrived_10_times", (["swallowed"], 10, True)),
    ("commit_answered_with_rollback_10_times", (["rolled back"], 10, True)),
    ("commit_answered_with_rollback_10_times_without_prepared_statements",
     (["rolled back"], 10, False)),
])
def cut(t, ways, count, prepare):
    world = t.world(batch__max_events=100, database__prepare=prepare)
    proxy = Proxy(("127.0.0.1", world.postgres.port))
    t.cleanup(proxy.close)
    world.daemon.configure(database__conninfo="host=127.0.0.1 port=%d dbname=%s user=%s%s" % (
        proxy.port, world.database, world.postgres.DAEMON, PLAIN))
    feeder = Feeder(world, world.factory(21), 2000)
    world.daemon.start()
    world.wait_decided(500)
    proxy.cut_commits(ways, 3, count)
    wait_until(lambda: len(proxy.cuts) == count, 120, lambda: "%d commits were cut, %d seen; %s" % (
        len(proxy.cuts), proxy.commits, world.daemon.status))
    assert world.daemon.alive
    before = world.decided()
    world.wait_decided(before + 500, 10, " after the last cut")
    feeder.stop()
    oracle = world.finish()
    t.note("%s, %d batches seen; %d records", {w: proxy.cuts.count(w) for w in ways}, proxy.commits,
           len(oracle.sent))


if __name__ == "__main__":
    main(__file__)
