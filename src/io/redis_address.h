/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

/* Where a Redis is. */
struct redis_address {
	char path[108]; /* of its Unix socket; "": the other two */
	char host[256]; /* a name or an address, IPv6 without brackets */
	int port;
};

/* "host:port", "[v6]:port" or an absolute path. FATAL when it is none of them. */
enum result redis_address_parse(
	const char *text, struct redis_address *ret, struct error *err) MUST_CHECK;
