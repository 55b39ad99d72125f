/* SPDX-License-Identifier: Apache-2.0 */
#include "core/backoff.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

static int64_t longest(int attempt)
{
	return backoff_us(attempt, (uint64_t)(backoff_us(attempt, 0)));
}

static void without_jitter_half_of_it_is_left(void **state)
{
	(void)state;
	assert_int_equal(backoff_us(1, 0), 25000);
	assert_int_equal(backoff_us(2, 0), 50000);
	assert_int_equal(backoff_us(3, 0), 100000);
}

static void it_doubles_and_ends_at_two_seconds(void **state)
{
	(void)state;
	for (int attempt = 1; attempt < 6; attempt++)
		assert_int_equal(longest(attempt + 1), 2 * longest(attempt));
	assert_int_equal(longest(7), BACKOFF_MAX_US);
	assert_int_equal(longest(1000000), BACKOFF_MAX_US);
	assert_int_equal(longest(INT32_MAX), BACKOFF_MAX_US);
}

static void no_random_number_leaves_the_bounds(void **state)
{
	(void)state;
	uint64_t random = 1;

	for (int i = 0; i < 10000; i++) {
		int attempt = i % 12 + 1;
		int64_t us = backoff_us(attempt, random);

		assert_true(us >= backoff_us(attempt, 0));
		assert_true(us <= 2 * backoff_us(attempt, 0));
		random = random * 6364136223846793005u + 1442695040888963407u;
	}
	assert_true(backoff_us(9, UINT64_MAX) <= BACKOFF_MAX_US);
}

static void a_silly_attempt_waits_like_the_first(void **state)
{
	(void)state;
	assert_int_equal(backoff_us(0, 0), backoff_us(1, 0));
	assert_int_equal(backoff_us(-5, 0), backoff_us(1, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_jitter_half_of_it_is_left),
		cmocka_unit_test(it_doubles_and_ends_at_two_seconds),
		cmocka_unit_test(no_random_number_leaves_the_bounds),
		cmocka_unit_test(a_silly_attempt_waits_like_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
