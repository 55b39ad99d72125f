# SPDX-License-Identifier: Apache-2.0
"""A throw-away PgBouncer in transaction mode, on a free loopback port, before a case's PostgreSQL."""

import os
import pwd
import shutil
import socket

from .process import Child, free_port, tail, wait_until

SETTINGS = """\
[databases]
* = host={socket} port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {pool}
"""


class PgBouncer:
    """pool: sessions with PostgreSQL; fewer than there are clients mixes them."""

    def __init__(self, directory, postgres, pool):
        self.directory = os.path.join(directory, "pgbouncer")
        self.postgres, self.pool = postgres, pool
        self.user = postgres.user  # it refuses root, too
        self.child = None
        self.port = free_port()

    def file(self, name, text=None):
        path = os.path.join(self.directory, name)
        if text is not None:
            with open(path, "w", encoding="ascii") as out:
                out.write(text)
        return path

    def start(self):
        """Start it, or start it again."""
        program = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
        assert program, "pgbouncer is not installed (./dev check installs it)"
        os.makedirs(self.directory, exist_ok=True)
        if self.user:
            account = pwd.getpwnam(self.user)
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        users = self.file("users", '"%s" ""\n' % self.postgres.DAEMON)
        settings = self.file("pgbouncer.ini", SETTINGS.format(
            socket=self.postgres.directory, server_port=self.postgres.port, port=self.port,
            users=users, pool=self.pool))
        self.child = Child([program, settings], self.file("log"), user=self.user)
        wait_until(lambda: self.answers() or not self.child.alive, 20, "PgBouncer listens")
        assert self.child.alive, "PgBouncer did not start:\n" + tail(self.child.log())
        return self

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def conninfo(self, database):
        return "host=127.0.0.1 port=%d dbname=%s user=%s" % (
            self.port, database, self.postgres.DAEMON)

    def stop(self):
        if self.child:
            self.child.kill()
