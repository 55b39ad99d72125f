# SPDX-License-Identifier: Apache-2.0
#
# Turns migrations into the C source that ticketpayctl is built with:
#     awk -f sql/embed.awk sql/001_first.sql sql/002_second.sql > migrations.c
# Files in ascending order; numbers from 1 on without a hole.

function fail(text) {
	print "embed.awk: " text > "/dev/stderr"
	failed = 1
	exit 1
}

FNR == 1 {
	name = FILENAME
	sub(/.*\//, "", name)
	if (name !~ /^[0-9][0-9]*_[a-z0-9_-]*\.sql$/)
		fail(FILENAME ": the name must be like 001_what_it_does.sql")
	if (name + 0 != version + 1)
		fail(FILENAME ": version " version + 1 " was expected")
	version = name + 0
	sub(/^[0-9]*_/, "", name)
	sub(/\.sql$/, "", name)

	if (version == 1)
		print "/* Made by sql/embed.awk. */\n#include \"ctl/migrations.h\"\n\n" \
			"const struct migration migrations[] = {"
	else
		print "\t},"
	print "\t{\n\t\t" version ", \"" name "\","
}

{
	gsub(/[\\"]/, "\\\\&") # one backslash, then what was found: POSIX's rule for sub()
	print "\t\t\"" $0 "\\n\""
}

END {
	if (failed)
		exit 1
	if (!version)
		fail("no files")
	print "\t},\n\t{0, 0, 0},\n};"
}
