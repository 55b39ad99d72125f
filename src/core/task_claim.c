/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "core/task.h"

/*
 * From an assigned partition to a position: docs/design.md, "Claim". Nothing here is done inside
 * the rebalance callback, and a failure of any server leaves the partition assigned and unfetched.
 */
enum {
	UNCLEAN_CAREFUL = 3, /* so many kills at one place: batches of one record */
	UNCLEAN_STOP = 20,   /* and so many: a person must look */
	ABOVE_HIGH_S = 30,   /* next_offset above the log's end: the same answer for so long */
};

static void claimed(struct task *t, const struct progress *p)
{
	t->claimed = true;
	memcpy(t->owner, p->owner, sizeof(t->owner));
	t->next_offset = p->next_offset;
	t->last_record_at_ms = p->last_record_at_ms;
	t->sought = p->sought;
	t->published_written = p->published_offset;
	t->unclean_claims = p->unclean_claims;
	deliveries_restart(&t->deliveries,
		p->published_offset < p->next_offset ? p->published_offset : p->next_offset);
	if (p->unclean_claims >= UNCLEAN_CAREFUL)
		t->slice_max = 1;
	if (t->stop_reason[0]) {
		task_log(t, LOG_LEVEL_NOTICE, LOG_EVENT_RESUMED, NULL,
			"partition %" PRId32 " goes on", t->partition);
		t->stop_reason[0] = '\0';
		breaker_reset(&t->breaker);
	}
	task_recovered(t);

	task_log(t, LOG_LEVEL_DEBUG, LOG_EVENT_CLAIMED, NULL,
		"claimed at next_offset %" PRId64 ", published_offset %" PRId64, p->next_offset,
		p->published_offset);
	task_enter(t, TASK_POSITION);
}

/* A server did not answer. A stopped partition stays one meanwhile. */
static void ask_again(struct task *t, enum wait_cause cause, const struct error *err)
{
	task_wait(t, t->stop_reason[0] ? TASK_STOPPED : TASK_CLAIM, cause, err);
}

void task_step_claim(struct task *t)
{
	struct worker *w = t->worker;
	struct progress p = {0};
	struct error err = {0};
	enum result r = w->ops.ledger->claim(w->ops.ledger_self, t->partition, &p, &err);

	if (r != RESULT_OK) {
		ask_again(t, task_database_cause(&err), &err);
		return;
	}
	if (!p.exists) {
		t->group_exists = p.group_exists;
		task_enter(t, TASK_SURVEY);
	} else if (p.stopped) {
		task_stop(t, false, "%s", p.stopped_reason);
	} else {
		claimed(t, &p);
	}
}

/* ---- no row yet ---------------------------------------------------------------------------- */

/* Where `partition` starts; *committed: the group's offset, beside which nothing may start. */
static enum result find_start(struct task *t, int32_t partition, int64_t *committed,
	struct position *ret, struct error *err)
{
	struct worker *w = t->worker;
	struct source_offsets o = {0};
	enum result r = w->ops.source->offsets(w->ops.source_self, partition, &o, err);

	if (r != RESULT_OK)
		return r;

	/* kafka.start is for a new group; a partition added later must not lose its first records.
	 */
	bool latest = w->config.start == START_LATEST && !t->group_exists;

	*committed = o.committed;
	*ret = (struct position){.partition = partition, .offset = latest ? o.high : o.low};
	return RESULT_OK;
}

/*
 * A group's first claim finds the start of every partition, not only of ours: a row that one worker
 * writes must not make another's partition look as if it had been added later.
 */
void task_step_survey(struct task *t)
{
	struct worker *w = t->worker;
	struct error err = {0};
	int32_t first = t->group_exists ? t->partition : 0;
	int32_t end = t->group_exists ? t->partition + 1 : w->partition_count;
	int64_t ours_committed = -1;
	CLEANUP(free_ptr) struct position *starts = calloc((size_t)(end - first), sizeof(*starts));
	size_t count = 0;

	if (!starts) {
		fail(&err, RESULT_RETRY, 0, "no memory");
		ask_again(t, WAIT_DATABASE, &err);
		return;
	}
	for (int32_t p = first; p < end; p++) {
		int64_t committed = -1;

		if (find_start(t, p, &committed, &starts[count], &err) != RESULT_OK) {
			ask_again(t, WAIT_KAFKA, &err);
			return;
		}
		if (p == t->partition)
			ours_committed = committed;
		if (committed < 0)
			count++;
	}
	if (count > 0 &&
		w->ops.ledger->create(w->ops.ledger_self, starts, count, &err) != RESULT_OK) {
		ask_again(t, task_database_cause(&err), &err);
		return;
	}
	if (ours_committed < 0) {
		task_enter(t, TASK_CLAIM);
		return;
	}
	task_recovered(t);
	task_stop(t, false,
		"no progress row in this database, but the group's committed offset is %" PRId64
		": the database is new, restored or the wrong one; if it is right: ticketpayctl "
		"progress adopt (skips what was committed) or progress seek --partition %" PRId32
		" --to earliest (books all of it)",
		ours_committed, t->partition);
}

/* ---- position -------------------------------------------------------------------------------- */

/*
 * What is asked before a partition is read: each question true, or the task has been stopped or
 * waits.
 */

/*
 * Kills with nothing to decide say nothing of any record: they are forgotten, or a record that
 * comes after the last of them would be blamed. The marker behind a transaction is nothing, too; it
 * is looked at when the count begins to matter.
 */
static bool find_undecided(struct task *t, const struct source_offsets *o, bool *ret)
{
	struct worker *w = t->worker;
	struct error err = {0};
	int64_t ms = -1;

	*ret = t->next_offset < o->high;
	if (!*ret || t->unclean_claims < UNCLEAN_CAREFUL)
		return true;
	if (w->ops.source->timestamp_at(
		    w->ops.source_self, t->partition, t->next_offset, &ms, &err) != RESULT_OK) {
		task_wait(t, TASK_POSITION, WAIT_KAFKA, &err);
		return false;
	}
	*ret = ms != TIMESTAMP_END;
	return true;
}

/* A record that kills us each time? */
static bool survives(struct task *t, bool undecided)
{
	if (t->unclean_claims <= UNCLEAN_STOP || !undecided)
		return true;
	task_stop(t, true,
		"the daemon ended %" PRId32
		" times without releasing the partition at offset %" PRId64
		": a record there may crash it; look at the record and the core, then: ticketpayctl "
		"resume --partition %" PRId32,
		t->unclean_claims, t->next_offset, t->partition);
	return false;
}

static bool is_retained(struct task *t, const struct source_offsets *o)
{
	if (t->next_offset >= o->low)
		return true;
	task_stop(t, true,
		"records %" PRId64 " to %" PRId64
		" were deleted by retention before they were decided; to go on with what is left: "
		"ticketpayctl progress seek --partition %" PRId32 " --to earliest",
		t->next_offset, o->low - 1, t->partition);
	return false;
}

static bool is_within_log(struct task *t, const struct source_offsets *o)
{
	int64_t now = worker_now(t->worker);
	struct error err = {0};

	if (t->next_offset <= o->high) {
		t->above_high_us = 0;
		return true;
	}
	if (t->above_high_us == 0)
		t->above_high_us = now;
	if (now - t->above_high_us < (int64_t)ABOVE_HIGH_S * 1000000) {
		fail(&err, RESULT_RETRY, 0,
			"next_offset %" PRId64 " is above the log's end %" PRId64
			": asking again for %d s, then the partition is stopped",
			t->next_offset, o->high, ABOVE_HIGH_S);
		task_wait(t, TASK_POSITION, WAIT_KAFKA, &err);
		return false;
	}
	t->above_high_us = 0;
	task_stop(t, true,
		"next_offset %" PRId64 " is above the log's end %" PRId64
		": the topic was recreated or has lost records; to begin anew: ticketpayctl progress "
		"seek --partition %" PRId32 " --to earliest",
		t->next_offset, o->high, t->partition);
	return false;
}

/* Is the record at `offset` still the one that was decided? false: the task is stopped or waits. */
static bool is_same_record(
	struct task *t, int64_t offset, int64_t decided_ms, enum task_state again)
{
	struct worker *w = t->worker;
	struct error err = {0};
	int64_t ms = -1;

	if (w->ops.source->timestamp_at(w->ops.source_self, t->partition, offset, &ms, &err) !=
		RESULT_OK) {
		task_wait(t, again, WAIT_KAFKA, &err);
		return false;
	}
	if (ms < 0 || ms == decided_ms)
		return true;
	task_stop(t, true,
		"record %" PRId64
		" is not the one that was decided (another timestamp): the topic was recreated; to "
		"begin anew: ticketpayctl progress seek --partition %" PRId32 " --to earliest",
		offset, t->partition);
	return false;
}

static bool is_same_log(struct task *t, const struct source_offsets *o)
{
	if (t->last_record_at_ms < 0 || t->next_offset - 1 < o->low)
		return true;
	return is_same_record(t, t->next_offset - 1, t->last_record_at_ms, TASK_POSITION);
}

/*
 * A topic that is deleted, made anew and longer than next_offset within seconds is fetched on by
 * name, and nothing in the stream tells. So the first batch after a pause is followed by a look at
 * the record before it. After it, because the look costs 20 ms that a single event would wait for;
 * what was decided by then stands, and the seek that cures the stop decides what was skipped.
 */
enum { PAUSE_US = 1000000 };

void task_note_pause(struct task *t)
{
	bool paused = worker_now(t->worker) - t->decided_us >= PAUSE_US;

	t->check_offset = paused && t->last_record_at_ms >= 0 ? t->next_offset - 1 : -1;
	t->check_ms = t->last_record_at_ms;
}

void task_step_check(struct task *t)
{
	if (is_same_record(t, t->check_offset, t->check_ms, TASK_FILL))
		task_recovered(t);
	else if (t->state == TASK_FILL)
		return; /* Kafka did not answer: asked again */
	t->check_offset = -1;
}

/* The operator's seek counts, not what Kafka has: tell Kafka, then the database that we did. */
static void take_over_seek(struct task *t)
{
	struct worker *w = t->worker;
	struct error err = {0};
	enum result r =
		w->ops.source->commit_wait(w->ops.source_self, t->partition, t->next_offset, &err);

	if (r != RESULT_OK) {
		task_wait(t, TASK_POSITION, WAIT_KAFKA, &err);
		return;
	}
	r = w->ops.ledger->clear_sought(w->ops.ledger_self, t->partition, t->owner, &err);
	if (r == RESULT_OK)
		t->sought = false;
	else if (r == RESULT_FENCED)
		task_enter(t, TASK_FENCED);
	else
		task_wait(t, TASK_POSITION, task_database_cause(&err), &err);
}

static int64_t start_of(struct task *t, const struct source_offsets *o)
{
	int64_t start = t->deliveries.delivered_to;

	/* An operator who set the group's offset back asks for the outcomes again. */
	if (o->committed >= 0 && o->committed < start)
		start = o->committed;
	if (start < o->low) {
		task_log_gap(t, LOG_LEVEL_WARNING, start, o->low - 1,
			"are deleted by now: their records are decided, but the outcomes may not have "
			"been published");
		start = o->low;
	}
	return start;
}

void task_step_position(struct task *t)
{
	struct worker *w = t->worker;
	struct source_offsets o = {0};
	struct error err = {0};
	bool undecided = false;

	if (t->sought) {
		take_over_seek(t);
		return;
	}
	if (w->ops.source->offsets(w->ops.source_self, t->partition, &o, &err) != RESULT_OK) {
		t->above_high_us = 0;
		task_wait(t, TASK_POSITION, WAIT_KAFKA, &err);
		return;
	}
	if (!find_undecided(t, &o, &undecided) || !survives(t, undecided) || !is_retained(t, &o) ||
		!is_within_log(t, &o) || !is_same_log(t, &o))
		return;

	t->expected = start_of(t, &o);
	t->committed_asked = t->committed_known = o.committed;
	deliveries_restart(&t->deliveries, t->expected);
	t->positioned = true;
	if (worker_assign(w, &err) != RESULT_OK) {
		t->positioned = false;
		task_wait(t, TASK_POSITION, WAIT_KAFKA, &err);
		return;
	}
	if (t->wait != WAIT_DELIVERY)
		task_recovered(t);
	task_log(t, LOG_LEVEL_NOTICE, LOG_EVENT_CLAIMED, NULL,
		"reading on at offset %" PRId64 ", next to decide is %" PRId64, t->expected,
		t->next_offset);
	t->decided_us = worker_now(w); /* is_same_log() has just looked */
	t->check_offset = -1;
	task_enter(t, TASK_FILL);
	if (t->unclean_claims > 0 && !undecided)
		task_touch(t); /* which writes that they are forgotten */
}
