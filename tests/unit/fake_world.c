/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- trace and scripts --------------------------------------------------------------------- */

_Noreturn void fake_abort(const struct fake_world *w, const char *why)
{
	size_t skip = w->trace_used > 2000 ? w->trace_used - 2000 : 0;

	fprintf(stderr, "# %s\n# trace: %s\n", why, w->trace + skip);
	for (int i = w->line_count > 20 ? w->line_count - 20 : 0; i < w->line_count; i++)
		fprintf(stderr, "# log: %s\n", w->line_texts[i]);
	abort();
}

__attribute__((format(printf, 2, 0))) static void add_word(
	struct fake_world *w, const char *format, va_list ap)
{
	w->trace_used += (size_t)vsnprintf(
		w->trace + w->trace_used, sizeof(w->trace) - w->trace_used, format, ap);
	if (w->trace_used + 2 > sizeof(w->trace))
		fake_abort(w, "the trace is full");
	w->trace[w->trace_used++] = ' ';
	w->trace[w->trace_used] = '\0';
}

void fake_word(struct fake_world *w, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add_word(w, format, ap);
	va_end(ap);
}

enum result fake_called(
	struct fake_world *w, enum fake_call call, struct error *err, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add_word(w, format, ap);
	va_end(ap);
	return fake_answered(w, call, err, NULL);
}

struct fake_answer *fake_script(struct fake_world *w, struct fake_answer a)
{
	if (w->answer_count == FAKE_ANSWERS)
		fake_abort(w, "too many scripted answers");
	w->answers[w->answer_count] = a;
	return &w->answers[w->answer_count++];
}

void fake_answers(struct fake_world *w, int times, enum fake_call call, enum result r,
	const char *sqlstate, const char *text)
{
	for (int i = 0; i < times; i++)
		fake_script(
			w, (struct fake_answer){
				   .call = call, .result = r, .sqlstate = sqlstate, .text = text});
}

void fake_answer(struct fake_world *w, enum fake_call call, enum result r, const char *sqlstate,
	const char *text)
{
	fake_answers(w, 1, call, r, sqlstate, text);
}

enum result fake_answered(
	struct fake_world *w, enum fake_call call, struct error *err, bool *took_effect)
{
	for (int i = 0; i < w->answer_count; i++) {
		struct fake_answer a = w->answers[i];

		if (a.call != call)
			continue;
		memmove(&w->answers[i], &w->answers[i + 1],
			(size_t)(w->answer_count - i - 1) * sizeof(a));
		w->answer_count--;
		w->now_us += a.takes_us;
		if (took_effect)
			*took_effect = a.takes_effect;
		if (a.result == RESULT_OK)
			return RESULT_OK;
		fail(err, a.result, 1, "%s", a.text ? a.text : "scripted");
		snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", a.sqlstate ? a.sqlstate : "");
		return a.result;
	}
	if (took_effect)
		*took_effect = true;
	return RESULT_OK;
}

/* ---- clock, log, lock ---------------------------------------------------------------------- */

static int64_t now_us(void *self)
{
	return ((struct fake_world *)self)->now_us;
}

static uint64_t no_jitter(void *self)
{
	(void)self;
	return 0;
}

static const struct clock_ops clock_ops = {.now_us = now_us, .random = no_jitter};

static void write_line(void *self, const struct log_entry *e)
{
	struct fake_world *w = self;

	if (w->line_count == FAKE_LINES)
		fake_abort(w, "the log is full: is something said again and again?");
	snprintf(w->line_texts[w->line_count], sizeof(w->line_texts[0]), "%s", e->text);
	w->lines[w->line_count] = *e;
	w->lines[w->line_count].text = w->line_texts[w->line_count];
	w->line_count++;
}

static const struct log_ops log_ops = {.write = write_line};

static enum result lock_check(void *self, struct error *err)
{
	return fake_answered(self, CALL_LOCK_CHECK, err, NULL);
}

static enum result lock_acquire(void *self, const struct batch *b, int64_t deadline_us,
	struct lock_lease *ret, struct error *err)
{
	struct fake_world *w = self;
	char list[200] = "";
	size_t n = 0;

	(void)deadline_us;
	for (size_t i = 0; i < b->stock_count && n < sizeof(list) - 24; i++)
		n += (size_t)snprintf(
			list + n, sizeof(list) - n, i ? ",%" PRId64 : "%" PRId64, b->stock[i].id);
	fake_word(w, "acquire:%s", list);
	if (w->lock_held)
		fake_abort(w, "acquire() while the lock is held");

	enum result r = fake_answered(w, CALL_ACQUIRE, err, NULL);

	if (r == RESULT_OK) {
		w->lock_held = true;
		*ret = (struct lock_lease){
			.held = true, .until_us = w->now_us + w->lease_us, .token = "token"};
	}
	return r;
}

static void lock_forget(void *self)
{
	fake_word(self, "forget");
}

static void lock_release(void *self, const struct batch *b, struct lock_lease *lease)
{
	struct fake_world *w = self;

	(void)b;
	fake_word(w, "unlock");
	if (!w->lock_held)
		fake_abort(w, "release() of a lock that is not held");
	w->lock_held = false;
	lease->held = false;
}

static const struct lock_ops lock_ops = {
	.check = lock_check,
	.acquire = lock_acquire,
	.forget = lock_forget,
	.release = lock_release,
};

/* ---- life ---------------------------------------------------------------------------------- */

struct fake_world *fake_new(int32_t partitions)
{
	struct fake_world *w = calloc(1, sizeof(*w));

	if (!w)
		abort();
	w->now_us = 1000000000;
	w->partition_count = partitions;
	w->lease_us = 6000000;
	for (int32_t p = 0; p < partitions; p++) {
		w->partitions[p].committed = -1;
		w->partitions[p].owned = true;
		w->partitions[p].released = true;
		w->partitions[p].row = (struct progress){.exists = true, .last_record_at_ms = -1};
	}
	fake_type(w, 1, 100);
	w->config = (struct worker_config){
		.topic = FAKE_TOPIC,
		.scope = LOCK_SCOPE_STOCK,
		.fallback = LOCK_FALLBACK_DATABASE,
		.start = START_EARLIEST,
		.lock_wait_ms = 1000,
		.max_events = 100,
		.max_bytes = 1 << 20,
		.linger_ms = 0,
		.event_bytes = 65536,
		.breaker = 500,
		.drain_ms = 5000,
	};
	return w;
}

void fake_free(struct fake_world *w)
{
	worker_free(w->worker);
	free(w);
}

int fake_setup(void **state)
{
	*state = fake_new(1);
	return 0;
}

int fake_teardown(void **state)
{
	fake_free(*state);
	return 0;
}

void fake_start(struct fake_world *w)
{
	struct worker_ops ops = {
		.clock = &clock_ops,
		.source = &fake_source_ops,
		.ledger = &fake_ledger_ops,
		.lock = w->without_redis ? NULL : &lock_ops,
		.sink = &fake_sink_ops,
		.clock_self = w,
		.source_self = w,
		.ledger_self = w,
		.lock_self = w,
		.sink_self = w,
		.log = {.ops = &log_ops, .self = w},
	};

	w->worker = worker_new(&w->config, &ops);
	if (!w->worker)
		fake_abort(w, "no worker");
}

enum worker_life fake_step(struct fake_world *w)
{
	return worker_step(w->worker);
}

void fake_steps(struct fake_world *w, int count)
{
	while (count-- > 0)
		fake_step(w);
}

enum { STEPS_MAX = 100000 };

void fake_run_ms(struct fake_world *w, int64_t ms)
{
	int64_t until_us = w->now_us + ms * 1000;

	for (int i = 0; w->now_us < until_us; i++) {
		if (i == STEPS_MAX)
			fake_abort(w, "the worker spins: time stands still");
		fake_step(w);
	}
}

void fake_until(struct fake_world *w, int32_t partition, const char *state)
{
	for (int i = 0; strcmp(fake_state(w, partition), state) != 0; i++) {
		if (i == STEPS_MAX)
			fake_abort(w, "the state never comes");
		fake_step(w);
	}
}

void fake_until_saw(struct fake_world *w, const char *word)
{
	for (int i = 0; fake_count(w, word) == 0; i++) {
		if (i == STEPS_MAX)
			fake_abort(w, word);
		fake_step(w);
	}
}

static bool is_settled(struct fake_world *w)
{
	for (int32_t p = 0; p < w->partition_count; p++) {
		const struct partition_snapshot *s = fake_task(w, p);

		if (!s || strcmp(s->state, "filling") != 0 ||
			w->partitions[p].position < w->partitions[p].high ||
			s->published_offset < w->partitions[p].high)
			return false;
	}
	return true;
}

void fake_settled(struct fake_world *w)
{
	for (int i = 0; !is_settled(w); i++) {
		if (i == STEPS_MAX)
			fake_abort(w, "not all records are decided and published");
		fake_step(w);
	}
}

void fake_consuming(struct fake_world *w)
{
	char list[40] = "";

	for (int32_t p = 0; p < w->partition_count; p++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), " %" PRId32, p);
	if (!w->worker)
		fake_start(w);
	fake_assigned(w, list);
	for (int32_t p = 0; p < w->partition_count; p++)
		fake_until(w, p, "filling");
	fake_forget(w);
}

/* ---- looking ------------------------------------------------------------------------------- */

void fake_forget(struct fake_world *w)
{
	w->trace_used = 0;
	w->trace[0] = '\0';
	w->line_count = 0;
}

const char *fake_trace(const struct fake_world *w)
{
	static char text[FAKE_TRACE_BYTES];
	size_t n = 0;

	for (const char *at = w->trace; *at;) {
		size_t length = (size_t)(strchr(at, ' ') + 1 - at);

		if (strncmp(at, "commit:", strlen("commit:")) != 0) {
			memcpy(text + n, at, length);
			n += length;
		}
		at += length;
	}
	text[n ? n - 1 : 0] = '\0';
	return text;
}

static int count_words(const struct fake_world *w, const char *word, bool whole)
{
	size_t length = strlen(word);
	int n = 0;

	for (const char *at = w->trace; *at; at = strchr(at, ' ') + 1)
		n += !strncmp(at, word, length) && (!whole || at[length] == ' ');
	return n;
}

int fake_count(const struct fake_world *w, const char *word)
{
	return count_words(w, word, true);
}

int fake_count_prefix(const struct fake_world *w, const char *prefix)
{
	return count_words(w, prefix, false);
}

int fake_logged(const struct fake_world *w, enum log_event event)
{
	int n = 0;

	for (int i = 0; i < w->line_count; i++)
		n += w->lines[i].event == event;
	return n;
}

const struct log_entry *fake_entry(const struct fake_world *w, enum log_event event)
{
	for (int i = w->line_count; i-- > 0;) {
		if (w->lines[i].event == event)
			return &w->lines[i];
	}
	return NULL;
}

const char *fake_line(const struct fake_world *w, enum log_event event)
{
	const struct log_entry *e = fake_entry(w, event);

	return e ? e->text : "";
}

const struct worker_snapshot *fake_snapshot(struct fake_world *w)
{
	worker_snapshot(w->worker, &w->snapshot);
	return &w->snapshot;
}

const struct partition_snapshot *fake_task(struct fake_world *w, int32_t partition)
{
	const struct worker_snapshot *s = fake_snapshot(w);

	for (int32_t i = 0; i < s->task_count; i++) {
		if (s->tasks[i].partition == partition)
			return &s->tasks[i];
	}
	return NULL;
}

const char *fake_state(struct fake_world *w, int32_t partition)
{
	const struct partition_snapshot *s = fake_task(w, partition);

	return s ? s->state : "";
}
