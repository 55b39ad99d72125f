# SPDX-License-Identifier: Apache-2.0
"""A throw-away Redis on a free loopback port, without persistence."""

import os
import shutil
import subprocess

import redis

from .process import Child, free_port, tail, wait_until


class Redis:
    def __init__(self, directory):
        self.directory = directory
        self.log_path = os.path.join(directory, "redis.log")
        self.child = None
        self.port = None

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    def start(self):
        """Start it, or start it again (empty) on the same port."""
        os.makedirs(self.directory, exist_ok=True)
        program = shutil.which("redis-server")
        assert program, "redis-server is not installed (./dev build installs it)"
        fresh = self.port is None
        for _ in range(5):
            if fresh:
                self.port = free_port()
            self.child = Child([program, "--bind", "127.0.0.1", "--port", str(self.port),
                                "--save", "", "--appendonly", "no", "--dir", self.directory],
                               self.log_path)
            if wait_until(lambda: self.answers() or not self.child.alive, 20,
                          "Redis answers") and self.child.alive:
                return self
        raise AssertionError("Redis did not start:\n" + tail(self.child.log()))

    def answers(self):
        try:
            with self.client() as c:
                return c.ping()
        except redis.exceptions.RedisError:
            return False

    def client(self):
        return redis.Redis(port=self.port, decode_responses=True, socket_timeout=5)

    def cli(self, *arguments):
        """redis-cli, the way a person would hold a lock."""
        done = subprocess.run(["redis-cli", "-p", str(self.port), *arguments],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=10, check=True)
        return done.stdout.strip()

    def stop(self):
        if self.child:
            self.child.kill()
