/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/ctl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum ctl_exit ctl_say(enum ctl_exit code, const char *format, ...)
{
	va_list ap;

	/* What was shown so far stands before the complaint, also where both go to one file. */
	fflush(stdout);
	fputs("ticketpayctl: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

enum ctl_exit ctl_failed(enum result r, const struct error *err)
{
	enum ctl_exit code = CTL_REFUSED;

	if (r == RESULT_RETRY)
		code = CTL_UNREACHED;
	else if (r == RESULT_FATAL)
		code = CTL_CONFIG;
	return ctl_say(code, "%s", err->text);
}

bool ctl_parse_int(const char *text, int64_t minimum, int64_t maximum, int64_t *ret)
{
	const char *digits = text[0] == '-' ? text + 1 : text;
	char *end;

	/* strtoll() also takes blanks and a plus in front. */
	if (digits[0] < '0' || digits[0] > '9')
		return false;

	errno = 0;

	long long value = strtoll(text, &end, 10);

	if (errno || *end || value < minimum || value > maximum)
		return false;
	*ret = value;
	return true;
}

enum ctl_exit ctl_partition(const struct ctl *c, int32_t *ret)
{
	int64_t value = -1;

	if (c->partition && !ctl_parse_int(c->partition, 0, INT32_MAX, &value))
		return ctl_say(
			CTL_USAGE, "--partition %s: a number from 0 on is needed", c->partition);
	*ret = (int32_t)value;
	return CTL_DONE;
}

bool ctl_confirmed(const struct ctl *c, const char *question)
{
	char answer[16];

	if (ctl_given(c, OPTION_YES) || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return true;

	printf("%s [y/N] ", question);
	fflush(stdout);
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}
