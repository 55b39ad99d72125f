#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What bash offers at the end of a line, split into words as readline does it.
# shellcheck source=tests/docs/tap.sh
. "$(dirname "$0")/tap.sh"

library=/usr/share/bash-completion/bash_completion

# offers LINE WORD...: exactly these, in any order.
offers() {
	local line=$1 rest word
	local -a found

	shift
	COMP_WORDS=() COMP_LINE=$line COMP_POINT=${#line} COMPREPLY=()
	for rest in $line; do
		while [[ $rest == *[=:]* ]]; do
			word=${rest%%[=:]*}
			[ -z "$word" ] || COMP_WORDS+=("$word")
			rest=${rest#"$word"}
			COMP_WORDS+=("${rest:0:1}")
			rest=${rest:1}
		done
		[ -z "$rest" ] || COMP_WORDS+=("$rest")
	done
	[[ $line != *' ' ]] || COMP_WORDS+=('')
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	"_${COMP_WORDS[0]}" "$build/${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" \
		"${COMP_WORDS[COMP_CWORD - 1]}" || true
	mapfile -t found < <(printf '%s\n' "${COMPREPLY[@]}" | sed '/^$/d' | sort -u)
	mapfile -t wanted < <(printf '%s\n' "$@" | sed '/^$/d' | sort)
	[ "${found[*]}" = "${wanted[*]}" ] ||
		fault "\"$line\" offers \"${found[*]}\", wanted: \"${wanted[*]}\""
}

# In a shell of its own, for the library knows no `set -u`.
completing() {
	set +eu
	compopt() { :; } # works only where readline has called
	# shellcheck disable=SC1090
	. "$library" 2>/dev/null
	compopt() { :; }
	# shellcheck disable=SC1090,SC1091
	. "$(made "completion/$1")" || fault "completion/$1 cannot be read"
	shift
	"$@"
}

daemon_options() {
	completing ticketpayd eval '
	offers "ticketpayd --" --config --set --check-config --print-config --version --help
	offers "ticketpayd --c" --config --check-config
	offers "ticketpayd -c x --set lock.scope=stock --p" --print-config'
}

settings_by_name() {
	completing ticketpayd eval '
	offers "ticketpayd --set limits." limits.event_bytes= limits.breaker= limits.stop_ms=
	offers "ticketpayd --set batch.max_e" batch.max_events=
	offers "ticketpayd --set nothing"'
	# Each, in the order of the program.
	completing ticketpayctl eval '
	"$build/ticketpayd" -c /dev/null --print-config | awk "
		/^[a-z]+ = \{/ { section = \$1 } /^\t[a-z_]+ = .*;\$/ { print section \".\" \$1 }" \
		>"$work/keys"
	[ -s "$work/keys" ] || fault "the program prints no settings"
	diff "$work/keys" <(sed "/^\$/d; s/^[\t ]*//; s/=.*//" <<<"$_ticketpay_settings" | uniq) ||
		fault "the settings are not those of the program"'
}

settings_by_value() {
	completing ticketpayctl eval '
	offers "ticketpayd --set lock.provider=" redis database
	offers "ticketpayctl --set lock.provider=r" redis
	offers "ticketpayctl status --set log.level=" error warning notice info debug
	offers "ticketpayd --set database.prepare=" true false
	offers "ticketpayd --set=lock.scope=t" transaction
	offers "ticketpayd --set batch.max_events="'
}

verbs() {
	completing ticketpayctl eval '
	offers "ticketpayctl s" status stock
	offers "ticketpayctl stock " create add
	offers "ticketpayctl --set log.level=debug progress s" show seek
	offers "ticketpayctl -c x re" resume'
}

options_of_verbs() {
	completing ticketpayctl eval '
	offers "ticketpayctl verify --" --kafka --json --set
	offers "ticketpayctl progress seek --y" --yes
	offers "ticketpayctl progress seek --partition 1 --to " earliest latest committed
	offers "ticketpayctl progress seek --partition 1 --to l" latest
	offers "ticketpayctl progress seek --partition "
	offers "ticketpayctl stock create 1 --t" --total
	offers "ticketpayctl --v" --version'
}

files() {
	touch "$work/one.conf"
	cd "$work"
	completing ticketpayctl eval '
	offers "ticketpayctl -c one" one.conf
	offers "ticketpayd --config one" one.conf'
}

[ -e "$library" ] || skip_all 'there is no bash-completion'
claim 'options of ticketpayd come from its help' daemon_options
claim 'settings are offered by name, all that the program has' settings_by_name
claim 'settings are offered by value where the values are known' settings_by_value
claim 'verbs of ticketpayctl are offered word by word' verbs
claim 'a verb has its own options and values' options_of_verbs
claim 'a configuration file is completed as a file' files
echo "1..$number"
