/* SPDX-License-Identifier: Apache-2.0 */
#include "core/deliveries.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

static uint32_t slice(struct deliveries *d, int64_t end, int outcomes)
{
	uint32_t sequence = deliveries_begin(d, end);

	while (outcomes-- > 0)
		deliveries_add(d, 1);
	deliveries_close(d);
	return sequence;
}

static void nothing_is_delivered_before_it_is_told(void **state)
{
	struct deliveries d = {0};

	(void)state;
	deliveries_restart(&d, 10);
	uint32_t s = slice(&d, 12, 2);

	assert_int_equal(d.delivered_to, 10);
	deliveries_told(&d, s, true);
	assert_int_equal(d.delivered_to, 10);
	assert_true(deliveries_outstanding(&d));
	deliveries_told(&d, s, true);
	assert_int_equal(d.delivered_to, 12);
	assert_false(deliveries_outstanding(&d));
}

static void a_slice_with_nothing_to_say_is_delivered_at_once(void **state)
{
	struct deliveries d = {0};

	(void)state;
	deliveries_restart(&d, 10);
	slice(&d, 15, 0);
	assert_int_equal(d.delivered_to, 15);
}

static void a_later_slice_waits_for_the_one_before(void **state)
{
	struct deliveries d = {0};

	(void)state;
	deliveries_restart(&d, 0);
	uint32_t a = slice(&d, 1, 1), b = slice(&d, 2, 1);

	slice(&d, 3, 0);
	deliveries_told(&d, b, true);
	assert_int_equal(d.delivered_to, 0);
	deliveries_told(&d, a, true);
	assert_int_equal(d.delivered_to, 3);
}

static void an_open_slice_does_not_count_though_all_of_it_is_told(void **state)
{
	struct deliveries d = {0};

	(void)state;
	deliveries_restart(&d, 0);
	uint32_t s = deliveries_begin(&d, 2);

	deliveries_add(&d, 1);
	deliveries_told(&d, s, true);
	assert_int_equal(d.delivered_to, 0);
	deliveries_add(&d, 1);
	deliveries_close(&d);
	assert_int_equal(d.delivered_to, 0);
	deliveries_told(&d, s, true);
	assert_int_equal(d.delivered_to, 2);
}

static void after_an_undelivered_one_nothing_advances(void **state)
{
	struct deliveries d = {0};

	(void)state;
	deliveries_restart(&d, 0);
	uint32_t a = slice(&d, 1, 1), b = slice(&d, 2, 1), c = slice(&d, 3, 1);

	deliveries_told(&d, a, true);
	deliveries_told(&d, b, false);
	deliveries_told(&d, c, true);
	assert_true(d.failed);
	assert_int_equal(d.delivered_to, 1);
	slice(&d, 4, 0);
	assert_int_equal(d.delivered_to, 1);
}

static void what_is_told_after_a_restart_of_before_is_ignored(void **state)
{
	struct deliveries d = {0};

	(void)state;
	deliveries_restart(&d, 0);
	uint32_t old = slice(&d, 1, 1);

	deliveries_restart(&d, 0);
	uint32_t again = slice(&d, 1, 1);

	assert_int_not_equal(old, again);
	deliveries_told(&d, old, true);
	assert_int_equal(d.delivered_to, 0);
	deliveries_told(&d, old, false);
	assert_false(d.failed);
	deliveries_told(&d, again, true);
	assert_int_equal(d.delivered_to, 1);
}

static void a_restart_forgives_the_failure(void **state)
{
	struct deliveries d = {0};

	(void)state;
	deliveries_restart(&d, 0);
	deliveries_told(&d, slice(&d, 1, 1), false);
	assert_true(d.failed);
	deliveries_restart(&d, 0);
	assert_false(d.failed);
	deliveries_told(&d, slice(&d, 1, 1), true);
	assert_int_equal(d.delivered_to, 1);
}

static void it_is_full_at_its_maximum_and_has_room_again_after_the_front(void **state)
{
	struct deliveries d = {0};
	uint32_t first = 0;

	(void)state;
	deliveries_restart(&d, 0);
	for (int i = 0; i < DELIVERIES_MAX; i++) {
		uint32_t s = slice(&d, i + 1, 1);

		assert_int_equal(deliveries_full(&d), i == DELIVERIES_MAX - 1);
		if (i == 0)
			first = s;
	}
	deliveries_told(&d, first + 1, true);
	assert_true(deliveries_full(&d));
	deliveries_told(&d, first, true);
	assert_false(deliveries_full(&d));
	assert_int_equal(d.delivered_to, 2);
}

static void a_slot_that_was_given_up_comes_again_clean(void **state)
{
	struct deliveries d = {0};

	(void)state;
	deliveries_restart(&d, 0);
	slice(&d, 1, 3); /* never told */
	deliveries_restart(&d, 0);
	for (int i = 0; i < 2 * DELIVERIES_MAX; i++) {
		deliveries_told(&d, slice(&d, i + 1, 1), true);
		assert_int_equal(d.delivered_to, i + 1);
	}
}

static void sequence_numbers_may_run_over(void **state)
{
	struct deliveries d = {.first = UINT32_MAX - 1};

	(void)state;
	deliveries_restart(&d, 0);
	for (int i = 0; i < 1000; i++) {
		uint32_t s = slice(&d, i + 1, 1);

		deliveries_told(&d, s, true);
		assert_int_equal(d.delivered_to, i + 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_delivered_before_it_is_told),
		cmocka_unit_test(a_slice_with_nothing_to_say_is_delivered_at_once),
		cmocka_unit_test(a_later_slice_waits_for_the_one_before),
		cmocka_unit_test(an_open_slice_does_not_count_though_all_of_it_is_told),
		cmocka_unit_test(after_an_undelivered_one_nothing_advances),
		cmocka_unit_test(what_is_told_after_a_restart_of_before_is_ignored),
		cmocka_unit_test(a_restart_forgives_the_failure),
		cmocka_unit_test(it_is_full_at_its_maximum_and_has_room_again_after_the_front),
		cmocka_unit_test(a_slot_that_was_given_up_comes_again_clean),
		cmocka_unit_test(sequence_numbers_may_run_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
