/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum result fail(struct error *err, enum result r, int code, const char *format, ...)
{
	if (!err)
		return r;

	va_list ap;

	va_start(ap, format);
	vsnprintf(err->text, sizeof(err->text), format, ap);
	va_end(ap);

	for (char *c = err->text; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	}

	size_t n = strlen(err->text);

	while (n > 0 && err->text[n - 1] == ' ')
		err->text[--n] = '\0';

	err->code = code;
	err->sqlstate[0] = '\0';
	return r;
}
