/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "fake_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

/*
 * Linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc: the nth allocation of our own code
 * and of the JSON decoder fails. What is claimed: no crash, and whatever was done is exact.
 */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);

static int left; /* allocations until the one that fails; 0: none will */
static bool failed;

static bool fails_now(void)
{
	if (left == 0 || --left > 0)
		return false;
	failed = true;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails_now() ? NULL : __real_realloc(p, size);
}

static const struct clock_ops no_clock;

static void a_worker_needs_memory(void **state)
{
	struct worker_config config = {.max_events = 4};
	struct worker_ops ops = {.clock = &no_clock};

	(void)state;
	left = 1;
	assert_null(worker_new(&config, &ops));
	worker_free(NULL);
}

static void a_batch_needs_all_of_its_memory(void **state)
{
	(void)state;
	for (int n = 1; n <= 7; n++) {
		left = n;
		assert_null(batch_new(4));
	}
	left = 8;

	struct batch *b = batch_new(4);

	assert_non_null(b);
	batch_free(b);
	left = 0;
}

/* Runs the whole line with the nth allocation failing; false: there were fewer than n. */
static bool line_with_failure(int n)
{
	struct fake_world *w = fake_new(2);

	w->partitions[1].row.exists = false; /* through the survey as well */
	fake_orders(w, 0, 3);
	fake_value(w, 0, "no JSON");
	fake_value(w, 0, "{\"orderId\":\"r\",\"orderId\":\"r\"}");
	fake_orders(w, 1, 3);
	fake_start(w);
	fake_assigned(w, "0 1");
	failed = false;
	left = n;
	for (int i = 0; i < 400 && worker_step(w->worker) <= WORKER_RUNNING; i++)
		;
	left = 0;
	if (fake_step(w) == WORKER_BROKEN) {
		assert_int_equal(w->payment_count, 0); /* ended before anything was done */
	} else {
		fake_settled(w);
		assert_int_equal(w->payment_count, 6);
		assert_int_equal(w->letter_count, 2);
		assert_int_equal(w->types[0].remaining, 94);
		assert_int_equal(w->letters[0].reason, REFUSAL_BAD_JSON);
		assert_int_equal(w->letters[1].reason, REFUSAL_DUPLICATE_KEY);
	}
	fake_free(w);
	return failed;
}

static void whichever_allocation_fails_the_result_is_exact(void **state)
{
	int n = 1;

	(void)state;
	while (line_with_failure(n))
		n++;
	assert_true(n > 40); /* it was about something */
}

static void a_rejected_record_becomes_a_letter_without_memory_for_its_detail(void **state)
{
	struct batch *b = batch_new(1);
	struct raw_record raw = {
		.value = BYTES_LITERAL("{\"orderId\":\"a\",\"paymentKey\":\"k\",\"amount\":1,"
				       "\"ticketTypeId\":1,\"memberId\":1}")};
	struct error err;
	char detail[200];

	(void)state;
	memset(detail, 'x', sizeof(detail) - 1);
	detail[sizeof(detail) - 1] = '\0';
	assert_int_equal(batch_append(b, &raw, 1000, &err), RESULT_OK);
	while (arena_alloc(b->arena, 200)) { /* to the end of the chunk */
		left = 1;
	}
	left = 1;
	batch_reject(b, 0, detail);
	left = 0;
	assert_int_equal(b->records[0].refusal, REFUSAL_DB_REJECTED);
	assert_string_equal(b->records[0].detail, "");
	batch_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worker_needs_memory),
		cmocka_unit_test(a_batch_needs_all_of_its_memory),
		cmocka_unit_test(whichever_allocation_fails_the_result_is_exact),
		cmocka_unit_test(a_rejected_record_becomes_a_letter_without_memory_for_its_detail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
