# SPDX-License-Identifier: Apache-2.0
"""A throw-away PostgreSQL cluster: fsync on, a socket directory and a loopback port of its own."""

import glob
import os
import pwd
import shutil
import signal
import subprocess

import psycopg2

from .process import Child, free_port, tail, wait_until

SETTINGS = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{directory}'
fsync = on
synchronous_commit = on
full_page_writes = on
shared_buffers = 256MB
max_wal_size = 2GB
max_connections = 100
log_min_messages = warning
log_line_prefix = '%m [%p] %u@%d '
log_timezone = 'UTC'
timezone = 'UTC'
autovacuum_naptime = 10s
"""


def program(name):
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/" + name),
                   key=lambda path: int(path.split("/")[4]))
    path = found[-1] if found else shutil.which(name)
    assert path, "PostgreSQL's %s is not installed (./dev build installs it)" % name
    return path


class Postgres:
    """Roles: postgres (superuser), tickets (owner of the tables), ticketpayd (the daemon's)."""

    OWNER, DAEMON = "tickets", "ticketpayd"

    def __init__(self, directory):
        self.directory = directory
        self.data = os.path.join(directory, "data")
        self.log_path = os.path.join(directory, "postgres.log")
        self.child = None
        # PostgreSQL refuses root.
        self.user = "postgres" if os.geteuid() == 0 else None

    def create(self):
        os.makedirs(self.directory, exist_ok=True)
        if self.user:
            account = pwd.getpwnam(self.user)
            os.chown(self.directory, account.pw_uid, account.pw_gid)
            os.chmod(self.directory, 0o755)
        initdb = Child([program("initdb"), "-D", self.data, "-U", "postgres", "-A", "trust",
                        "-E", "UTF8", "--locale=C.UTF-8"], self.log_path, user=self.user)
        code = initdb.wait(60, "initdb")
        assert code == 0, "initdb failed:\n" + tail(initdb.log())
        self.port = free_port()
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="ascii") as out:
            out.write(SETTINGS.format(port=self.port, directory=self.directory))
        self.start()
        for role in (self.OWNER, self.DAEMON):
            self.execute("postgres", "CREATE ROLE %s LOGIN" % role)
        return self

    def start(self, wait=True):
        # Death: SIGQUIT is PostgreSQL's immediate shutdown, which takes its backends along.
        self.child = Child([program("postgres"), "-D", self.data], self.log_path, user=self.user,
                           death=signal.SIGQUIT)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        def ready():
            assert self.child.alive, "PostgreSQL did not start:\n" + tail(self.child.log())
            try:
                self.connect("postgres").close()
                return True
            except psycopg2.OperationalError:
                return False
        wait_until(ready, 30, lambda: "PostgreSQL answers\n" + tail(self.child.log()))

    def stop(self, how=signal.SIGINT):
        """SIGINT: fast, SIGQUIT: immediate (a crash), SIGTERM: smart (waits for clients)."""
        if self.child and self.child.alive:
            self.child.signal(how)
            self.child.wait(30, "PostgreSQL")

    def kill_backend(self, pid):
        """A backend crashes: PostgreSQL ends all of them, which is awaited, and recovers."""
        witness = self.connect("postgres")

        def ended():
            try:
                with witness.cursor() as q:
                    q.execute("SELECT")
                return False
            except psycopg2.Error:
                return True
        os.kill(pid, signal.SIGKILL)
        wait_until(ended, 20, "PostgreSQL ends the other sessions")

    def conninfo(self, database, user=None, tcp=False):
        return "host=%s port=%d dbname=%s user=%s" % (
            "127.0.0.1" if tcp else self.directory, self.port, database, user or self.DAEMON)

    def connect(self, database, user="postgres"):
        c = psycopg2.connect(self.conninfo(database, user))
        c.autocommit = True
        return c

    def create_database(self, name, encoding="UTF8"):
        self.execute("postgres", "CREATE DATABASE %s OWNER %s TEMPLATE template0 ENCODING '%s' "
                     "LC_COLLATE 'C' LC_CTYPE 'C'" % (name, self.OWNER, encoding))

    def execute(self, database, text):
        """As superuser, outside of any transaction."""
        c = self.connect(database)
        try:
            with c.cursor() as q:
                q.execute(text)
        finally:
            c.close()

    def run_file(self, database, path, user=None, **variables):
        """psql -f, the way the manual says."""
        command = [program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1",
                   *("--set=%s=%s" % item for item in variables.items()),
                   "-d", self.conninfo(database, user or self.OWNER), "-f", path]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False)
        assert done.returncode == 0, "psql -f %s: %s" % (path, done.stderr)
