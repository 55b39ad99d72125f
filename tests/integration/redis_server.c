/* SPDX-License-Identifier: Apache-2.0 */
#include "redis_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "base/clock.h"

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static int free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&a, size) == 0);
	REQUIRE(getsockname(fd, (struct sockaddr *)&a, &size) == 0);
	close(fd);
	return ntohs(a.sin_port);
}

void redis_server_init(struct redis_server *s, const char *program)
{
	*s = (struct redis_server){.program = program, .directory = "/tmp/test_redis.XXXXXX"};
	REQUIRE(mkdtemp(s->directory));
	snprintf(s->socket, sizeof(s->socket), "%s/redis.sock", s->directory);
}

void redis_server_done(struct redis_server *s)
{
	char log[96];

	redis_server_stop(s);
	snprintf(log, sizeof(log), "%s/log", s->directory);
	unlink(log);
	unlink(s->socket);
	REQUIRE(rmdir(s->directory) == 0);
}

static void run(const struct redis_server *s, pid_t parent)
{
	char port[16], log[96];
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing of us outlives the test */
	if (getppid() != parent || null < 0)
		_exit(1);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	snprintf(port, sizeof(port), "%d", s->port);
	snprintf(log, sizeof(log), "%s/log", s->directory);
	execl(s->program, "redis-server", "--port", port, "--bind", "127.0.0.1", "-::1",
		"--unixsocket", s->socket, "--dir", s->directory, "--logfile", log, "--save", "",
		"--appendonly", "no", "--daemonize", "no", (char *)NULL);
	_exit(127);
}

/* Does our server answer on its port? false: it has ended (perhaps the port was taken). */
static bool wait_ready(struct redis_server *s)
{
	int64_t until_us = clock_monotonic_us() + 10 * 1000000;

	for (;;) {
		redisContext *c = redisConnect("127.0.0.1", s->port);
		redisReply *r = c && !c->err ? redisCommand(c, "CONFIG GET dir") : NULL;
		bool ours = r && r->type == REDIS_REPLY_ARRAY && r->elements == 2 &&
			    !strcmp(r->element[1]->str, s->directory);

		if (r)
			freeReplyObject(r);
		if (c)
			redisFree(c);
		if (ours)
			return true;
		if (waitpid(s->pid, NULL, WNOHANG) == s->pid)
			return false;
		REQUIRE(clock_monotonic_us() < until_us);
		poll(NULL, 0, 5);
	}
}

void redis_server_start(struct redis_server *s)
{
	pid_t parent = getpid();

	for (int tries = 0; tries < 20; tries++) {
		if (s->port == 0)
			s->port = free_port();
		snprintf(s->address, sizeof(s->address), "127.0.0.1:%d", s->port);
		s->pid = fork();
		REQUIRE(s->pid >= 0);
		if (s->pid == 0)
			run(s, parent);
		if (wait_ready(s))
			return;
		s->pid = 0;
		s->port = 0;
	}
	REQUIRE(!"no port for redis-server");
}

void redis_server_stop(struct redis_server *s)
{
	if (s->pid == 0)
		return;
	kill(s->pid, SIGKILL); /* there is nothing to save; works while stopped as well */
	REQUIRE(waitpid(s->pid, NULL, 0) == s->pid);
	s->pid = 0;
}

struct redisContext *redis_server_connect(const struct redis_server *s)
{
	redisContext *c = redisConnect("127.0.0.1", s->port);

	REQUIRE(c && !c->err);
	return c;
}
