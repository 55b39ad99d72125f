/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#undef fail /* of cmocka; ours is what is tested */

#include "base/error.h"

static void failure_is_one_line_and_hands_the_result_through(void **state)
{
	struct error err = {.sqlstate = "40001"};
	(void)state;

	assert_int_equal(fail(&err, RESULT_RETRY, 5, "cannot reach %s: %d", "x", 7), RESULT_RETRY);
	assert_string_equal(err.text, "cannot reach x: 7");
	assert_int_equal(err.code, 5);
	assert_string_equal(err.sqlstate, "");
}

static void control_characters_become_spaces_and_trailing_ones_vanish(void **state)
{
	struct error err;
	(void)state;

	(void)fail(&err, RESULT_FATAL, 0,
		"one\ntwo\tthree\x7f"
		"four\r\n \n");
	assert_string_equal(err.text, "one two three four");
	(void)fail(&err, RESULT_FATAL, 0, "%s", "\n\n ");
	assert_string_equal(err.text, "");
	(void)fail(&err, RESULT_FATAL, 0, "%s", "caf\xc3\xa9");
	assert_string_equal(err.text, "caf\xc3\xa9");
}

static void long_text_is_cut(void **state)
{
	struct error err;
	char text[2 * sizeof(err.text)];
	(void)state;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)fail(&err, RESULT_FATAL, 0, "%s", text);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	assert_memory_equal(err.text, text, sizeof(err.text) - 1);
}

static void nobody_has_to_listen(void **state)
{
	(void)state;
	assert_int_equal(fail(NULL, RESULT_BUSY, 0, "%s", "unheard"), RESULT_BUSY);
}

static void every_result_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (int i = RESULT_OK; i <= RESULT_FATAL; i++) {
		assert_string_not_equal(result_name((enum result)i), "?");
		for (int j = RESULT_OK; j < i; j++)
			assert_string_not_equal(
				result_name((enum result)i), result_name((enum result)j));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failure_is_one_line_and_hands_the_result_through),
		cmocka_unit_test(control_characters_become_spaces_and_trailing_ones_vanish),
		cmocka_unit_test(long_text_is_cut),
		cmocka_unit_test(nobody_has_to_listen),
		cmocka_unit_test(every_result_has_a_name_of_its_own),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
