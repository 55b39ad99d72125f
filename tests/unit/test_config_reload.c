/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/config_key.h"
#include "core/log.h"

#include <cmocka.h>

static struct config *with(const char *const *sets)
{
	struct config *c = config_new();
	struct error err = {0};

	assert_non_null(c);
	for (; *sets; sets++)
		assert_int_equal(config_set_argument(c, *sets, &err), RESULT_OK);
	return c;
}

static void what_can_change_is_taken(void **state)
{
	CLEANUP(config_free_ptr) struct config *c = config_new();
	CLEANUP(config_free_ptr) struct config *fresh = with((const char *const[]){
		"batch.max_events=7", "lock.fallback=wait", "log.level=debug", NULL});
	char restart[CONFIG_RESTART_BYTES];
	struct error err = {0};

	(void)state;
	assert_int_equal(config_reload(c, fresh, restart, &err), RESULT_OK);
	assert_int_equal(c->batch.max_events, 7);
	assert_int_equal(c->lock.fallback, LOCK_FALLBACK_WAIT);
	assert_int_equal(c->log.level, LOG_LEVEL_DEBUG);
	assert_string_equal(restart, "");
}

static void what_needs_a_restart_is_named_and_left(void **state)
{
	CLEANUP(config_free_ptr) struct config *c = config_new();
	CLEANUP(config_free_ptr) struct config *fresh =
		with((const char *const[]){"kafka.topic=other", "database.prepare=false",
			"kafka.properties=client.rack=a", "lock.lease_ms=7000", NULL});
	char restart[CONFIG_RESTART_BYTES];
	struct error err = {0};

	(void)state;
	assert_int_equal(config_reload(c, fresh, restart, &err), RESULT_OK);
	assert_string_equal(c->kafka.topic, "payment-completed");
	assert_true(c->database.prepare);
	assert_int_equal(c->kafka.properties.count, 0);
	assert_int_equal(c->lock.lease_ms, 6000);
	assert_non_null(strstr(restart, "kafka.topic, "));
	assert_non_null(strstr(restart, "kafka.properties"));
	assert_non_null(strstr(restart, "database.prepare"));
	assert_non_null(strstr(restart, "lock.lease_ms"));
}

static void what_does_not_fit_to_what_stays_changes_nothing(void **state)
{
	/* Whole in itself; but the longer wait is taken at once, the longer transaction is not. */
	CLEANUP(config_free_ptr) struct config *c = config_new();
	CLEANUP(config_free_ptr) struct config *fresh = with((const char *const[]){"lock.wait_ms=5000", "batch.max_events=7",
		"database.transaction_timeout_ms=9000", "lock.lease_ms=12000", NULL});
	char restart[CONFIG_RESTART_BYTES];
	struct error err = {0};

	(void)state;
	assert_int_equal(config_check(fresh, &err), RESULT_OK);
	assert_int_equal(config_reload(c, fresh, restart, &err), RESULT_FATAL);
	assert_non_null(strstr(err.text, "lock.wait_ms"));
	assert_string_equal(restart, "database.transaction_timeout_ms, lock.lease_ms");
	assert_int_equal(c->lock.wait_ms, 1000);
	assert_int_equal(c->batch.max_events, 5000);
}

static void lists_are_the_same_when_their_items_are(void **state)
{
	const char *const sets[] = {"kafka.properties=client.rack=a", NULL};
	CLEANUP(config_free_ptr) struct config *c = with(sets);
	CLEANUP(config_free_ptr) struct config *same = with(sets);
	CLEANUP(config_free_ptr) struct config *other = with((const char *const[]){"kafka.properties=client.rack=b", NULL});
	char restart[CONFIG_RESTART_BYTES];
	struct error err = {0};

	(void)state;
	assert_int_equal(config_reload(c, same, restart, &err), RESULT_OK);
	assert_string_equal(restart, "");
	assert_int_equal(config_reload(c, other, restart, &err), RESULT_OK);
	assert_string_equal(restart, "kafka.properties");
}

static void many_names_are_cut_not_overrun(void **state)
{
	CLEANUP(config_free_ptr) struct config *c = config_new();
	CLEANUP(config_free_ptr) struct config *fresh = config_new();
	char restart[CONFIG_RESTART_BYTES];
	struct error err = {0};

	(void)state;
	for (const struct config_key *key = config_table; key->section; key++) {
		if (key->type == CONFIG_INT && !key->reloadable)
			(*(int64_t *)((char *)fresh + key->field))++;
		if (key->type == CONFIG_STRING) {
			char **text = (char **)((char *)fresh + key->field);

			free(*text);
			*text = strdup("changed");
		}
	}
	assert_int_equal(config_reload(c, fresh, restart, &err), RESULT_OK);
	assert_in_range(strlen(restart), 100, CONFIG_RESTART_BYTES - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_can_change_is_taken),
		cmocka_unit_test(what_needs_a_restart_is_named_and_left),
		cmocka_unit_test(what_does_not_fit_to_what_stays_changes_nothing),
		cmocka_unit_test(lists_are_the_same_when_their_items_are),
		cmocka_unit_test(many_names_are_cut_not_overrun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
