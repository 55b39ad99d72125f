#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The manual is well-formed, and has all that the programs, the tables and the journal have.
# shellcheck source=tests/docs/tap.sh
. "$(dirname "$0")/tap.sh"

pages=(ticketpayctl.1 ticketpayd.8 ticketpayd.conf.5 ticketpayd-protocol.7)

# ---- form

# Whether a page of others is installed here says nothing about ours.
lint() {
	local p

	for p in "${pages[@]}"; do
		mandoc -T lint -W style "$(page "$p")" 2>/dev/null |
			grep -v 'referenced manual not found' >"$work/lint" || true
		[ ! -s "$work/lint" ] || fault "$(cat "$work/lint")"
	done
}

references() {
	local p name section

	for p in "${pages[@]}"; do
		sed -n 's/^\.Xr \(ticketpay[^ ]*\) \([0-9]\).*/\1 \2/p' "$(page "$p")" >"$work/xr"
		while read -r name section; do
			[ -e "$(page "$name.$section")" ] || fault "$p names $name($section)"
		done <"$work/xr"
	done
}

# ---- the settings, as the program prints them

# "section.key|default|allowed|reload", from --print-config.
settings() {
	"$build/ticketpayd" -c /dev/null --print-config | awk '
		/^[a-z]+ = \{/ { section = $1 }
		/^\t# allowed: / {
			allowed = substr($0, 13)
			reload = sub(/; taken by a reload$/, "", allowed)
		}
		/^\t[a-z_]+ = .*;$/ {
			value = $0
			sub(/^\t[a-z_]+ = /, "", value)
			sub(/;$/, "", value)
			print section "." $1 "|" value "|" allowed "|" reload
		}'
}

every_key() {
	local key value allowed reload
	local -A words=([0]='Needs a restart.' [1]='Taken by a reload.')

	settings >"$work/settings"
	[ "$(wc -l <"$work/settings")" -ge 30 ] || fault 'the program prints too few settings'
	while IFS='|' read -r key value allowed reload; do
		awk -v "it=.It Cm $key" '$0 == it { on = 1; next } /^\.(It|El)/ { on = 0 } on' \
			"$(page ticketpayd.conf.5)" >"$work/$key"
		[ -s "$work/$key" ] || fault "no setting $key"
		wants "$work/$key" "Default: $value." ": $allowed" "${words[$reload]}"
	done <"$work/settings"
	[ "$(grep -c '^\.It Cm [a-z]*\.[a-z_]*$' <(sed '/^\.Sh RULES/q' "$(page ticketpayd.conf.5)"))" \
		= "$(wc -l <"$work/settings")" ] || fault 'there are settings that the program does not have'
}

every_property() {
	local table=$source/src/core/kafka_properties.c name

	sed -n 's/^\t{"\([a-z_.]*\)",.*/\1/p' "$table" >"$work/names"
	[ "$(wc -l <"$work/names")" -gt 120 ] || fault 'the table is not understood'
	while read -r name; do
		grep -qE "^\.(It )?Cm ${name//./\\.}(\*| [,.])?$" "$(page ticketpayd.conf.5)" ||
			fault "no property $name"
	done <"$work/names"
}

# ---- programs

# Each option as a word: "Fl -set" is --set.
options() {
	"$build/$1" --help >"$work/help"
	grep -oE '(^| |\[)--?[a-z][a-z-]*' "$work/help" | tr -d ' [' | sort -u >"$work/options"
	[ -s "$work/options" ] || fault 'no options'
}

every_option() {
	local program=$1 p=$2 option

	options "$program"
	while read -r option; do
		grep -qE "(Fl|\|) ${option#-}( |$)" "$p" || fault "${p##*/} does not have $option"
	done <"$work/options"
}

options_of_the_daemon() {
	every_option ticketpayd "$(page ticketpayd.8)"
}

options_and_verbs_of_ctl() {
	local p verb

	p=$(page ticketpayctl.1)
	every_option ticketpayctl "$p"
	sed -nE 's/^  ([a-z]+( [a-z]+)*).*/\1/p' "$work/help" >"$work/verbs"
	[ "$(wc -l <"$work/verbs")" -ge 9 ] || fault 'too few verbs'
	while read -r verb; do
		grep -qE "^\.(It )?Cm $verb( |$)" "$p" || fault "no verb $verb"
	done <"$work/verbs"
}

# ---- journal, event, tables

fields() {
	local name

	sed -nE 's/.*(number|string)\(w,.*"([A-Z_]+)".*/\2/p' "$source/src/io/journal_format.c" \
		>"$work/fields"
	[ "$(wc -l <"$work/fields")" = 11 ] || fault 'the fields of a log entry are not understood'
	while read -r name; do
		wants "$(page ticketpayd.8)" ".It Li TICKETPAY_$name"
	done <"$work/fields"
}

protocol() {
	local p word

	p=$(page ticketpayd-protocol.7)
	grep -ohE '"[A-Z]+(_[A-Z]+)*"' "$source/src/core/record.c" | tr -d '"' | grep -vx NONE | sort -u \
		>"$work/words"
	[ "$(wc -l <"$work/words")" = 10 ] || fault "reasons and statuses: $(cat "$work/words")"
	while read -r word; do
		wants "$p" ".It Li $word"
	done <"$work/words"
	# shellcheck disable=SC2046  # many words
	wants "$p" $(sed -nE 's/^CREATE TABLE ([a-z_]+) .*/\1/p' "$source"/sql/0*.sql)
	wants "$p" orderId paymentKey amount ticketTypeId memberId quantity firstPaymentKey
}

# As many reasons as the code has, by their first words that no number interrupts.
stops() {
	local p

	p=$(page ticketpayd-protocol.7)
	awk '/^\.Sh/ { on = 0 } /^\.Sh WHEN A PARTITION STOPS/ { on = 1 } on && /^\.It/' "$p" \
		>"$work/told"
	[ "$(grep -chE 'task_stop\(t, (true|false),$' "$source"/src/core/*.c |
		awk '{ n += $1 } END { print n }')" = "$(wc -l <"$work/told")" ] ||
		fault 'the code stops a partition for more or fewer reasons than are explained'
	wants "$work/told" "no progress row in this database, but the group's committed offset is" \
		'were deleted by retention before they were decided' "is above the log's end" \
		'is not the one that was decided (another timestamp)' \
		'were refused, in conflict or of unknown ticket type' \
		'times without releasing the partition at offset'
}

command -v mandoc >/dev/null || skip_all 'there is no mandoc'
claim 'mandoc has nothing to complain about' lint
claim 'pages name only pages that exist' references
claim 'ticketpayd.conf(5) has every setting with its default, range and reload' every_key
claim 'ticketpayd.conf(5) has every property, allowed or refused' every_property
claim 'ticketpayd(8) has every option' options_of_the_daemon
claim 'ticketpayctl(1) has every option and verb' options_and_verbs_of_ctl
claim 'ticketpayd(8) has every field of the journal' fields
claim 'ticketpayd-protocol(7) has every field, reason, status and table' protocol
claim 'ticketpayd-protocol(7) explains every reason for a stop' stops
echo "1..$number"
