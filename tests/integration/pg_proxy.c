/* SPDX-License-Identifier: Apache-2.0 */
#include "pg_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 16 };

struct link {
	int client, server;  /* -1: free */
	bool answer_follows; /* COMMIT has passed: the next bytes from the server answer it */
};

struct pg_proxy {
	char host[256], port[16];
	int listener, listener_port;
	int stop[2]; /* a pipe */
	atomic_int fault;
	pthread_t thread;
	struct link links[CONNECTIONS_MAX];
};

static int connect_server(const struct pg_proxy *p)
{
	int fd;

	if (p->host[0] == '/') {
		struct sockaddr_un to = {.sun_family = AF_UNIX};

		snprintf(to.sun_path, sizeof(to.sun_path), "%.80s/.s.PGSQL.%s", p->host, p->port);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
			return fd;
	} else {
		struct sockaddr_in to = {
			.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(p->port))};

		if (inet_pton(AF_INET, p->host, &to.sin_addr) != 1)
			to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
			return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

static void cut(struct link *l)
{
	close(l->client);
	close(l->server);
	*l = (struct link){.client = -1, .server = -1};
}

static void accept_link(struct pg_proxy *p)
{
	int client = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);

	for (int i = 0; client >= 0 && i < CONNECTIONS_MAX; i++) {
		if (p->links[i].client >= 0)
			continue;

		int server = connect_server(p);

		if (server >= 0) {
			p->links[i] = (struct link){.client = client, .server = server};
			return;
		}
		break;
	}
	if (client >= 0)
		close(client);
}

static bool write_all(int fd, const char *data, ssize_t n)
{
	while (n > 0) {
		ssize_t done = send(fd, data, (size_t)n, MSG_NOSIGNAL);

		if (done <= 0)
			return false;
		data += done;
		n -= done;
	}
	return true;
}

/* The message ("C", length, tag, NUL) with the other tag, in place of the first one with COMMIT. */
static bool answer_rollback(int fd, const char *data, ssize_t n)
{
	static const char commit[] = "C\0\0\0\13COMMIT", rollback[] = "C\0\0\0\15ROLLBACK";
	const char *at = memmem(data, (size_t)n, commit, sizeof(commit));

	if (!at)
		return write_all(fd, data, n);

	const char *rest = at + sizeof(commit);

	return write_all(fd, data, at - data) && write_all(fd, rollback, sizeof(rollback)) &&
	       write_all(fd, rest, data + n - rest);
}

static bool pass_to_server(struct pg_proxy *p, struct link *l, const char *data, ssize_t n)
{
	int fault = atomic_load(&p->fault);

	if (fault != PG_PROXY_NONE && memmem(data, (size_t)n, "COMMIT", 6)) {
		if (fault == PG_PROXY_CUT_BEFORE) {
			atomic_store(&p->fault, PG_PROXY_NONE);
			return false;
		}
		l->answer_follows = true;
	}
	return write_all(l->server, data, n);
}

static bool pass_to_client(struct pg_proxy *p, struct link *l, const char *data, ssize_t n)
{
	int fault = atomic_load(&p->fault);

	if (!l->answer_follows)
		return write_all(l->client, data, n);
	l->answer_follows = false;
	atomic_store(&p->fault, PG_PROXY_NONE);
	if (fault == PG_PROXY_CUT_AFTER)
		return false;
	if (fault == PG_PROXY_ANSWER_ROLLBACK)
		return answer_rollback(l->client, data, n);
	return write_all(l->client, data, n);
}

static void pass(struct pg_proxy *p, struct link *l, bool from_client)
{
	char data[64 * 1024];
	ssize_t n = read(from_client ? l->client : l->server, data, sizeof(data));

	if (n <= 0 ||
		!(from_client ? pass_to_server(p, l, data, n) : pass_to_client(p, l, data, n)))
		cut(l);
}

static void *run(void *self)
{
	struct pg_proxy *p = self;

	for (;;) {
		struct pollfd fds[2 + 2 * CONNECTIONS_MAX] = {
			{.fd = p->stop[0], .events = POLLIN},
			{.fd = p->listener, .events = POLLIN},
		};
		bool frozen = atomic_load(&p->fault) == PG_PROXY_FREEZE;

		for (int i = 0; i < CONNECTIONS_MAX; i++) {
			fds[2 + 2 * i] = (struct pollfd){
				.fd = frozen ? -1 : p->links[i].client, .events = POLLIN};
			fds[3 + 2 * i] = (struct pollfd){
				.fd = frozen ? -1 : p->links[i].server, .events = POLLIN};
		}
		/* A fault is set while we wait: it must not let one more message through. */
		poll(fds, sizeof(fds) / sizeof(fds[0]), frozen ? 10 : 1000);
		if (!frozen && atomic_load(&p->fault) == PG_PROXY_FREEZE)
			continue;
		if (fds[0].revents)
			return NULL;
		if (fds[1].revents)
			accept_link(p);
		for (int i = 0; i < CONNECTIONS_MAX; i++) {
			struct link *l = &p->links[i];

			if (fds[2 + 2 * i].revents && l->client >= 0)
				pass(p, l, true);
			if (fds[3 + 2 * i].revents && l->client >= 0)
				pass(p, l, false);
		}
	}
}

struct pg_proxy *pg_proxy_start(const char *host, const char *port)
{
	struct pg_proxy *p = calloc(1, sizeof(*p));
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);

	if (!p)
		abort();
	snprintf(p->host, sizeof(p->host), "%s", host);
	snprintf(p->port, sizeof(p->port), "%s", port);
	for (int i = 0; i < CONNECTIONS_MAX; i++)
		p->links[i] = (struct link){.client = -1, .server = -1};
	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->listener < 0 || bind(p->listener, (struct sockaddr *)&at, sizeof(at)) ||
		listen(p->listener, 16) ||
		getsockname(p->listener, (struct sockaddr *)&at, &size) || pipe(p->stop) ||
		pthread_create(&p->thread, NULL, run, p))
		abort();
	p->listener_port = ntohs(at.sin_port);
	return p;
}

void pg_proxy_stop(struct pg_proxy *p)
{
	if (!p)
		return;
	if (write(p->stop[1], "", 1) != 1)
		abort();
	pthread_join(p->thread, NULL);
	for (int i = 0; i < CONNECTIONS_MAX; i++) {
		if (p->links[i].client >= 0)
			cut(&p->links[i]);
	}
	close(p->listener);
	close(p->stop[0]);
	close(p->stop[1]);
	free(p);
}

int pg_proxy_port(const struct pg_proxy *p)
{
	return p->listener_port;
}

void pg_proxy_fault(struct pg_proxy *p, enum pg_proxy_fault fault)
{
	atomic_store(&p->fault, fault);
}
