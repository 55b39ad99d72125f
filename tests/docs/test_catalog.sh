#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# journalctl compiles the message catalog, in a root directory of its own, and finds every entry.
set -euo pipefail
source=${TICKETPAY_SOURCE:-$(dirname "$0")/../..}
catalog=$source/systemd/ticketpayd.catalog
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
if ! command -v journalctl >/dev/null; then
	echo '1..0 # SKIP there is no journalctl'
	exit 0
fi
echo 1..3

result() { # NUMBER CLAIM STATUS
	[ "$3" = 0 ] || printf 'not '
	echo "ok $1 - $2"
}

mkdir -p "$root/usr/lib/systemd/catalog" "$root/var/lib/systemd/catalog"
cp "$catalog" "$root/usr/lib/systemd/catalog/"
status=0
journalctl --root="$root" --update-catalog >"$root/log" 2>&1 || status=$?
sed 's/^/# /' "$root/log"
[ ! -s "$root/log" ] || status=1 # a warning names the line
result 1 'journalctl compiles the catalog without a word' "$status"

status=0
ids=$(sed -n 's/^-- //p' "$catalog" | sort)
found=$(journalctl --root="$root" --list-catalog | cut -d' ' -f1 | sort) || status=1
diff <(echo "$ids") <(echo "$found") | sed 's/^/# /' || status=1
[ "$ids" = "$found" ] || status=1
result 2 'every entry is found by its id, each once' "$status"

# Lines with a substituted field may be longer.
status=0
long=$(grep -nE '^.{81,}' "$catalog" | grep -v '^[0-9]*:\(#\|Subject: \)' | grep -v @TICKETPAY) ||
	true
[ -z "$long" ] || { echo "# $long"; status=1; }
result 3 'no line of an explanation is wider than a terminal' "$status"
