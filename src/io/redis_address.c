/* SPDX-License-Identifier: Apache-2.0 */
#include "io/redis_address.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool port_parse(const char *text, int *ret)
{
	char *end;
	long port = strtol(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end || port < 1 || port > 65535)
		return false;
	*ret = (int)port;
	return true;
}

enum result redis_address_parse(const char *text, struct redis_address *ret, struct error *err)
{
	struct redis_address a = {0};
	const char *colon = strrchr(text, ':'), *host = text;
	size_t length = colon ? (size_t)(colon - text) : 0;

	if (text[0] == '/') {
		if (strlen(text) >= sizeof(a.path))
			return fail(err, RESULT_FATAL, ENAMETOOLONG,
				"lock.redis: a socket's path has at most %zu bytes",
				sizeof(a.path) - 1);
		strcpy(a.path, text);
		*ret = a;
		return RESULT_OK;
	}

	bool bracketed = length > 2 && text[0] == '[' && text[length - 1] == ']';

	if (bracketed) {
		host++;
		length -= 2;
	}
	if (length == 0 || length >= sizeof(a.host) || !port_parse(colon + 1, &a.port) ||
		(!bracketed && strcspn(host, ":[]@/ ") < length))
		/* Not quoted: it may be a URL with a password. */
		return fail(err, RESULT_FATAL, EINVAL,
			"lock.redis: not host:port, [IPv6]:port or the absolute path of a socket");
	memcpy(a.host, host, length);
	*ret = a;
	return RESULT_OK;
}
