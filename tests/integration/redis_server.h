/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct redisContext;

/* A redis-server of the test's own: loopback, a free port, a new directory. Failing ends the test.
 */
struct redis_server {
	const char *program;
	pid_t pid; /* 0: not running */
	int port;
	char directory[64], socket[80], address[32];
};

/* program: path of redis-server */
void redis_server_init(struct redis_server *s, const char *program);
void redis_server_done(struct redis_server *s);

/* On the same port and socket as before, if there was a before; empty. Ready when it returns. */
void redis_server_start(struct redis_server *s);
void redis_server_stop(struct redis_server *s);

/* A blocking connection for the test's own commands. */
struct redisContext *redis_server_connect(const struct redis_server *s);
