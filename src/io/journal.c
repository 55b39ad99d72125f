/* SPDX-License-Identifier: Apache-2.0 */
#include "io/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION /* it would always be this file */
#include <systemd/sd-journal.h>

#include "base/clock.h"
#include "io/journal_format.h"

enum {
	QUEUE_ENTRIES = 256,
	CLOSE_WAIT_S = 1,
};

struct slot {
	size_t bytes;
	char data[JOURNAL_ENTRY_BYTES]; /* fields or a line, ready to be written */
};

struct journal {
	const char *identifier;
	int fd;
	bool to_journal;
	struct log_ops ops;
	atomic_int level;
	pthread_t thread;

	pthread_mutex_t mutex; /* guards what follows; never held while something is written */
	pthread_cond_t filled; /* an entry was queued, or it is time to end */
	size_t first, count;   /* slots[first], ... are queued */
	uint64_t lost;         /* not told yet */
	size_t before_lost;    /* with lost: entries that were queued before the loss */
	bool closing;
	bool ended;     /* the thread touches nothing any more */
	bool abandoned; /* journal_close() did not wait for the thread: it frees */
	pthread_cond_t end;
	struct slot slots[QUEUE_ENTRIES];
};

/* ---- writing: the thread --------------------------------------------------------------------- */

static void write_fields(const struct slot *s)
{
	struct iovec fields[JOURNAL_FIELDS_MAX];
	int count = 0;

	for (size_t at = 0; at < s->bytes && count < JOURNAL_FIELDS_MAX; count++) {
		char *field = (char *)s->data + at; /* only read: iovec knows no const */
		size_t length = strnlen(field, s->bytes - at);

		fields[count] = (struct iovec){.iov_base = field, .iov_len = length};
		at += length + 1;
	}
	(void)sd_journal_sendv(fields, count); /* whom should we tell? */
}

static void write_line(int fd, const struct slot *s)
{
	size_t done = 0;

	while (done < s->bytes) {
		ssize_t n = write(fd, s->data + done, s->bytes - done);

		if (n >= 0) {
			done += (size_t)n;
		} else if (errno == EAGAIN) {
			struct pollfd p = {.fd = fd, .events = POLLOUT};

			if (poll(&p, 1, -1) < 0 && errno != EINTR)
				return;
		} else if (errno != EINTR) {
			return; /* closed: nobody listens */
		}
	}
}

static void slot_fill(struct journal *j, struct slot *s, const struct log_entry *e)
{
	if (j->to_journal)
		s->bytes = journal_format_fields(e, j->identifier, s->data);
	else
		s->bytes = journal_format_line(e, clock_realtime_ms(), s->data);
}

static void slot_fill_lost(struct journal *j, struct slot *s, uint64_t lost)
{
	char text[120];

	snprintf(text, sizeof(text),
		"%" PRIu64 " log lines lost: the log was not taken as fast as it was written",
		lost);

	struct log_entry e = log_entry(LOG_LEVEL_WARNING, LOG_EVENT_NONE, text);

	slot_fill(j, s, &e);
}

/* The next entry to be written, once there is one. false: none will come any more. */
static bool next_slot(struct journal *j, struct slot *ret)
{
	bool some = false;
	uint64_t lost = 0;

	pthread_mutex_lock(&j->mutex);
	while (j->count == 0 && j->lost == 0 && !j->closing)
		pthread_cond_wait(&j->filled, &j->mutex);
	if (j->lost > 0 && j->before_lost == 0) {
		lost = j->lost;
		j->lost = 0;
	} else if (j->count > 0) {
		/* The bytes alone: most entries are short. */
		some = true;
		ret->bytes = j->slots[j->first].bytes;
		memcpy(ret->data, j->slots[j->first].data, ret->bytes);
		j->first = (j->first + 1) % QUEUE_ENTRIES;
		j->count--;
		if (j->lost > 0)
			j->before_lost--;
	}
	pthread_mutex_unlock(&j->mutex);

	if (lost)
		slot_fill_lost(j, ret, lost);
	return some || lost > 0;
}

static void journal_free(struct journal *j)
{
	pthread_mutex_destroy(&j->mutex);
	pthread_cond_destroy(&j->filled);
	pthread_cond_destroy(&j->end);
	free(j);
}

static void *write_all(void *self)
{
	struct journal *j = self;
	struct slot slot;

	while (next_slot(j, &slot)) {
		if (j->to_journal)
			write_fields(&slot);
		else
			write_line(j->fd, &slot);
	}

	pthread_mutex_lock(&j->mutex);
	bool abandoned = j->abandoned;
	j->ended = true;
	pthread_cond_signal(&j->end);
	pthread_mutex_unlock(&j->mutex);
	if (abandoned)
		journal_free(j);
	return NULL;
}

/* ---- logging: any thread --------------------------------------------------------------------- */

static void journal_write(void *self, const struct log_entry *e)
{
	struct journal *j = self;
	struct slot slot;

	if ((int)e->level > atomic_load_explicit(&j->level, memory_order_relaxed))
		return;
	slot_fill(j, &slot, e); /* outside the mutex: others log as well */

	pthread_mutex_lock(&j->mutex);
	if (j->count < QUEUE_ENTRIES) {
		struct slot *s = &j->slots[(j->first + j->count) % QUEUE_ENTRIES];

		s->bytes = slot.bytes;
		memcpy(s->data, slot.data, slot.bytes);
		j->count++;
	} else {
		if (j->lost++ == 0)
			j->before_lost = QUEUE_ENTRIES;
	}
	pthread_cond_signal(&j->filled);
	pthread_mutex_unlock(&j->mutex);
}

struct logger journal_logger(struct journal *j)
{
	return (struct logger){.ops = &j->ops, .self = j};
}

void journal_set_level(struct journal *j, enum log_level level)
{
	atomic_store_explicit(&j->level, (int)level, memory_order_relaxed);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* systemd.exec(5), $JOURNAL_STREAM: set, but stderr may have been redirected since. */
static bool is_journal_stream(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uint64_t device, inode;
	struct stat st;
	char after;

	return stream &&
	       sscanf(stream, "%" SCNu64 ":%" SCNu64 "%c", &device, &inode, &after) == 2 &&
	       fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

/* Signals are for the main thread. */
static int thread_start(struct journal *j)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);

	int e = pthread_create(&j->thread, NULL, write_all, j);

	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return e;
}

enum result journal_open(
	const struct journal_config *config, struct journal **ret, struct error *err)
{
	struct journal *j = calloc(1, sizeof(*j));
	pthread_condattr_t monotonic;

	if (!j)
		return fail(err, RESULT_FATAL, ENOMEM, "no memory for the log");
	j->identifier = config->identifier;
	j->fd = config->fd;
	j->to_journal = is_journal_stream(config->fd);
	j->ops.write = journal_write;
	atomic_init(&j->level, (int)config->level);
	pthread_mutex_init(&j->mutex, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&j->filled, NULL);
	pthread_cond_init(&j->end, &monotonic);
	pthread_condattr_destroy(&monotonic);

	int e = thread_start(j);

	if (e) {
		journal_free(j);
		return fail(err, RESULT_FATAL, e, "no thread for the log: %s", strerror(e));
	}
	*ret = j;
	return RESULT_OK;
}

void journal_close(struct journal *j)
{
	struct timespec until;

	if (!j)
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += CLOSE_WAIT_S;

	pthread_mutex_lock(&j->mutex);
	j->closing = true;
	pthread_cond_signal(&j->filled);
	while (!j->ended && pthread_cond_timedwait(&j->end, &j->mutex, &until) == 0)
		;

	bool ended = j->ended;

	j->abandoned = !ended;
	if (!ended)
		pthread_detach(j->thread);
	pthread_mutex_unlock(&j->mutex);

	if (ended) {
		pthread_join(j->thread, NULL);
		journal_free(j);
	}
}
