/* SPDX-License-Identifier: Apache-2.0 */
#include "core/breaker.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

static void count(struct breaker *b, int times, bool bad)
{
	while (times-- > 0)
		breaker_count(b, bad, 1000 + b->seen);
}

static void exactly_the_limit_does_not_trip(void **state)
{
	(void)state;
	struct breaker b;

	breaker_reset(&b);
	count(&b, 500, true);
	assert_false(breaker_tripped(&b, 500));
	count(&b, 1, true);
	assert_true(breaker_tripped(&b, 500));
}

static void zero_means_never(void **state)
{
	(void)state;
	struct breaker b;

	breaker_reset(&b);
	count(&b, 3 * BREAKER_WINDOW, true);
	assert_false(breaker_tripped(&b, 0));
	assert_int_equal(b.bad_count, BREAKER_WINDOW);
}

static void only_the_last_thousand_count(void **state)
{
	(void)state;
	struct breaker b;

	breaker_reset(&b);
	count(&b, 500, true);
	count(&b, 500, false);
	count(&b, 1, true); /* the first bad one has left the window */
	assert_false(breaker_tripped(&b, 500));
	assert_int_equal(b.bad_count, 500);
	count(&b, 999, false);
	assert_int_equal(b.bad_count, 1);
	count(&b, 1, false);
	assert_int_equal(b.bad_count, 0);
}

static void it_remembers_the_first_and_the_last_bad_timestamp(void **state)
{
	(void)state;
	struct breaker b;

	breaker_reset(&b);
	assert_int_equal(b.first_bad_ms, -1);
	assert_int_equal(b.last_bad_ms, -1);
	breaker_count(&b, false, 10);
	breaker_count(&b, true, 20);
	breaker_count(&b, true, 30);
	breaker_count(&b, false, 40);
	assert_int_equal(b.first_bad_ms, 20);
	assert_int_equal(b.last_bad_ms, 30);
	count(&b, BREAKER_WINDOW, false);
	breaker_count(&b, true, 50);
	assert_int_equal(b.first_bad_ms, 50);
	assert_int_equal(b.last_bad_ms, 50);
}

static void a_reset_forgets_everything(void **state)
{
	(void)state;
	struct breaker b;

	breaker_reset(&b);
	count(&b, BREAKER_WINDOW, true);
	breaker_reset(&b);
	assert_false(breaker_tripped(&b, 1));
	count(&b, BREAKER_WINDOW, false);
	assert_int_equal(b.bad_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exactly_the_limit_does_not_trip),
		cmocka_unit_test(zero_means_never),
		cmocka_unit_test(only_the_last_thousand_count),
		cmocka_unit_test(it_remembers_the_first_and_the_last_bad_timestamp),
		cmocka_unit_test(a_reset_forgets_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
