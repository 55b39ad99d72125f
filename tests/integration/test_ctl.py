#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""ticketpayctl: the command line, migrate and stock."""

import os
import threading

from harness.daemon import Run
from harness.postgres import Postgres
from harness.process import free_port
from harness.shop import Shop, sound
from harness.tap import case, cases_of, main


# ---- the command line ------------------------------------------------------------------------------

@cases_of([("usage_" + name, (arguments,)) for name, arguments in (
    ("no_verb", []), ("unknown_verb", ["stocks"]), ("half_a_verb", ["stock"]),
    ("unknown_option", ["verify", "--jsn"]), ("option_of_another_verb", ["verify", "--total", "3"]),
    ("argument_missing", ["stock", "add", "1"]), ("argument_too_many", ["status", "now"]),
    ("value_missing", ["stock", "create", "1", "--total"]),
    ("total_missing", ["stock", "create", "1"]), ("total_negative", ["stock", "create", "1",
                                                                     "--total", "-1"]),
    ("id_zero", ["stock", "create", "0", "--total", "1"]), ("id_no_number", ["stock", "add", "x",
                                                                             "1"]),
    ("count_of_65_bits", ["stock", "add", "1", "9223372036854775808"]),
    ("plan_and_apply", ["migrate", "--plan", "--apply"]),
    ("seek_without_target", ["progress", "seek", "--partition", "0"]),
    ("seek_to_nowhere", ["progress", "seek", "--partition", "0", "--to", "-1"]),
)])
def usage(t, arguments):
    run = Run([t.program("ticketpayctl"), *arguments])
    assert run.code == 64 and run.err.startswith("ticketpayctl: "), str(run)


@case
def help_and_version_go_to_stdout(t):
    program = t.program("ticketpayctl")
    for arguments in (["--help"], ["verify", "--help"], ["--version"]):
        run = Run([program, *arguments])
        assert run.code == 0 and run.out and not run.err, str(run)
    assert "exit status" in Run([program, "--help"]).out


@case
def a_missing_configuration_file_is_78_and_options_stand_anywhere(t):
    shop = Shop(t)
    path = os.path.join(t.directory(), "ctl.conf")
    conninfo = shop.postgres.conninfo(shop.database, Postgres.OWNER)
    program = t.program("ticketpayctl")
    assert Run([program, "-c", path, "verify"]).code == 78
    with open(path, "w", encoding="ascii") as out:
        out.write('database = { conninfo = "%s"; };\n' % conninfo)
    assert Run([program, "stock", "-c", path, "create", "--total", "7", "1"]).code == 0
    assert Run([program, "stock", "add", "1", "-5", "-c", path]).code == 0
    assert shop.sql("SELECT total, remaining FROM ticket_type") == [(2, 2)]
    assert Run([program, "-c", path, "--set", "kafka.tpic=x", "verify"]).code == 78


@case
def a_server_that_is_down_is_2_a_wrong_database_is_78(t):
    shop = Shop(t, migrate=False)
    for verb in (["migrate"], ["verify"], ["status"], ["stock", "add", "1", "1"], ["resume"]):
        down = Run([t.program("ticketpayctl"), *verb, "--set",
                    "database.conninfo=host=127.0.0.1 port=%d" % free_port()])
        assert down.code == 2 and down.err, str(down)
    wrong = shop.ctl_with(" dbname=nowhere").run("verify")
    assert wrong.code == 78 and "nowhere" in wrong.err, str(wrong)
    secret = Run([t.program("ticketpayctl"), "verify", "--set",
                  "database.conninfo=password=geheim nonsense"])
    assert secret.code == 78 and "geheim" not in secret.err, str(secret)


@case
def without_tables_the_cure_is_named(t):
    shop = Shop(t, migrate=False)
    for verb in (["verify"], ["status"], ["stock", "add", "1", "1"], ["progress", "show"]):
        shop.refused(*verb, says="migrate --apply")


# ---- migrate ---------------------------------------------------------------------------------------

TABLES = ["consumer_progress", "dead_letter", "payment", "schema_version", "ticket_type"]


def tables(shop, schema="public"):
    return [r[0] for r in shop.sql("SELECT tablename FROM pg_tables WHERE schemaname = %s "
                                   "ORDER BY 1", schema)]


@case
def migrate_plans_then_applies_then_changes_nothing(t):
    shop = Shop(t, migrate=False)
    for plan in (["migrate"], ["migrate", "--plan"]):
        assert "1 initial" in shop.ctl.ok(*plan).out
        assert tables(shop) == []
    assert "applied 1 initial" in shop.ctl.ok("migrate", "--apply").out
    assert tables(shop) == TABLES
    before = shop.sql("SELECT version, applied_at FROM schema_version")
    assert "applied" not in shop.ctl.ok("migrate", "--apply").out
    assert "nothing to do" in shop.ctl.ok("migrate").out
    assert shop.sql("SELECT version, applied_at FROM schema_version") == before


@case
def migrate_works_in_the_first_schema_of_the_search_path(t):
    shop = Shop(t)
    shop.sql("CREATE SCHEMA shop AUTHORIZATION tickets")
    ctl = shop.ctl_with(" options='-csearch_path=shop,public'")
    ctl.ok("migrate", "--apply")
    assert tables(shop, "shop") == TABLES
    ctl.ok("stock", "create", 1, "--total", 3)
    assert shop.sql("SELECT count(*) FROM shop.ticket_type")[0][0] == 1
    assert shop.sql("SELECT count(*) FROM public.ticket_type")[0][0] == 0


@case
def what_plain_psql_has_made_is_known(t):
    shop = Shop(t, migrate=False)
    folder = os.path.join(t.source, "sql")
    for name in sorted(n for n in os.listdir(folder) if n[:1].isdigit()):
        shop.postgres.run_file(shop.database, os.path.join(folder, name))
    assert "nothing to do" in shop.ctl.ok("migrate").out
    assert shop.broken() == {}


@case
def two_migrations_at_once_are_one(t):
    shop = Shop(t, migrate=False)
    runs = []
    threads = [threading.Thread(target=lambda: runs.append(shop.ctl.run("migrate", "--apply")))
               for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.code for r in runs] == [0] * 4, "\n".join(map(str, runs))
    versions = shop.sql("SELECT version FROM schema_version")
    assert len(versions) == len(set(versions)), versions
    assert sum("applied 1 " in r.out for r in runs) == 1


@case
def a_newer_schema_and_another_encoding_are_refused(t):
    shop = Shop(t)
    shop.sql("INSERT INTO schema_version (version) VALUES (99)")
    for verb in (["migrate"], ["migrate", "--apply"], ["verify"], ["stock", "add", "1", "1"]):
        shop.refused(*verb, says="99")
    ascii_shop = Shop(t, migrate=False, encoding="SQL_ASCII")
    for verb in (["migrate"], ["migrate", "--apply"]):
        ascii_shop.refused(*verb, says="UTF8")
    assert tables(ascii_shop) == []


@case
def a_migration_that_fails_leaves_nothing(t):
    shop = Shop(t, migrate=False)
    shop.sql("CREATE TABLE dead_letter (x int)")  # in the way
    shop.refused("migrate", "--apply", says="dead_letter")
    assert tables(shop) == ["dead_letter"]


# ---- stock -----------------------------------------------------------------------------------------

@case
def stock_moves_both_columns_and_never_below_zero(t):
    shop = Shop(t)

    def stock():
        return shop.sql("SELECT id, name, total, remaining FROM ticket_type ORDER BY id")

    shop.ctl.ok("stock", "create", 1, "--total", 10, "--name", "Früh")
    assert stock() == [(1, "Früh", 10, 10)]
    shop.refused("stock", "create", 1, "--total", 99, says="exists")
    shop.sql("UPDATE ticket_type SET remaining = 4")
    shop.ctl.ok("stock", "add", 1, 5)
    assert stock() == [(1, "Früh", 15, 9)]
    shop.ctl.ok("stock", "add", 1, -9)
    assert stock() == [(1, "Früh", 6, 0)]
    shop.refused("stock", "add", 1, -1, says="below 0")
    shop.refused("stock", "add", 2, 1, says="no ticket type 2")
    top = 2**63 - 1
    shop.refused("stock", "add", 1, top, says="too many")
    shop.refused("stock", "add", 1, -top - 1, says="below 0")
    assert stock() == [(1, "Früh", 6, 0)]
    shop.ctl.ok("stock", "create", top, "--total", top)
    assert stock()[1] == (top, "", top, top)


@case
def a_sold_type_that_is_created_again_keeps_its_sales(t):
    shop = Shop(t)
    sound(shop)
    shop.sql("DELETE FROM ticket_type WHERE id = 1")
    assert "payment_has_stock" in shop.broken()
    shop.sql("ALTER TABLE ticket_type ADD CHECK (remaining BETWEEN 0 AND total)")
    shop.refused("stock", "create", 1, "--total", 5, says="confirmed")
    shop.ctl.ok("stock", "create", 1, "--total", 10)
    assert shop.sql("SELECT total, remaining FROM ticket_type WHERE id = 1") == [(10, 4)]
    assert shop.broken() == {}


main(__file__)
