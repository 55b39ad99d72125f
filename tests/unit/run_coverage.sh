#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The unit tests reach at least so many percent of the branches of src/core. Built apart, without
# optimisation; gcovr's standard exclusions only.
set -euo pipefail
readonly WANTED=90
source=$(cd "${TICKETPAY_SOURCE:-$(dirname "$0")/../..}" && pwd) # without "..": gcovr compares
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
echo 1..1

cd "$build"
"$source/configure" -q --enable-coverage CFLAGS='-g -O0' >configure.log
# shellcheck disable=SC2016  # for make
tests=$(printf 'include Makefile\nwords:\n\t@echo $(UNIT_TESTS)\n' | make -s -f - words)
# shellcheck disable=SC2086  # many words
make -s -j "$(nproc)" $tests >make.log 2>&1 || { sed 's/^/# /' make.log; exit 1; }
for t in $tests; do
	CMOCKA_MESSAGE_OUTPUT=TAP srcdir=$source TICKETPAY_SOURCE=$source TICKETPAY_BUILD=$build "./$t" \
		>test.log 2>&1 || { sed 's/^/# /' test.log; echo "not ok 1 - $t passes"; exit 1; }
done

gcovr --root "$source" --filter "$source/src/core/" --object-directory "$build" --branches \
	--exclude-throw-branches --exclude-unreachable-branches --sort-uncovered "$build" >report
sed 's/^/# /' report
percent=$(awk '$1 == "TOTAL" { sub(/%/, "", $4); print $4 }' report)
echo "# figure: branches of src/core that unit tests reach: $percent % (mark: at least $WANTED)"
[ "$percent" -ge "$WANTED" ] || printf 'not '
echo "ok 1 - unit tests reach at least $WANTED % of the branches of src/core"
