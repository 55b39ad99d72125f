# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# For the tests of what people read: claim TEXT FUNCTION runs a case, whose words are comments.
source=$(cd "${TICKETPAY_SOURCE:-$(dirname "$0")/../..}" && pwd)
build=${TICKETPAY_BUILD:-$source/build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
number=0

skip_all() {
	echo "1..0 # SKIP $*"
	exit 0
}

# In a shell of its own: its first failing command fails the case, and so does `fault`.
claim() {
	local status=0

	number=$((number + 1))
	rm -f "$work/faults"
	(set -euo pipefail; "$2") >"$work/said" 2>&1 || status=1
	sed 's/^/# /' "$work/said"
	[ ! -e "$work/faults" ] || status=1
	[ "$status" = 0 ] || printf 'not '
	echo "ok $number - $1"
}

fault() {
	echo "$*"
	touch "$work/faults"
}

# wants FILE TEXT...: each text is in the file.
wants() {
	local file=$1 text

	shift
	for text in "$@"; do
		grep -qF -- "$text" "$file" || fault "${file##*/} does not have: $text"
	done
}

# A file that make has made, or, for it is shipped, that has come with the sources.
made() {
	if [ -e "$build/$1" ]; then
		echo "$build/$1"
	else
		echo "$source/$1"
	fi
}

page() {
	made "man/$1"
}
