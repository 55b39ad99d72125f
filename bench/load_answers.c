/* SPDX-License-Identifier: Apache-2.0 */
#include "load_answers.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* Events a partition: enough for every partition of the outcomes to have had some as well. */
enum { WARM_UP = 20 };

void answers_produce(struct answers *a, int64_t i)
{
	const struct options *o = a->w->options;
	char room[WORKLOAD_ROOM], json[WORKLOAD_JSON_MAX];
	struct payment_event e;

	workload_event(a->w, i, room, &e);
	while (rd_kafka_produce(a->topic, (int32_t)(i % o->partitions), RD_KAFKA_MSG_F_COPY, json,
		       workload_json(&e, json), NULL, 0, NULL) != 0) {
		if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			die("cannot produce: %s", rd_kafka_err2str(rd_kafka_last_error()));
		rd_kafka_poll(a->producer, 10);
	}
	rd_kafka_poll(a->producer, 0);
	if (i >= a->base)
		a->produced++;
}

int64_t answers_wait(struct answers *a, int wait_ms, bool *confirmed)
{
	rd_kafka_message_t *m = rd_kafka_consumer_poll(a->consumer, wait_ms);
	int64_t number = -1;

	if (!m)
		return -1;
	if (!m->err) {
		struct bytes status = json_text((struct bytes){m->payload, m->len}, "status");

		number = workload_number(a->w, (struct bytes){m->key, m->key_len});
		*confirmed = bytes_equal(status, BYTES_LITERAL("CONFIRMED"));
	}
	rd_kafka_message_destroy(m);
	return number;
}

void answers_count(struct answers *a, int64_t since_us, int64_t now_us, bool confirmed)
{
	a->answered++;
	a->confirmed += confirmed;
	a->end_us = now_us;
	histogram_record(&a->latency, now_us - since_us);
}

static void warm_up(struct answers *a)
{
	const struct options *o = a->w->options;
	int64_t deadline_us = clock_monotonic_us() + o->timeout_ms * 1000;
	bool confirmed;

	for (int64_t i = o->first; i < a->base; i++)
		answers_produce(a, i);
	for (int64_t left = a->base - o->first; left > 0;) {
		int64_t i = answers_wait(a, 100, &confirmed);

		left -= i >= o->first && i < a->base;
		if (clock_monotonic_us() > deadline_us)
			die("nobody answers on topic %s", o->outcome_topic);
	}
}

void answers_open(struct answers *a, const struct workload *w)
{
	const struct options *o = w->options;

	*a = (struct answers){.w = w, .base = o->first + WARM_UP * o->partitions};
	a->consumer = kafka_consumer(o, "fetch.error.backoff.ms", "5", NULL);
	kafka_assign(a->consumer, o->outcome_topic, 0, 1, RD_KAFKA_OFFSET_END);
	a->producer = kafka_producer(o, "linger.ms", o->linger_ms, NULL);
	a->topic = rd_kafka_topic_new(a->producer, o->topic, NULL);
	warm_up(a);
	a->begin_us = a->end_us = clock_monotonic_us();
}

static double ms(int64_t us)
{
	return (double)us / 1000;
}

void answers_close(struct answers *a, int64_t failed)
{
	const struct histogram *h = &a->latency;
	double seconds = (double)(a->end_us - a->begin_us) / 1e6;

	printf("{\"warming_up\":%lld,\"produced\":%lld,\"answered\":%lld,\"confirmed\":%lld,\"repeated\":%lld,"
	       "\"failed\":%lld,\"seconds\":%.3f,\"rate\":%.1f,\"mean_ms\":%.3f,"
	       "\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}\n",
		(long long)(a->base - a->w->options->first), (long long)a->produced,
		(long long)a->answered, (long long)a->confirmed, (long long)a->repeated,
		(long long)failed, seconds, (double)a->answered / seconds,
		h->count ? h->sum_us / (double)h->count / 1000 : 0.0, ms(histogram_at(h, 0.5)),
		ms(histogram_at(h, 0.9)), ms(histogram_at(h, 0.99)), ms(h->maximum_us));
	if (a->w->options->histogram) {
		FILE *out = fopen(a->w->options->histogram, "we");

		if (!out)
			die("cannot write %s", a->w->options->histogram);
		histogram_print(h, out);
		fclose(out);
	}
	rd_kafka_topic_destroy(a->topic);
	rd_kafka_consumer_close(a->consumer);
	rd_kafka_destroy(a->consumer);
	kafka_flush(a->producer);
	rd_kafka_destroy(a->producer);
}

void answers_progress(struct answers *a, int64_t now_us)
{
	if (a->w->options->quiet || now_us < a->next_progress_us)
		return;
	a->next_progress_us = now_us + 1000000;
	fprintf(stderr, "%.0f s: %lld produced, %lld answered\n",
		(double)(now_us - a->begin_us) / 1e6, (long long)a->produced,
		(long long)a->answered);
}
