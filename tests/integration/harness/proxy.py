# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy between the daemon and PostgreSQL that can see a COMMIT pass.

It follows the frontend's side of protocol version 3 just far enough: which query text each Query,
Parse, Bind and Execute stands for. Connections through it need sslmode=disable gssencmode=disable.
Threads serve it; a test sets a mode and waits for the counters.
"""

import re
import select
import socket
import struct
import threading

COMMIT = re.compile(rb"\s*(COMMIT|END)\b", re.I)
BEGIN = re.compile(rb"\s*(BEGIN|START\s+TRANSACTION)\b", re.I)
WRITES_PAYMENT = re.compile(rb"(INSERT\s+INTO|COPY)\s+payment\b", re.I)


def message(kind, body):
    return kind + struct.pack("!i", 4 + len(body)) + body


# Before an Execute: what it runs is no more what was bound, but this.
BIND_ROLLBACK = message(b"P", b"\0ROLLBACK\0\0\0") + message(b"B", bytes(8))


class Frontend:
    """The messages of one client, as they come by."""

    def __init__(self):
        self.buffer = b""
        self.started = False
        self.statements, self.portals = {}, {}
        self.pays = False  # this transaction writes payments

    def feed(self, data):
        """Take bytes; return [(message bytes, is it the COMMIT of a batch)]; keeps what is half."""
        self.buffer += data
        out = []
        while True:
            head = 1 if self.started else 0
            if len(self.buffer) < head + 4:
                return out
            length = struct.unpack_from("!i", self.buffer, head)[0] + head
            if len(self.buffer) < length:
                return out
            message, self.buffer = self.buffer[:length], self.buffer[length:]
            out.append((message, self.is_commit(message)))

    def is_commit(self, message):
        if not self.started:
            # SSLRequest and the like are 8 bytes; the startup message is longer and has no type.
            self.started = len(message) > 8
            return False
        text = self.executed(message[:1], message[5:])
        if text is None:
            return False
        if BEGIN.match(text):
            self.pays = False
        elif WRITES_PAYMENT.search(text):
            self.pays = True
        elif COMMIT.match(text):
            pays, self.pays = self.pays, False
            return pays
        return False

    def executed(self, kind, body):
        """The query text that this message runs, if it runs one."""
        if kind == b"Q":
            return body.rstrip(b"\0")
        if kind == b"P":
            name, text = body.split(b"\0", 2)[:2]
            self.statements[name] = text
        elif kind == b"B":
            portal, name = body.split(b"\0", 2)[:2]
            self.portals[portal] = self.statements.get(name, b"")
        elif kind == b"E":
            return self.portals.get(body.split(b"\0", 1)[0], b"")
        return None


class Link(threading.Thread):
    """One connection through the proxy."""

    def __init__(self, proxy, client):
        super().__init__(daemon=True)
        self.proxy, self.client = proxy, client
        self.server = None
        self.frontend = Frontend()
        self.answer_cuts = False  # the next bytes from the server end the connection

    def run(self):
        try:
            self.server = socket.create_connection(self.proxy.target, 5)
            for s in (self.client, self.server):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self.pump():
                pass
        except OSError:
            pass
        finally:
            self.close()
            self.proxy.links.discard(self)

    def pump(self):
        self.proxy.passing.wait()
        ready, _, _ = select.select([self.client, self.server], [], [], 1)
        self.proxy.passing.wait()
        if self.server in ready:
            data = self.server.recv(65536)
            if self.answer_cuts or not data:
                return False
            self.client.sendall(data)
        if self.client in ready:
            data = self.client.recv(65536)
            if not data:
                return False
            return self.forward(data)
        return True

    def forward(self, data):
        out = []
        for message, commits in self.frontend.feed(data):
            how = self.proxy.cut_now() if commits else None
            if how == "swallowed":
                self.server.sendall(b"".join(out))
                return False
            if how == "rolled back":
                out.append(BIND_ROLLBACK)
            out.append(message)
            if how == "forwarded":
                self.server.sendall(b"".join(out))
                return False
            if how == "answered":
                self.answer_cuts = True
        self.server.sendall(b"".join(out))
        return True

    def close(self):
        # A reset, so that the client learns of it at once whatever is still under way.
        for s in (self.client, self.server):
            if s:
                try:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    s.close()
                except OSError:
                    pass


class Proxy:
    """
    cut_commits(): how a batch's COMMIT ends: "answered" (PostgreSQL has committed, its answer is
    lost), "forwarded" (cut right after PostgreSQL was sent it), "swallowed" (it never was) or "rolled
    back" (nothing is cut; PostgreSQL answers as it does to the COMMIT of a failed transaction).
    """

    def __init__(self, target):
        self.target = target
        self.links = set()
        self.passing = threading.Event()
        self.passing.set()
        self.lock = threading.Lock()
        self.ways, self.every, self.count = [], 1, 0
        self.commits = 0   # seen, of batches
        self.cuts = []     # the way of each one cut
        self.refusing = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.refusing:
                client.close()
                continue
            link = Link(self, client)
            self.links.add(link)
            link.start()

    def cut_commits(self, ways, every, count):
        """Cut every `every`-th COMMIT, `count` times, in these ways by turns."""
        with self.lock:
            self.ways, self.every, self.count = ways, every, count

    def cut_now(self):
        with self.lock:
            self.commits += 1
            if self.count == 0 or self.commits % self.every:
                return None
            self.count -= 1
            way = self.ways[self.count % len(self.ways)]
            self.cuts.append(way)
            return way

    def freeze(self):
        """A black hole: connections stay, nothing passes."""
        self.passing.clear()

    def thaw(self):
        self.passing.set()

    def cut(self):
        """End every connection."""
        for link in list(self.links):
            for s in (link.client, link.server):
                try:
                    if s:
                        s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self.listener.close()
        self.passing.set()
        self.cut()
