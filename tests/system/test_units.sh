#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The units are what systemd accepts without a word, and as closed as we say.
set -uo pipefail
readonly THRESHOLD=15 # of 100; as `systemd-analyze security` prints it: 1.5
build=${TICKETPAY_BUILD:-$PWD}
source=$(cd "${TICKETPAY_SOURCE:-$(dirname "$0")/../..}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
number=0

# claim NAME COMMAND...: it says nothing and exits with 0.
claim() {
	local name=$1

	shift
	number=$((number + 1))
	if "$@" >"$work/said" 2>&1 && ! [ -s "$work/said" ]; then
		echo "ok $number - $name"
	else
		sed 's/^/# /' "$work/said"
		echo "not ok $number - $name"
	fi
}

security() {
	systemd-analyze security --no-pager --offline=true --threshold=$THRESHOLD "$1" >"$work/report" 2>&1
	local code=$?

	grep '✗' "$work/report" | sed 's/^/# /' >"$work/open"
	[ $code = 0 ] || cat "$work/report"
	return $code
}

sysusers() {
	systemd-sysusers --dry-run "$source/systemd/sysusers.d/ticketpayd.conf" >"$work/report" 2>&1 ||
		cat "$work/report"
}

echo 1..5
# verify looks for the programs: here they are those of the build.
for unit in ticketpayd.service ticketpayd@.service; do
	sed "s|^ExecStart=[^ ]*/ticketpayd |ExecStart=$build/ticketpayd |" "$build/$unit" >"$work/$unit"
done
for unit in ticketpayd.service ticketpayd@.service; do
	claim "systemd-analyze verify $unit finds nothing" \
		systemd-analyze verify --man=no "$work/$unit"
	claim "the exposure level of $unit is at most $THRESHOLD of 100" security "$work/$unit"
	cat "$work/open"
	sed -n 's/^→ Overall exposure level for \([^:]*\): \([0-9.]*\).*/# figure: exposure level of \1: \2 (mark: at most 1.5)/p' \
		"$work/report"
done
claim "systemd-sysusers takes our file" sysusers
