# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: servers, daemon, events, oracle, TAP.

    process    children that die with us, ports, waiting for a condition
    postgres, redis_server, broker    throw-away servers
    daemon     ticketpayd under a notify socket of ours, and ticketpayctl
    proxy      between the daemon and PostgreSQL: sees COMMIT, cuts, delays
    events     what is produced, from a seed; outcomes: what was published
    oracle     judges both and the database; shares no code with the daemon
    world      one case's database, topics, group and daemon
    tap        runs the cases of a file
"""
