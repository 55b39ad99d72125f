#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A Debian root file system to boot: made once by debootstrap, then only read.

    root.py RELEASE               make it if it is not there; prints its directory
    root.py RELEASE SOURCE INTO   build the package of the tree SOURCE in it, INTO a directory

Besides the minimal system it has what stands for other hosts (Java, for Kafka), and in apt's cache
the packages that a case installs: the machine itself sees no network.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

MIRROR = os.environ.get("TICKETPAY_MIRROR")  # None: debootstrap's own
INCLUDE = "systemd,systemd-sysv,dbus,ca-certificates"
INSTALLED = ["default-jre-headless", "procps"]
FETCHED = ["postgresql", "redis-server", "kcat"]
# What the package needs, where the name has the ABI in it.
LIBRARIES = {
    "bookworm": ["libconfig9", "libhiredis0.14", "libjansson4", "libpq5", "librdkafka1"],
    "trixie": ["libconfig11", "libhiredis1.1.0", "libjansson4", "libpq5", "librdkafka1"],
}


class RootError(Exception):
    pass


def cache_directory(release):
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    recipe = repr((INCLUDE, INSTALLED, FETCHED, LIBRARIES[release]))
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:8]
    return os.path.join(base, "ticketpayd", "root-%s-%s" % (release, digest))


def run(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise RootError("%s:\n%s" % (" ".join(command), done.stdout.decode(errors="replace")[-3000:]))


def inside(directory, *command, options=()):
    """In the root, with the host's network; nothing is booted."""
    run(["systemd-nspawn", "--quiet", "--directory=" + directory, "--register=no", "--keep-unit",
         "--console=pipe", "--setenv=DEBIAN_FRONTEND=noninteractive", *options, *command])


def make(release, directory):
    print("making a Debian root (%s), once" % release, file=sys.stderr)
    run(["debootstrap", "--variant=minbase", "--include=" + INCLUDE, release, directory,
         *([MIRROR] if MIRROR else [])])
    apt = ["apt-get", "-q", "-y", "-o", "Acquire::Retries=3", "--no-install-recommends"]
    inside(directory, *apt, "install", *INSTALLED)
    inside(directory, *apt, "install", "--download-only", *FETCHED, *LIBRARIES[release])
    # Empty: each machine makes an id of its own. (Missing: it would be a first boot, with every
    # service enabled and questions asked.)
    write(os.path.join(directory, "etc/machine-id"), "")
    write(os.path.join(directory, "etc/hostname"), "tickets\n")
    write(os.path.join(directory, "etc/hosts"), "127.0.0.1 localhost tickets\n::1 localhost\n")


def write(path, text):
    with open(path, "w", encoding="ascii") as out:
        out.write(text)


def fetch(release):
    """The directory of the root, which nobody may write to; made if this is the first time."""
    if release not in LIBRARIES:
        raise RootError("this release is not known here: %s (but %s)" % (
            release, ", ".join(LIBRARIES)))
    target = cache_directory(release)
    parent = os.path.dirname(target)
    os.makedirs(parent, exist_ok=True)
    # Filled beside its place and renamed when whole: an interrupted run leaves no half a root.
    with open(os.path.join(parent, "root-%s.lock" % release), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.isdir(target):
            return target
        part = tempfile.mkdtemp(prefix="root-part-", dir=parent)
        try:
            os.chmod(part, 0o755)
            make(release, part)
            os.rename(part, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return target


# The tree is read, a copy of it is built, and the root stays as it was.
BUILD = """set -e
mkdir -p /tmp/build/ticketpayd
cd /tmp/build/ticketpayd
tar -c -C /mnt/source --exclude-vcs --exclude=./build --exclude='./build-*' . | tar -x
apt-get -q -y -o Acquire::Retries=3 --no-install-recommends install build-essential >&2
apt-get -q -y -o Acquire::Retries=3 --no-install-recommends build-dep ./ >&2
DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage -us -uc -b >&2
cp ../*.deb /mnt/into/
"""


def build(release, source, into):
    shutil.rmtree(into, ignore_errors=True)
    os.makedirs(into)
    inside(fetch(release), "bash", "-c", BUILD, options=[
        "--volatile=overlay", "--bind-ro=%s:/mnt/source" % os.path.abspath(source),
        "--bind=%s:/mnt/into" % os.path.abspath(into)])


def main(release="bookworm", *paths):
    if paths:
        build(release, *paths)
    else:
        print(fetch(release))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except RootError as e:
        sys.exit("root.py: %s" % e)
