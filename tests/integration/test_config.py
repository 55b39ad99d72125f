#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the configuration or the database is said before READY, with exit code 78."""

import os
import re

from harness.daemon import Run
from harness.tap import case, cases_of, main

# A breach of each kind of rule: the line, what the message must name, what it says is allowed.
BREACHES = {
    "an_integer_below_its_minimum": (
        "batch = { max_events = 0; };", "batch.max_events", "1 to "),
    "an_integer_above_its_maximum": (
        "limits = { stop_ms = 999999999; };", "limits.stop_ms", "1000 to "),
    "a_ten_digit_integer": (
        "lock = { wait_ms = 4294967296; };", "lock.wait_ms", None),
    "a_ten_digit_hexadecimal_integer": (
        "lock = { wait_ms = 0x1000003E8; };", "lock.wait_ms", None),
    "a_ten_digit_integer_with_l": (
        "lock = { wait_ms = 4294968296L; };", "lock.wait_ms", None),
    "a_string_for_an_integer": (
        'batch = { max_events = "many"; };', "batch.max_events", None),
    "an_integer_for_a_string": ("kafka = { topic = 5; };", "kafka.topic", None),
    "a_float_for_an_integer": (
        "batch = { max_events = 1.5; };", "batch.max_events", None),
    "an_integer_for_a_boolean": (
        "database = { prepare = 1; };", "database.prepare", "true"),
    "a_string_for_a_list": (
        'kafka = { properties = "a=b"; };', "kafka.properties", None),
    "a_word_that_is_none_of_its_values": (
        'lock = { provider = "memcached"; };', "lock.provider", "redis, database"),
    "another_word_that_is_none_of_its_values": (
        'lock = { fallback = "drop"; };', "lock.fallback", "database, wait"),
    "an_empty_string": ('kafka = { topic = ""; };', "kafka.topic", None),
    "an_unknown_key": ("batch = { max_event = 5; };", "batch.max_event", "max_events"),
    "an_unknown_section": ("batches = { max_events = 5; };", "batches", None),
    "a_syntax_error": ("batch = { max_events = ; };", "", None),
    "a_key_given_twice": ("batch = { max_events = 5; max_events = 6; };", "duplicate", None),
    "a_transaction_longer_than_the_lease": (
        "database = { transaction_timeout_ms = 6000; };", "database.transaction_timeout_ms",
        "lock.lease_ms"),
    "a_lock_wait_longer_than_the_transaction": (
        "lock = { wait_ms = 5000; };", "lock.wait_ms", "database.transaction_timeout_ms"),
    "a_property_that_breaks_a_guarantee": (
        'kafka = { properties = [ "enable.auto.commit=true" ]; };', "enable.auto.commit", None),
    "a_property_that_runs_programs": (
        'kafka = { properties = [ "sasl.kerberos.kinit.cmd=touch /tmp/x" ]; };',
        "sasl.kerberos.kinit.cmd", None),
    "a_property_that_nobody_knows": (
        'kafka = { properties = [ "no.such.thing=1" ]; };', "no.such.thing", None),
    "a_property_without_a_value": (
        'kafka = { properties = [ "session.timeout.ms" ]; };', "kafka.properties", None),
}


def ticketpayd(t, *arguments):
    return Run([t.program("ticketpayd"), *arguments], cwd=t.workspace)


def written(t, text, name="test.conf"):
    path = os.path.join(t.directory(), name)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    return path


@cases_of([("refuses_" + name, breach) for name, breach in BREACHES.items()])
def refuses(t, line, key, allowed):
    """Exit 78; the message names file, line, key and what is allowed, and is one line."""
    path = written(t, "/* the third line is wrong */\n\n%s\n" % line)
    for mode in ((), ("--check-config",), ("--print-config",)):
        run = ticketpayd(t, "-c", path, *mode)
        assert run.code == 78, run
        assert key in run.err, run
        assert path + ":3:" in run.err or "%s:3:" % os.path.basename(path) in run.err, run
        if allowed:
            assert allowed in run.err, run
        assert len(run.err.strip().splitlines()) == 1, run


def key_table(t):
    """(section, key, what is allowed) of every setting, as the daemon itself tells them."""
    section = allowed = None
    for line in ticketpayd(t, "--print-config").out.splitlines():
        if match := re.match(r"(\w+) = \{", line):
            section = match.group(1)
        elif match := re.match(r"\t# allowed: ([^;]*)", line):
            allowed = match.group(1)
        elif match := re.match(r"\t(\w+) = (.)", line):
            yield section, match.group(1), allowed, match.group(2) in "[("


def breaches(allowed, is_list):
    """Values in libconfig's syntax that this rule forbids, each with what the message must say."""
    if is_list:
        return [("5", None), ('"text"', None)]
    if match := re.fullmatch(r"(\d+) to (\d+) bytes", allowed):
        low, high = map(int, match.groups())
        empty = [('""', None)] if low > 0 else []
        return [*empty, ('"%s"' % ("x" * (high + 1)), str(high)), ("5", None), ("true", None)]
    if match := re.fullmatch(r"(\d+) to (\d+)", allowed):
        low, high = map(int, match.groups())
        return [(str(low - 1), allowed), (str(high + 1), allowed), ('"5"', None), ("1.5", None)]
    return [('"nonsense"', allowed), ("[ ]", None)]


@case
def refuses_a_breach_of_every_rule_of_the_key_table(t):
    """Generated from --print-config: exit 78, and file, line, key and what is allowed."""
    table = list(key_table(t))
    assert len(table) > 30, table
    tried = 0
    for section, key, allowed, is_list in table:
        for value, says in breaches(allowed, is_list):
            path = written(t, "\n%s = {\n%s = %s;\n};\n" % (section, key, value))
            run = ticketpayd(t, "-c", path)
            for part in ("%s:3:" % path, "%s.%s" % (section, key), says or ""):
                assert run.code == 78 and part in run.err, "%s\n%s" % (part, run)
            tried += 1
    t.note("%d breaches of %d keys", tried, len(table))


@cases_of([("refuses_on_the_command_line_" + name, (argument, key)) for name, argument, key in (
    ("an_integer_below_its_minimum", "batch.max_events=0", "batch.max_events"),
    ("a_ten_digit_integer", "lock.wait_ms=4294967296", "lock.wait_ms"),
    ("a_key_without_a_value", "batch.max_events", "section.key=value"),
    ("a_number_with_a_tail", "lock.wait_ms=5x", "lock.wait_ms"),
    ("a_wrong_word", "lock.scope=row", "lock.scope"),
    ("an_unknown_key", "batch.max_event=5", "batch.max_event"),
    ("a_forbidden_property", "kafka.properties=auto.offset.reset=latest", "auto.offset.reset"),
)])
def refuses_set(t, argument, key):
    run = ticketpayd(t, "--set", argument, "--check-config")
    assert run.code == 78 and key in run.err, run
    assert "--set" in run.err, run


@case
def a_missing_file_is_78_and_its_name_is_said(t):
    run = ticketpayd(t, "-c", "/nonexistent/x.conf", "--check-config")
    assert run.code == 78 and "/nonexistent/x.conf" in run.err, run


@cases_of([("usage_" + name, (arguments,)) for name, arguments in (
    ("unknown_option", ["--nonsense"]), ("c_without_a_file", ["-c"]),
    ("a_word_too_many", ["start"]))])
def usage_is_64(t, arguments):
    run = ticketpayd(t, *arguments)
    assert run.code == 64 and run.err, run


@case
def version_and_help(t):
    run = ticketpayd(t, "--version")
    assert run.code == 0 and re.match(r"ticketpayd \d+\.\d+", run.out), run
    run = ticketpayd(t, "--help")
    assert run.code == 0, run
    for word in ("-c", "--set", "--check-config", "--print-config", "--version"):
        assert word in run.out, run


@case
def options_may_stand_anywhere(t):
    path = written(t, "batch = { max_events = 17; };\n")
    for arguments in (["--print-config", "-c", path, "--set", "batch.linger_ms=3"],
                      ["--set", "batch.linger_ms=3", "-c", path, "--print-config"]):
        run = ticketpayd(t, *arguments)
        assert run.code == 0, run
        assert re.search(r"max_events = 17;", run.out), run
        assert re.search(r"linger_ms = 3;", run.out), run


@case
def check_config_touches_no_server(t):
    path = written(t, 'kafka = { brokers = "127.0.0.1:1"; };\nlock = { redis = "127.0.0.1:1"; };\n'
                      'database = { conninfo = "host=127.0.0.1 port=1"; };\n')
    run = ticketpayd(t, "-c", path, "--check-config")
    assert run.code == 0, run


@cases_of([("refuses_and_never_quotes_" + name, (line,)) for name, line in (
    ("a_password_in_the_conninfo", 'database = { conninfo = "dbname=x password=hush-hush"; };'),
    ("a_password_in_a_conninfo_uri", 'database = { conninfo = "postgresql://u:hush-hush@h/d"; };'),
    ("a_secret_among_the_properties",
     'kafka = { properties = [ "sasl.password=hush-hush" ]; };'))])
def refuses_secrets(t, line):
    """Secrets come from files only, and what is wrong with one is said without it."""
    path = written(t, line + "\n")
    for mode in ((), ("--check-config",), ("--print-config",)):
        run = ticketpayd(t, "-c", path, *mode)
        assert run.code == 78 and "hush" not in run.out + run.err, run


@case
def print_config_is_a_file_that_c_accepts_without_secrets(t):
    secrets = written(t, "sasl.password=hush-hush\n", "properties")
    os.chmod(secrets, 0o600)
    path = written(t, 'kafka = { properties_file = "%s"; topic = "a-b"; };\n'
                      "batch = { max_events = 17; };\n" % secrets)
    first = ticketpayd(t, "-c", path, "--print-config")
    assert first.code == 0 and "hush" not in first.out + first.err, first
    again = ticketpayd(t, "-c", written(t, first.out), "--print-config")
    assert again.code == 0, again

    def settings(text):
        """Without the comments: they say where a value comes from."""
        return re.sub(r"\s*#[^\n]*", "", text)
    assert settings(first.out) == settings(again.out), "%s\n%s" % (first.out, again.out)
    assert 'topic = "a-b";' in again.out and "max_events = 17;" in again.out, again


# ---- what only the servers know

def ends_with_78(t, world, pattern):
    world.daemon.start(wait=False)
    code = world.daemon.child.wait(20, "the daemon")
    log = world.daemon.log()
    assert code == 78, "exit %d: %s" % (code, log)
    assert not world.daemon.ready
    assert re.search(pattern, log), log


@case
def a_missing_database_is_78(t):
    world = t.world()
    world.daemon.configure(database__conninfo=world.postgres.conninfo("nowhere"))
    ends_with_78(t, world, "nowhere")


@case
def a_database_without_tables_is_78_and_names_the_cure(t):
    ends_with_78(t, t.world(migrate=False), "ticketpayctl migrate")


@case
def a_missing_right_is_78(t):
    world = t.world()
    world.postgres.execute(world.database, "REVOKE INSERT ON payment FROM ticketpayd")
    ends_with_78(t, world, "payment")


@cases_of([("a_schema_%s_is_78" % name, (version,)) for name, version in (
    ("too_new", 1000), ("too_old", 0))])
def schema_version(t, version):
    world = t.world()
    world.sql("UPDATE schema_version SET version = %s", version)
    ends_with_78(t, world, "version %d" % version)


@case
def a_database_that_is_not_utf8_is_78(t):
    world = t.world(migrate=False)
    world.postgres.create_database("latin", "SQL_ASCII")
    # Even with tables of the right names and version.
    world.postgres.execute("latin", "CREATE TABLE schema_version (version int, applied_at "
                           "timestamptz); INSERT INTO schema_version VALUES (1, now()); "
                           "GRANT ALL ON schema_version TO PUBLIC")
    world.daemon.configure(database__conninfo=world.postgres.conninfo("latin"))
    ends_with_78(t, world, "UTF8|UTF-8")


@case
def a_wrong_password_is_78_and_not_in_the_log(t):
    world = t.world()
    hba = os.path.join(world.postgres.data, "pg_hba.conf")
    with open(hba, encoding="ascii") as file:
        before = file.read()

    def restore():
        with open(hba, "w", encoding="ascii") as out:
            out.write(before)
        world.postgres.execute("postgres", "SELECT pg_reload_conf()")
    t.cleanup(restore)
    with open(hba, "w", encoding="ascii") as out:
        out.write("local %s ticketpayd scram-sha-256\n%s" % (world.database, before))
    world.postgres.execute("postgres", "ALTER ROLE ticketpayd PASSWORD 'right'")
    world.postgres.execute("postgres", "SELECT pg_reload_conf()")
    passfile = written(t, "*:*:*:*:wrong-secret\n", "pgpass")
    os.chmod(passfile, 0o600)
    world.daemon.configure(database__passfile=passfile)
    ends_with_78(t, world, "(?i)password")
    assert "wrong-secret" not in world.daemon.log()


@case
def servers_that_are_down_at_start_are_waited_for(t):
    """PostgreSQL and the broker come up later; READY comes then."""
    world = t.world()
    world.send(world.factory(61).make(500))
    world.postgres.stop()
    t.cleanup(lambda: world.postgres.child.alive or world.postgres.start())
    world.daemon.start(wait=False)
    world.daemon.wait_status("PostgreSQL", 10)
    assert not world.daemon.ready and world.daemon.alive
    world.postgres.start()
    world.reconnect()
    world.daemon.wait_ready(15)
    world.finish(once=True)


if __name__ == "__main__":
    main(__file__)
