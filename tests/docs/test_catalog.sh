#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# journalctl compiles the message catalog, in a root directory of its own, and finds every entry.
# shellcheck source=tests/docs/tap.sh
. "$(dirname "$0")/tap.sh"
catalog=$source/systemd/ticketpayd.catalog

compiles() {
	mkdir -p "$work/usr/lib/systemd/catalog" "$work/var/lib/systemd/catalog"
	cp "$catalog" "$work/usr/lib/systemd/catalog/"
	journalctl --root="$work" --update-catalog >"$work/log" 2>&1 || fault "exit $?"
	[ ! -s "$work/log" ] || fault "$(cat "$work/log")" # a warning names the line
}

lists_all() {
	journalctl --root="$work" --list-catalog | cut -d' ' -f1 | sort >"$work/found"
	sed -n 's/^-- //p' "$catalog" | sort | diff - "$work/found"
}

# Lines with a substituted field may be longer.
fits() {
	! grep -nE '^.{81,}' "$catalog" | grep -v '^[0-9]*:\(#\|Subject: \)' | grep -v @TICKETPAY
}

command -v journalctl >/dev/null || skip_all 'there is no journalctl'
claim 'journalctl compiles the catalog without a word' compiles
claim 'every entry is found by its id, each once' lists_all
claim 'no line of an explanation is wider than a terminal' fits
echo "1..$number"
