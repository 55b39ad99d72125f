/* SPDX-License-Identifier: Apache-2.0 */
#include "config_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/config_file.h"

/* ---- printing -------------------------------------------------------------------------------- */

static char *printed(const struct config *c)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	config_print(c, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

/* Each line of a comment, glued together again. */
static void without_breaks(char *text)
{
	char *to = text;

	for (char *p = text; *p;) {
		if (strncmp(p, "\n\t# ", 4) == 0) {
			*to++ = ' ';
			p += 4;
		} else {
			*to++ = *p++;
		}
	}
	*to = '\0';
}

static void print_names_every_key_with_help_and_origin(void **state)
{
	struct config *c = defaults();
	struct error err;
	(void)state;

	assert_int_equal(config_set(c, find("log.level"), "debug", "x\n.conf", 3, &err), RESULT_OK);
	assert_int_equal(config_set_argument(c, "batch.max_events=7", &err), RESULT_OK);

	char *text = printed(c);

	for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
		assert_in_range(strcspn(line, "\n"), 0, 110);
	assert_non_null(strstr(text, "\t# from: x?.conf:3\n\tlevel = \"debug\";\n"));
	assert_non_null(strstr(text, "\t# from: --set\n\tmax_events = 7;\n"));
	assert_non_null(strstr(text, "\t# from: default\n\tprepare = true;\n"));
	assert_non_null(strstr(text, "\t# from: default\n\tproperties = [ ];\n"));
	without_breaks(text);
	for (const struct config_key *k = config_table; k->section; k++) {
		char setting[64];

		assert_non_null(strstr(text, k->help));
		snprintf(setting, sizeof(setting), "\n\t%s = ", k->name);
		assert_non_null(strstr(text, setting));
	}
	free(text);
	config_free(c);
}

static void print_shows_no_secret(void **state)
{
	struct config *c = defaults();
	struct error err;
	char long_name[300];
	(void)state;

	memset(long_name, 'n', sizeof(long_name));
	snprintf(long_name + 200, sizeof(long_name) - 200, "=HUNTER2");
	assert_int_equal(
		config_set_argument(c, "kafka.properties=sasl.password=HUNTER2", &err), RESULT_OK);
	assert_int_equal(config_set_argument(c, "kafka.properties=client.id=me", &err), RESULT_OK);
	assert_int_equal(config_set_argument(c, "kafka.properties=HUNTER2", &err), RESULT_OK);
	assert_int_equal(
		config_set(c, find("kafka.properties"), long_name, "f", 1, &err), RESULT_OK);

	char *text = printed(c);

	assert_null(strstr(text, "HUNTER2"));
	assert_non_null(strstr(text, "# \"sasl.password=***\" may be secret and is left out"));
	assert_non_null(strstr(text, "\t\t\"client.id=me\"\n"));
	free(text);
	config_free(c);
}

/* ---- and reading it again -------------------------------------------------------------------- */

static struct config *print_and_read(const struct config *c)
{
	FILE *out = fopen(scratch.path, "w");
	struct config *again = defaults();
	struct error err = {0};

	assert_non_null(out);
	config_print(c, out);
	assert_int_equal(fclose(out), 0);
	if (config_file_read(again, scratch.path, &err) != RESULT_OK)
		fail_msg("%s", err.text);
	return again;
}

static void random_string(uint64_t *x, int64_t minimum, int64_t maximum, char *ret)
{
	static const char special[] = "\"\\#/*@{}();,=:'x0\xc3\xa9\xff ";
	int64_t length = minimum + (int64_t)(next_random(x) % (uint64_t)(maximum - minimum + 1));

	for (int64_t i = 0; i < length; i++) {
		if (next_random(x) % 3 == 0)
			ret[i] = special[next_random(x) % (sizeof(special) - 1)];
		else
			ret[i] = (char)(' ' + next_random(x) % ('~' - ' ' + 1));
	}
	ret[length] = '\0';
}

static void set_random(struct config *c, const struct config_key *k, uint64_t *x)
{
	static const char *const names[] = {
		"client.id=", "client.rack=", "debug=", "sasl.username="};
	int64_t maximum = k->maximum < 300 ? k->maximum : 300;
	char text[512];
	struct error err = {0};
	int values = 0;

	switch (k->type) {
	case CONFIG_STRING:
		random_string(x, k->minimum, maximum, text);
		break;
	case CONFIG_INT:
		snprintf(text, sizeof(text), "%" PRId64,
			k->minimum + (int64_t)(next_random(x) %
					       (uint64_t)(k->maximum - k->minimum + 1)));
		break;
	case CONFIG_BOOL:
		strcpy(text, next_random(x) % 2 ? "true" : "false");
		break;
	case CONFIG_ENUM:
		while (k->values[values])
			values++;
		do
			strcpy(text, k->values[next_random(x) % (uint64_t)values]);
		while (!*text);
		break;
	case CONFIG_LIST:
		for (size_t i = 0; i < next_random(x) % 5 && i < 4; i++) {
			strcpy(text, names[i]);
			random_string(x, 0, 100, text + strlen(text));
			if (config_set(c, k, text, NULL, -1, &err) != RESULT_OK)
				fail_msg("%s", err.text);
		}
		return;
	}
	if (config_set(c, k, text, NULL, -1, &err) != RESULT_OK)
		fail_msg("%s", err.text);
}

static void printed_file_reads_back_the_same(void **state)
{
	uint64_t x = UINT64_C(0x9e3779b97f4a7c15);
	(void)state;

	struct config *c = defaults(), *again = print_and_read(c);

	assert_same(c, again);
	config_free(c);
	config_free(again);

	for (int round = 0; round < 300; round++) {
		c = defaults();
		for (const struct config_key *k = config_table; k->section; k++)
			set_random(c, k, &x);
		again = print_and_read(c);
		assert_same(c, again);
		config_free(c);
		config_free(again);
	}
}

static void printed_file_is_read_without_its_secrets(void **state)
{
	static const char *const properties[] = {"sasl.password=x", "client.id=a",
		"ssl.key.password=y", "debug=all", "ssl.keystore.password=z"};
	struct config *c = defaults();
	struct error err = {0};
	(void)state;

	for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++)
		assert_int_equal(config_set(c, config_find("kafka", "properties", NULL),
					 properties[i], "f", 1, &err),
			RESULT_OK);

	struct config *again = print_and_read(c);

	assert_int_equal(again->kafka.properties.count, 2);
	assert_string_equal(again->kafka.properties.items[0], "client.id=a");
	assert_string_equal(again->kafka.properties.items[1], "debug=all");
	config_free(c);
	config_free(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(print_names_every_key_with_help_and_origin),
		cmocka_unit_test(print_shows_no_secret),
		cmocka_unit_test(printed_file_reads_back_the_same),
		cmocka_unit_test(printed_file_is_read_without_its_secrets),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
