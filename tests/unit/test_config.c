/* SPDX-License-Identifier: Apache-2.0 */
#include "config_fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"

/* The next `allocations_left` allocations succeed, one fails; -1: none. */
static int allocations_left = -1;

static bool starved(void)
{
	return allocations_left >= 0 && allocations_left-- == 0;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	return starved() ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
	return starved() ? NULL : __real_calloc(n, size);
}

void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size)
{
	return starved() ? NULL : __real_realloc(p, size);
}

char *__real_strdup(const char *s);
char *__wrap_strdup(const char *s);
char *__wrap_strdup(const char *s)
{
	return starved() ? NULL : __real_strdup(s);
}

/* The value as text. */
static const char *value_of(const struct config *c, const struct config_key *key)
{
	static char text[8192];
	const struct config_list *list;
	size_t n = 0;

	switch (key->type) {
	case CONFIG_STRING:
		return config_string(c, key);
	case CONFIG_INT:
		snprintf(text, sizeof(text), "%" PRId64, config_int(c, key));
		return text;
	case CONFIG_BOOL:
		return config_bool(c, key) ? "true" : "false";
	case CONFIG_ENUM:
		return key->values[config_int(c, key)];
	case CONFIG_LIST:
		list = config_items(c, key);
		text[0] = '\0';
		for (size_t i = 0; i < list->count; i++)
			n += (size_t)snprintf(
				text + n, sizeof(text) - n, "%s%s", i ? "|" : "", list->items[i]);
		return text;
	}
	return NULL;
}

/* What the contract prints, written down once more. */
static const struct {
	const char *name, *value;
} contract[] = {
	{"kafka.brokers", "127.0.0.1:9092"},
	{"kafka.topic", "payment-completed"},
	{"kafka.group", "ticketpayd"},
	{"kafka.outcome_topic", "payment-outcome"},
	{"kafka.instance", ""},
	{"kafka.workers", "3"},
	{"kafka.start", "earliest"},
	{"kafka.properties", ""},
	{"kafka.properties_file", ""},
	{"database.conninfo", "dbname=tickets"},
	{"database.passfile", ""},
	{"database.prepare", "true"},
	{"database.transaction_timeout_ms", "4000"},
	{"database.connect_timeout_ms", "3000"},
	{"lock.provider", "redis"},
	{"lock.scope", "stock"},
	{"lock.redis", "127.0.0.1:6379"},
	{"lock.redis_user", ""},
	{"lock.redis_password_file", ""},
	{"lock.redis_timeout_ms", "500"},
	{"lock.key_prefix", "ticketpay"},
	{"lock.wait_ms", "1000"},
	{"lock.lease_ms", "6000"},
	{"lock.fallback", "database"},
	{"batch.max_events", "5000"},
	{"batch.max_bytes", "4194304"},
	{"batch.linger_ms", "0"},
	{"limits.event_bytes", "65536"},
	{"limits.breaker", "500"},
	{"limits.stop_ms", "15000"},
	{"log.level", "info"},
	{"metrics.textfile", ""},
};
enum { CONTRACT_KEYS = sizeof(contract) / sizeof(contract[0]) };

static void defaults_are_the_contracts(void **state)
{
	struct config *c = defaults();
	struct error err = {0};
	size_t keys = 0;
	(void)state;

	for (size_t i = 0; i < CONTRACT_KEYS; i++)
		assert_string_equal(value_of(c, find(contract[i].name)), contract[i].value);
	while (config_table[keys].section)
		keys++;
	assert_int_equal(keys, CONTRACT_KEYS);

	assert_int_equal(config_check(c, &err), RESULT_OK);
	assert_string_equal(c->kafka.topic, "payment-completed");
	assert_int_equal(c->log.level, LOG_LEVEL_INFO);
	assert_int_equal(c->lock.provider, LOCK_PROVIDER_REDIS);
	assert_int_equal(c->lock.scope, LOCK_SCOPE_STOCK);
	assert_int_equal(c->lock.fallback, LOCK_FALLBACK_DATABASE);
	assert_int_equal(c->kafka.start, START_EARLIEST);
	config_free(c);
	config_free(NULL);
}

static void table_is_whole(void **state)
{
	(void)state;
	for (const struct config_key *k = config_table; k->section; k++) {
		char name[64], allowed[CONFIG_ALLOWED_BYTES];

		snprintf(name, sizeof(name), "%s.%s", k->section, k->name);
		assert_string_equal(config_key_name(k), name);
		assert_true(strlen(k->help) > 10);
		assert_null(strpbrk(k->help, "\n\t"));
		assert_int_equal(k->help[strlen(k->help) - 1], '.');
		assert_in_range(
			strlen(config_key_allowed(k, allowed)), 4, CONFIG_ALLOWED_BYTES - 2);
		assert_true(k->minimum <= k->maximum);
		/* No key needs more than the 9 digits that libconfig 1.5 reads safely. */
		assert_true(k->maximum <= 999999999);
		for (const struct config_key *other = config_table; other < k; other++)
			assert_true(other->field != k->field);
	}
	assert_true(find("lock.wait_ms")->reloadable);
	assert_true(find("log.level")->reloadable);
	assert_true(find("batch.max_events")->reloadable);
	assert_false(find("lock.scope")->reloadable);
	assert_false(find("kafka.topic")->reloadable);
}

/* ---- the rules of one key -------------------------------------------------------------------- */

static void refused(struct config *c, const struct config_key *key, const char *text)
{
	struct error err = {0};
	char begins[128], before[8192], *allowed;

	snprintf(before, sizeof(before), "%s", value_of(c, key));
	snprintf(begins, sizeof(begins), "dir/a.conf:7: %s: ", config_key_name(key));
	if (config_set(c, key, text, "dir/a.conf", 7, &err) != RESULT_FATAL)
		fail_msg("%s takes \"%.40s\"", config_key_name(key), text);
	if (strncmp(err.text, begins, strlen(begins)) != 0)
		fail_msg("\"%s\" does not begin with \"%s\"", err.text, begins);
	allowed = strstr(err.text, " (allowed: ");
	assert_non_null(allowed);
	assert_int_equal(err.text[strlen(err.text) - 1], ')');
	assert_string_equal(value_of(c, key), before);
}

static void taken(struct config *c, const struct config_key *key, const char *text)
{
	struct error err = {0};
	const struct config_origin *o = &c->origins[key - config_table];

	if (config_set(c, key, text, "a.conf", 9, &err) != RESULT_OK)
		fail_msg("%s", err.text);
	assert_string_equal(value_of(c, key), text);
	assert_string_equal(o->file, "a.conf");
	assert_int_equal(o->line, 9);
}

static void int_rules(struct config *c, const struct config_key *key)
{
	static const char *const texts[] = {"", "-", "x", "5x", "x5", "1.5", "1e3", " 5", "5 ",
		"+5", "0x10", "5L", "--5", "99999999999999999999999", "-99999999999999999999999",
		"true"};
	char text[32];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		refused(c, key, texts[i]);
	snprintf(text, sizeof(text), "%" PRId64, key->minimum - 1);
	refused(c, key, text);
	snprintf(text, sizeof(text), "%" PRId64, key->maximum + 1);
	refused(c, key, text);
	snprintf(text, sizeof(text), "%" PRId64, key->minimum);
	taken(c, key, text);
	snprintf(text, sizeof(text), "%" PRId64, key->maximum);
	taken(c, key, text);
}

static void string_rules(struct config *c, const struct config_key *key)
{
	static char text[8192];
	const char *controls = "\n\t\r\x01\x1f\x7f";

	memset(text, 'x', sizeof(text));
	text[key->maximum + 1] = '\0';
	refused(c, key, text);
	text[key->maximum] = '\0';
	taken(c, key, text);
	for (const char *p = controls; *p; p++) {
		char value[] = "abc=d";

		value[2] = *p;
		refused(c, key, value);
	}
	for (int64_t n = 0; n < key->minimum; n++) {
		text[n] = '\0';
		refused(c, key, text);
		text[n] = 'x';
	}
	if (key->type == CONFIG_LIST)
		return;
	text[key->minimum] = '\0';
	taken(c, key, text);
	if (key->maximum >= 10)
		taken(c, key, "\"\\ '\xc3\xa9#");
}

static void each_key_keeps_its_rules(void **state)
{
	struct config *c = defaults();
	(void)state;

	for (const struct config_key *k = config_table; k->section; k++) {
		switch (k->type) {
		case CONFIG_INT:
			int_rules(c, k);
			break;
		case CONFIG_STRING:
		case CONFIG_LIST:
			string_rules(c, k);
			break;
		case CONFIG_BOOL:
			refused(c, k, "");
			refused(c, k, "1");
			refused(c, k, "yes");
			refused(c, k, "True");
			taken(c, k, "false");
			taken(c, k, "true");
			break;
		case CONFIG_ENUM:
			refused(c, k, "");
			refused(c, k, "0");
			refused(c, k, "nonsense");
			refused(c, k, "INFO");
			for (const char *const *v = k->values; *v; v++) {
				if (**v)
					taken(c, k, *v);
			}
			break;
		}
	}
	config_free(c);
}

static void message_of(enum result (*call)(struct config *, struct error *), const char *expected)
{
	struct config *c = defaults();
	struct error err = {0};

	assert_int_equal(call(c, &err), RESULT_FATAL);
	assert_string_equal(err.text, expected);
	config_free(c);
}

static enum result zero_events(struct config *c, struct error *err)
{
	return config_set(c, find("batch.max_events"), "0", "etc/ticketpayd.conf", 12, err);
}

static enum result bad_level(struct config *c, struct error *err)
{
	return config_set_argument(c, "log.level=loud", err);
}

static enum result long_path(struct config *c, struct error *err)
{
	static char path[1000];

	memset(path, 'd', sizeof(path) - 1);
	strcpy(path + sizeof(path) - 8, "/x.conf");
	return config_set(c, find("kafka.workers"), "65", path, 65535, err);
}

static void messages_say_where_what_and_what_is_allowed(void **state)
{
	(void)state;
	message_of(zero_events,
		"etc/ticketpayd.conf:12: batch.max_events: 0 is below 1 (allowed: 1 to 100000)");
	message_of(bad_level,
		"--set: log.level: \"loud\" is not one of the values (allowed: error, "
		"warning, notice, info, debug)");
	/* A path too long for the message loses its beginning. */
	message_of(long_path,
		"...dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd/x.conf:65535: "
		"kafka.workers: 65 is above 64 (allowed: 1 to 64)");
}

/* ---- finding --------------------------------------------------------------------------------- */

static void typos_get_a_guess(void **state)
{
	static const struct {
		const char *section, *name, *nearest;
	} cases[] = {
		{"batch", "max_event", "batch.max_events"},
		{"bacth", "max_events", "batch.max_events"},
		{"batch", "mxa_events", "batch.max_events"},
		{"Batch", "MAX_EVENTS", "batch.max_events"},
		{"batch", "wait_ms", "lock.wait_ms"},
		{"nonsense", "linger_ms", "batch.linger_ms"},
		{"", "linger_ms", "batch.linger_ms"},
		{"kafka", "outcometopic", "kafka.outcome_topic"},
		{"lock", "redis_pasword_file", "lock.redis_password_file"},
		/* As far from both names: the section decides. */
		{"limits", "saip_ms", "limits.stop_ms"},
		{"lock", "saip_ms", "lock.wait_ms"},
		{"kafka", "outcome_topics", "kafka.outcome_topic"},
		{"kafka", "bootstrap", NULL},
		{"batch", "", NULL},
		{"x", "a_name_that_is_much_longer_than_any_setting_has_ever_been", NULL},
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *nearest = "?";

		assert_null(config_find(cases[i].section, cases[i].name, &nearest));
		if (!cases[i].nearest)
			assert_null(nearest);
		else if (!nearest)
			fail_msg("no guess for %s.%s", cases[i].section, cases[i].name);
		else
			assert_string_equal(nearest, cases[i].nearest);
	}
	for (const struct config_key *k = config_table; k->section; k++)
		assert_ptr_equal(config_find(k->section, k->name, NULL), k);
}

/* ---- --set ----------------------------------------------------------------------------------- */

static void argument_is_split_at_the_first_equals_sign(void **state)
{
	struct config *c = defaults();
	struct error err = {0};
	(void)state;

	assert_int_equal(
		config_set_argument(c, "database.conninfo=host=a dbname=b", &err), RESULT_OK);
	assert_string_equal(c->database.conninfo, "host=a dbname=b");
	assert_int_equal(config_set_argument(c, "kafka.instance=", &err), RESULT_OK);
	assert_string_equal(c->kafka.instance, "");
	assert_int_equal(config_set_argument(c, "lock.provider=database", &err), RESULT_OK);
	assert_int_equal(c->lock.provider, LOCK_PROVIDER_DATABASE);
	assert_int_equal(config_set_argument(c, "database.prepare=false", &err), RESULT_OK);
	assert_false(c->database.prepare);
	config_free(c);
}

static void malformed_arguments_are_refused(void **state)
{
	static const struct {
		const char *argument, *message;
	} cases[] = {
		{"", "--set: \"\" is not of the form section.key=value"},
		{"batch.max_events",
			"--set: \"batch.max_events\" is not of the form section.key=value"},
		{"max_events=1", "--set: max_events is not of the form section.key"},
		{"=1", "--set:  is not of the form section.key"},
		{"batch.max_event=1",
			"--set: batch.max_event: there is no such key, did you mean batch.max_events?"},
		{"a.b=1", "--set: a.b: there is no such key"},
		{"batch.max.events=1",
			"--set: batch.max.events: there is no such key, did you mean batch.max_events?"},
		{A50 A50 ".b=1", "--set: " A50 "aaaaaaaaaa...: there is no such key"},
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config *c = defaults();
		struct error err = {0};

		assert_int_equal(config_set_argument(c, cases[i].argument, &err), RESULT_FATAL);
		assert_string_equal(err.text, cases[i].message);
		config_free(c);
	}
}

static void list_grows_and_set_replaces_the_same_name(void **state)
{
	struct config *c = defaults();
	const struct config_key *key = find("kafka.properties");
	struct error err = {0};
	(void)state;

	assert_int_equal(config_set(c, key, "client.id=a", "f", 1, &err), RESULT_OK);
	assert_int_equal(config_set(c, key, "client.rack=b", "f", 1, &err), RESULT_OK);
	assert_int_equal(config_set_argument(c, "kafka.properties=debug=all", &err), RESULT_OK);
	assert_int_equal(config_set_argument(c, "kafka.properties=client.id=c=d", &err), RESULT_OK);
	assert_string_equal(value_of(c, key), "client.id=c=d|client.rack=b|debug=all");
	assert_string_equal(config_property(c, "client.id"), "c=d");
	assert_string_equal(config_property(c, "debug"), "all");
	assert_null(config_property(c, "client"));
	assert_null(config_property(c, "client.id="));

	/* Twice in the file is a mistake. */
	assert_int_equal(config_set(c, key, "debug=none", "f", 1, &err), RESULT_FATAL);
	assert_string_equal(err.text,
		"f:1: kafka.properties: debug stands there twice (allowed: 3 to "
		"4095 bytes)");
	assert_string_equal(config_property(c, "debug"), "all");
	config_free(c);
}

static void where_a_value_comes_from_is_kept(void **state)
{
	struct config *c = defaults();
	const struct config_key *key = find("log.level");
	char where[CONFIG_WHERE_BYTES];
	struct error err;
	(void)state;

	assert_string_equal(config_where(c, key, where), "default");
	assert_int_equal(config_set(c, key, "debug", "a.conf", 3, &err), RESULT_OK);
	assert_string_equal(config_where(c, key, where), "a.conf:3");
	/* A failure leaves it. */
	assert_int_equal(config_set_argument(c, "log.level=x", &err), RESULT_FATAL);
	assert_string_equal(config_where(c, key, where), "a.conf:3");
	assert_int_equal(config_set_argument(c, "log.level=error", &err), RESULT_OK);
	assert_string_equal(config_where(c, key, where), "--set");
	config_free(c);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void no_memory_is_told_and_changes_nothing(void **state)
{
	struct config *c = NULL;
	struct error err = {0};
	static const char *const names[] = {"kafka.topic", "kafka.properties"};
	(void)state;

	for (int n = 0; !c; n++) {
		allocations_left = n;
		c = config_new();
		if (c)
			assert_true(n > 5 && allocations_left >= 0);
		allocations_left = -1;
	}

	for (size_t i = 0; i < 2; i++) {
		enum result r = RESULT_FATAL;

		for (int n = 0; r != RESULT_OK; n++) {
			char before[100];

			snprintf(before, sizeof(before), "%s", value_of(c, find(names[i])));
			allocations_left = n;
			r = config_set(c, find(names[i]), "debug=x", "file", 1, &err);
			bool failed = allocations_left < 0;

			allocations_left = -1;
			assert_int_equal(r == RESULT_OK, !failed);
			if (r != RESULT_OK) {
				assert_int_equal(err.code, ENOMEM);
				assert_string_equal(value_of(c, find(names[i])), before);
			}
		}
	}
	config_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_the_contracts),
		cmocka_unit_test(table_is_whole),
		cmocka_unit_test(each_key_keeps_its_rules),
		cmocka_unit_test(messages_say_where_what_and_what_is_allowed),
		cmocka_unit_test(typos_get_a_guess),
		cmocka_unit_test(argument_is_split_at_the_first_equals_sign),
		cmocka_unit_test(malformed_arguments_are_refused),
		cmocka_unit_test(list_grows_and_set_replaces_the_same_name),
		cmocka_unit_test(where_a_value_comes_from_is_kept),
		cmocka_unit_test(no_memory_is_told_and_changes_nothing),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
