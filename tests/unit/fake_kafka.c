/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The topics of the fake world: a log that is fetched from, and the outcomes. */

/* ---- what the test arranges ---------------------------------------------------------------- */

int64_t fake_ms(int64_t offset)
{
	return 1700000000000 + offset;
}

static struct fake_record *append(struct fake_world *w, int32_t partition)
{
	struct fake_partition *p = &w->partitions[partition];

	if (p->record_count == FAKE_RECORDS)
		fake_abort(w, "the log is full");

	struct fake_record *r = &p->records[p->record_count++];

	*r = (struct fake_record){.offset = p->high++};
	r->timestamp_ms = fake_ms(r->offset);
	return r;
}

void fake_value(struct fake_world *w, int32_t partition, const char *value)
{
	struct fake_record *r = append(w, partition);

	r->tombstone = !value;
	r->value_bytes = value ? strlen(value) : 0;
	snprintf(r->value, sizeof(r->value), "%s", value ? value : "");
}

void fake_order(
	struct fake_world *w, int32_t partition, const char *order_id, int64_t type, int quantity)
{
	char value[400];

	snprintf(value, sizeof(value),
		"{\"orderId\":\"%s\",\"paymentKey\":\"key\",\"amount\":100,\"ticketTypeId\":%" PRId64
		",\"memberId\":7,\"quantity\":%d}",
		order_id, type, quantity);
	fake_value(w, partition, value);
}

void fake_orders(struct fake_world *w, int32_t partition, int count)
{
	while (count-- > 0) {
		char order_id[40];

		snprintf(order_id, sizeof(order_id), "%" PRId32 "-%" PRId64, partition,
			w->partitions[partition].high);
		fake_order(w, partition, order_id, 1, 1);
	}
}

void fake_gap(struct fake_world *w, int32_t partition, int64_t offset)
{
	w->partitions[partition].high = offset;
}

static struct fake_event *add_event(struct fake_world *w, enum source_event_kind kind)
{
	if (w->event_count == FAKE_EVENTS)
		fake_abort(w, "too many events");

	struct fake_event *e = &w->events[w->event_count++];

	*e = (struct fake_event){.event = {.kind = kind}};
	return e;
}

void fake_assigned(struct fake_world *w, const char *partitions)
{
	struct fake_event *e = add_event(w, SOURCE_ASSIGNED);
	char *end;

	for (long p = strtol(partitions, &end, 10); end != partitions;
		p = strtol(partitions, &end, 10)) {
		e->partitions[e->event.partition_count++] = (int32_t)p;
		w->partitions[p].owned = true;
		partitions = end;
	}
}

void fake_revoked(struct fake_world *w, bool lost)
{
	add_event(w, SOURCE_REVOKED)->event.lost = lost;
}

void fake_happens(struct fake_world *w, enum source_event_kind kind, int32_t partition)
{
	struct fake_event *e = add_event(w, kind);

	e->event.partition = partition;
	snprintf(e->text, sizeof(e->text), "brokers are down");
}

void fake_commit_failed(struct fake_world *w, int32_t partition)
{
	struct fake_event *e = add_event(w, SOURCE_COMMIT);

	e->event.partition = partition;
	e->event.failed = true;
	snprintf(e->text, sizeof(e->text), "ILLEGAL_GENERATION");
}

void fake_stray(struct fake_world *w, int32_t partition, int64_t offset)
{
	struct fake_event *e = add_event(w, SOURCE_RECORD);

	e->event.partition = partition;
	e->record.offset = offset;
	e->record.timestamp_ms = fake_ms(offset);
	e->record.value_bytes = (size_t)snprintf(e->record.value, sizeof(e->record.value),
		"{\"orderId\":\"%" PRId32 "-%" PRId64
		"\",\"paymentKey\":\"key\",\"amount\":100,\"ticketTypeId\":1,\"memberId\":7}",
		partition, offset);
}

/* ---- source -------------------------------------------------------------------------------- */

static enum result source_check(void *self, int32_t *ret_partition_count, struct error *err)
{
	struct fake_world *w = self;
	enum result r = fake_answered(w, CALL_SOURCE_CHECK, err, NULL);

	if (r == RESULT_OK)
		*ret_partition_count = w->partition_count;
	return r;
}

static enum result source_subscribe(void *self, struct error *err)
{
	fake_word(self, "subscribe");
	return fake_answered(self, CALL_SUBSCRIBE, err, NULL);
}

static struct raw_record raw_of(int32_t partition, const struct fake_record *r)
{
	return (struct raw_record){
		.partition = partition,
		.offset = r->offset,
		.timestamp_ms = r->timestamp_ms,
		.value = {.data = r->tombstone ? NULL : r->value, .length = r->value_bytes},
	};
}

static bool next_event(struct fake_world *w, struct source_event *ret, struct error *err)
{
	static struct fake_event e; /* valid until the next call */

	if (w->event_count == 0)
		return false;
	e = w->events[0];
	memmove(&w->events[0], &w->events[1], (size_t)(--w->event_count) * sizeof(e));
	*ret = e.event;
	ret->partitions = e.partitions;
	if (e.text[0])
		fail(err, RESULT_OK, 1, "%s", e.text);
	if (e.event.kind == SOURCE_RECORD)
		ret->record = raw_of(e.event.partition, &e.record);
	for (int32_t p = 0; e.event.kind == SOURCE_REVOKED && p < w->partition_count; p++)
		w->partitions[p].assigned = false;
	return true;
}

static bool next_record(struct fake_world *w, struct source_event *ret)
{
	for (int32_t n = 0; n < w->partition_count; n++) {
		struct fake_partition *p = &w->partitions[n];

		if (!p->assigned || p->paused)
			continue;
		for (int i = 0; i < p->record_count; i++) {
			if (p->records[i].offset < p->position)
				continue;
			p->position = p->records[i].offset + 1;
			*ret = (struct source_event){.kind = SOURCE_RECORD};
			ret->record = raw_of(n, &p->records[i]);
			return true;
		}
	}
	return false;
}

static enum result source_poll(
	void *self, int64_t wait_ms, struct source_event *ret, struct error *err)
{
	struct fake_world *w = self;
	enum result r = fake_answered(w, CALL_POLL, err, NULL);

	w->polls++;
	w->last_wait_ms = wait_ms;
	if (r != RESULT_OK)
		return r;
	if (next_event(w, ret, err) || next_record(w, ret))
		return RESULT_OK;
	*ret = (struct source_event){.kind = SOURCE_NOTHING};
	w->now_us += wait_ms * 1000;
	return RESULT_OK;
}

static enum result source_offsets(
	void *self, int32_t partition, struct source_offsets *ret, struct error *err)
{
	struct fake_world *w = self;
	const struct fake_partition *p = &w->partitions[partition];

	enum result r = fake_called(w, CALL_OFFSETS, err, "offsets:%" PRId32, partition);

	if (r == RESULT_OK)
		*ret = (struct source_offsets){.partition = partition,
			.low = p->low,
			.high = p->high,
			.committed = p->committed};
	return r;
}

static enum result source_timestamp_at(
	void *self, int32_t partition, int64_t offset, int64_t *ret_ms, struct error *err)
{
	struct fake_world *w = self;
	const struct fake_partition *p = &w->partitions[partition];
	enum result r = fake_answered(w, CALL_TIMESTAMP, err, NULL);

	fake_word(w, "timestamp:%" PRId32 "@%" PRId64, partition, offset);
	if (r != RESULT_OK)
		return r;
	*ret_ms = TIMESTAMP_END;
	for (int i = 0; i < p->record_count; i++) {
		if (p->records[i].offset == offset)
			*ret_ms = p->records[i].timestamp_ms;
		else if (p->records[i].offset > offset && *ret_ms == TIMESTAMP_END)
			*ret_ms = TIMESTAMP_NONE;
	}
	return RESULT_OK;
}

static enum result source_assign(
	void *self, const struct position *p, size_t count, struct error *err)
{
	struct fake_world *w = self;
	char list[200] = "";

	for (size_t i = 0; i < count; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list),
			i ? ",%" PRId32 "@%" PRId64 : "%" PRId32 "@%" PRId64, p[i].partition,
			p[i].offset);
	enum result r = fake_called(w, CALL_ASSIGN, err, "assign:%s", list);

	if (r != RESULT_OK)
		return r;
	for (int32_t n = 0; n < w->partition_count; n++)
		w->partitions[n].assigned = w->partitions[n].paused = false;
	for (size_t i = 0; i < count; i++) {
		w->partitions[p[i].partition].assigned = true;
		w->partitions[p[i].partition].position = p[i].offset;
	}
	return RESULT_OK;
}

static enum result source_seek(void *self, int32_t partition, int64_t offset, struct error *err)
{
	struct fake_world *w = self;
	enum result r = fake_answered(w, CALL_SEEK, err, NULL);

	fake_word(w, "seek:%" PRId32 "@%" PRId64, partition, offset);
	if (r == RESULT_OK)
		w->partitions[partition].position = offset;
	return r;
}

static enum result source_pause(void *self, int32_t partition, bool pause, struct error *err)
{
	struct fake_world *w = self;
	enum result r = fake_answered(w, CALL_PAUSE, err, NULL);

	fake_word(w, "%s:%" PRId32, pause ? "pause" : "resume", partition);
	if (r == RESULT_OK)
		w->partitions[partition].paused = pause;
	return r;
}

static enum result source_commit(void *self, int32_t partition, int64_t offset, struct error *err)
{
	struct fake_world *w = self;

	enum result r = fake_called(
		w, CALL_COMMIT_OFFSET, err, "commit:%" PRId32 "@%" PRId64, partition, offset);

	if (r == RESULT_OK)
		w->partitions[partition].committed = offset;
	return r;
}

static enum result source_commit_wait(
	void *self, int32_t partition, int64_t offset, struct error *err)
{
	struct fake_world *w = self;

	enum result r = fake_called(
		w, CALL_COMMIT_WAIT, err, "commit_wait:%" PRId32 "@%" PRId64, partition, offset);

	if (r == RESULT_OK)
		w->partitions[partition].committed = offset;
	return r;
}

static bool source_owns(void *self, int32_t partition)
{
	return ((struct fake_world *)self)->partitions[partition].owned;
}

static int64_t source_high_watermark(void *self, int32_t partition)
{
	return ((struct fake_world *)self)->partitions[partition].high;
}

static void source_close(void *self)
{
	fake_word(self, "close_source");
}

const struct source_ops fake_source_ops = {
	.check = source_check,
	.subscribe = source_subscribe,
	.poll = source_poll,
	.offsets = source_offsets,
	.timestamp_at = source_timestamp_at,
	.assign = source_assign,
	.seek = source_seek,
	.pause = source_pause,
	.commit = source_commit,
	.commit_wait = source_commit_wait,
	.owns = source_owns,
	.high_watermark = source_high_watermark,
	.close = source_close,
};

/* ---- sink ---------------------------------------------------------------------------------- */

void fake_tell(struct fake_world *w, int index, bool delivered)
{
	/* Told from the next serve(). */
	w->outcomes[index].told = true;
	w->outcomes[index].undelivered = !delivered;
	w->outcomes[index].due = true;
}

static enum result publish_one(struct fake_world *w, struct bytes key, struct bytes value,
	uint64_t mark, struct error *err)
{

	enum result r =
		fake_called(w, CALL_PUBLISH, err, "publish:%.*s", (int)key.length, key.data);

	if (r == RESULT_OK && w->sink_full)
		r = fail(err, RESULT_BUSY, 0, "full");
	if (r != RESULT_OK)
		return r;
	if (w->outcome_count == FAKE_OUTCOMES)
		fake_abort(w, "too many outcomes");

	struct fake_outcome *o = &w->outcomes[w->outcome_count++];

	*o = (struct fake_outcome){
		.mark = mark, .due = !w->deliver_by_hand, .told = !w->deliver_by_hand};
	snprintf(o->order_id, sizeof(o->order_id), "%.*s", (int)key.length, key.data);
	snprintf(o->value, sizeof(o->value), "%.*s", (int)value.length, value.data);
	return RESULT_OK;
}

static enum result sink_publish(void *self, const struct sink_message *m, size_t count,
	uint64_t mark, struct sink_taken *ret, struct error *err)
{
	enum result r = RESULT_OK;

	*ret = (struct sink_taken){0};
	while (r == RESULT_OK && ret->next < count) {
		r = publish_one(self, m[ret->next].key, m[ret->next].value, mark, err);
		if (r == RESULT_OK)
			ret->count = ++ret->next;
	}
	return r;
}

static enum result sink_serve(
	void *self, int64_t wait_ms, sink_delivered_fn *delivered, void *context, struct error *err)
{
	struct fake_world *w = self;
	bool told = false;

	w->hurries += wait_ms > 0;
	for (int i = w->first_outcome; i < w->outcome_count; i++) {
		struct fake_outcome *o = &w->outcomes[i];

		if (o->due)
			delivered(context, o->mark, !o->undelivered);
		told |= o->due;
		o->due = false;
		if (o->told && i == w->first_outcome)
			w->first_outcome++;
	}
	if (!told)
		w->now_us += wait_ms * 1000;
	return fake_answered(w, CALL_SERVE, err, NULL);
}

static void sink_close(void *self)
{
	fake_word(self, "close_sink");
}

const struct sink_ops fake_sink_ops = {
	.publish = sink_publish,
	.serve = sink_serve,
	.close = sink_close,
};
