/* SPDX-License-Identifier: Apache-2.0 */
#include "config_fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/config_file.h"

/* libconfig forgets the strings it has read when a syntax error follows. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig\n";
}

const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
	return "print_suppressions=0";
}

static void write_bytes(const char *data, size_t length)
{
	FILE *f = fopen(scratch.path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, length, f), length);
	assert_int_equal(fclose(f), 0);
}

static struct config *read_valid(const char *text)
{
	struct config *c = defaults();
	struct error err = {0};

	write_bytes(text, strlen(text));
	if (config_file_read(c, scratch.path, &err) != RESULT_OK)
		fail_msg("%s:\n%s", err.text, text);
	return c;
}

/* expected: what follows the path */
static void refused_bytes(const char *data, size_t length, const char *expected)
{
	struct config *c = defaults();
	struct error err = {0};

	write_bytes(data, length);
	if (config_file_read(c, scratch.path, &err) != RESULT_FATAL)
		fail_msg("taken: %s", data);
	assert_int_equal(strncmp(err.text, scratch.path, strlen(scratch.path)), 0);
	if (strncmp(err.text + strlen(scratch.path), expected, strlen(expected)) != 0)
		fail_msg("\"%s\" is not \"%s\"", err.text + strlen(scratch.path), expected);
	config_free(c);
}

static void refused(const char *text, const char *expected)
{
	refused_bytes(text, strlen(text), expected);
}

/* ---- what is read ---------------------------------------------------------------------------- */

static void values_of_each_type_are_read(void **state)
{
	(void)state;

	struct config *c = read_valid(
		"# comment with 12345678901\n"
		"/* and 12345678901 \"\n */ kafka : { topic = \"a // \\\"b\\\\ 12345678901\"; workers = 7,\n"
		"start = \"latest\" // 12345678901 \"\n"
		" properties = [ \"client.id=1\", \"client.rack=\" \"12345678901\" ] }\n"
		"database = { prepare = FALSE; transaction_timeout_ms = 0x100; connect_timeout_ms = 200L; };"
		"batch = { linger_ms = +7; max_bytes = 65536; }\n"
		"log = { level = \"debug\" }\n"
		"# no newline at the end");

	assert_string_equal(c->kafka.topic, "a // \"b\\ 12345678901");
	assert_int_equal(c->kafka.workers, 7);
	assert_int_equal(c->kafka.start, START_LATEST);
	assert_int_equal(c->kafka.properties.count, 2);
	assert_string_equal(c->kafka.properties.items[0], "client.id=1");
	assert_string_equal(c->kafka.properties.items[1], "client.rack=12345678901");
	assert_false(c->database.prepare);
	assert_int_equal(c->database.transaction_timeout_ms, 256);
	assert_int_equal(c->database.connect_timeout_ms, 200);
	assert_int_equal(c->batch.linger_ms, 7);
	assert_int_equal(c->batch.max_bytes, 65536);
	assert_int_equal(c->log.level, 7);
	config_free(c);
}

static void lists_take_both_brackets_and_may_be_empty(void **state)
{
	static const char *const empty[] = {"kafka = { properties = [ ]; };",
		"kafka = { properties = ( ); };", "", "\n", "kafka = { };"};
	(void)state;

	struct config *c = read_valid("kafka = { properties = ( \"a=1\", \"b=2\" ); };");

	assert_int_equal(c->kafka.properties.count, 2);
	assert_string_equal(c->kafka.properties.items[1], "b=2");
	config_free(c);

	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
		c = read_valid(empty[i]);
		assert_int_equal(c->kafka.properties.count, 0);
		config_free(c);
	}
}

static void line_of_each_value_is_kept(void **state)
{
	char where[CONFIG_WHERE_BYTES], expected[CONFIG_WHERE_BYTES];
	(void)state;

	struct config *c =
		read_valid("\n/*\n*/ batch = {\n max_events = 1;\n\n linger_ms\n = 2; };\n"
			   "kafka = { properties = [\n\"a=1\",\n\"b=1\"\n]; };\n");
	const struct {
		const char *section, *name;
		int line;
	} cases[] = {
		{"batch", "max_events", 4}, {"batch", "linger_ms", 6}, {"kafka", "properties", 8}};

	for (size_t i = 0; i < 3; i++) {
		const struct config_key *k = config_find(cases[i].section, cases[i].name, NULL);

		snprintf(expected, sizeof(expected), "%s:%d", scratch.path, cases[i].line);
		assert_string_equal(config_where(c, k, where), expected);
	}
	config_free(c);
}

/* ---- what is refused ------------------------------------------------------------------------- */

/* `literal` at line 3 of a file, as the value of the key. */
static void with_literal(const struct config_key *k, const char *literal, const char *expected)
{
	char text[256], begins[256];

	snprintf(text, sizeof(text), "# one\n%s = {\n  %s = %s;\n};\n", k->section, k->name,
		literal);
	snprintf(begins, sizeof(begins), ":3: %s: %s", config_key_name(k), expected);
	refused(text, begins);
}

static void each_key_wants_its_type(void **state)
{
	static const struct {
		const char *literal;
		unsigned types; /* that take it: bits of enum config_type */
	} literals[] = {
		{"5", 1 << CONFIG_INT},
		{"5L", 1 << CONFIG_INT},
		{"5.0", 0},
		{"1e1", 0},
		{"\"a=b\"", 1 << CONFIG_STRING | 1 << CONFIG_ENUM},
		{"\"5\"", 1 << CONFIG_STRING | 1 << CONFIG_ENUM},
		{"\"true\"", 1 << CONFIG_STRING | 1 << CONFIG_ENUM},
		{"true", 1 << CONFIG_BOOL},
		{"[ \"a=b\" ]", 1 << CONFIG_LIST},
		{"( \"a=b\" )", 1 << CONFIG_LIST},
		{"( \"a=b\", 5 )", 0},
		{"[ 5 ]", 0},
		{"( ( \"a=b\" ) )", 0},
		{"{ a = 5; }", 0},
	};
	(void)state;

	for (const struct config_key *k = config_table; k->section; k++) {
		for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++) {
			if (!(literals[i].types & 1u << k->type))
				with_literal(k, literals[i].literal, "must be ");
		}
	}
}

static void rules_of_each_key_hold_in_a_file(void **state)
{
	(void)state;
	for (const struct config_key *k = config_table; k->section; k++) {
		char literal[64];

		if (k->type == CONFIG_INT) {
			snprintf(literal, sizeof(literal), "%" PRId64, k->maximum + 1);
			with_literal(k, literal, literal);
			snprintf(literal, sizeof(literal), "%" PRId64, k->minimum - 1);
			with_literal(k, literal, literal);
		} else if (k->type == CONFIG_ENUM) {
			with_literal(k, "\"nonsense\"",
				"\"nonsense\" is not one of the values (allowed: ");
		} else if (k->type != CONFIG_BOOL) {
			/* libconfig reads the escape. */
			with_literal(k, k->type == CONFIG_LIST ? "[ \"a=\\n\" ]" : "\"abc\\n\"",
				"holds a control character");
		}
	}
}

static void integers_that_libconfig_would_wrap_are_refused(void **state)
{
	(void)state;
	for (const struct config_key *k = config_table; k->section; k++) {
		if (k->type != CONFIG_INT)
			continue;
		/* All of these are small numbers modulo 2^32, or longer than they look. */
		with_literal(k, "4294967297", "a number of 10 digits (allowed: at most 9)");
		with_literal(k, "18446744073709551617", "a number of 20 digits");
		with_literal(k, "4294967297L", "a number of 10 digits");
		with_literal(k, "-4294967295", "a number of 10 digits");
		with_literal(k, "0000000001", "a number of 10 digits");
		with_literal(k, "0100", "a number with a leading zero"); /* 64 or 100 */
		with_literal(k, "-0100", "a number with a leading zero");
		with_literal(k, "0x100000001", "a number of 9 digits (allowed: at most 7)");
		with_literal(k, "0xFFFFFFFF", "a number of 8 digits");
	}
	refused("a = 1234567890;", ":1: a: a number of 10 digits");
	refused("kafka = { x = { y = 1234567890; }; };", ":1: kafka.y: a number of 10 digits");
	refused("/*\n\n*/ \"\n\" a = 1234567890;", ":4: a: a number of 10 digits");
	refused("}}} 1234567890", ":1: a number of 10 digits");
	refused("a_name_of_more_than_forty_characters_is_cut_here = 1234567890",
		":1: a_name_of_more_than_forty_characters_is: a number of 10 digits");
}

static void unknown_names_get_a_guess(void **state)
{
	(void)state;
	refused("batch = {\n max_event = 5; };",
		":2: batch.max_event: there is no such key, did you mean batch.max_events?");
	refused("bacth = { max_events = 5; };",
		":1: bacth.max_events: there is no such key, did you mean batch.max_events?");
	refused("batch = { wait_ms = 5; };",
		":1: batch.wait_ms: there is no such key, did you mean lock.wait_ms?");
	refused("kafka = { bootstrap = 5; };", ":1: kafka.bootstrap: there is no such key");
	refused("\nmax_events = 5;",
		":2: max_events: a setting outside of all sections, did you mean batch.max_events?");
	refused("nonsense = 5;", ":1: nonsense: a setting outside of all sections");
	refused("nonsense = { };", ":1: nonsense: there is no such section");
	refused("batch = 5;", ":1: batch: must be a section: batch = { key = value; };");
	refused("batch = [ ];", ":1: batch: must be a section");
}

static void errors_of_syntax_name_the_line(void **state)
{
	(void)state;
	refused("\n\nbatch = { max_events 5; };", ":3: syntax error (allowed: section = ");
	refused("batch = { max_events = 5; };\n}", ":2: syntax error");
	refused("batch = { max_events = 5;", ":");
	refused("\xef\xbb\xbf"
		"batch = { };",
		":1: syntax error");
	refused("batch = { max_events = five; };", ":1: syntax error");
	refused("batch = {\n max_events = 5;\n max_events = 6; };", ":3: duplicate setting name");
	refused("batch = { };\nbatch = { };", ":2: duplicate setting name");
	refused("kafka = { properties = [ \"a=1\",\n\"a=2\" ]; };",
		":1: kafka.properties: a stands there twice");
	refused("kafka = { properties = [ \"a=1\", 5 ]; };", ":1: ");
}

static void traps_of_libconfig_are_refused(void **state)
{
	static const char nul[] = "batch = { };\n\0batch = { };", nul_in_comment[] = "# a\n# \0\n",
			  nul_in_string[] = "log = { level = \"info\0\"; };",
			  nul_in_number[] = "batch = { linger_ms = 1\0; };";
	(void)state;

	refused("\n@include \"/etc/other.conf\"\n", ":2: @include is not supported");
	refused("\n/* open\n\n\nbatch = { }; ", ":2: the comment that begins here is not closed");
	refused("/*/\n", ":1: the comment");
	refused("log = {\n level = \"info; };\n\n", ":2: log.level: the string that begins here");
	refused("log = { level = \"info\\\"; };", ":1: log.level: the string that begins here");
	refused("log = { level = \"info\\", ":1: log.level: the string that begins here");
	refused("log = { level = \"info\\x00\"; };", ":1: log.level: a string holds \\x00");
	refused("log = { level = \"\n\\X00\"; };", ":2: log.level: a string holds \\x00");
	refused_bytes(nul, sizeof(nul) - 1, ":2: the file holds a NUL byte");
	refused_bytes(nul_in_comment, sizeof(nul_in_comment) - 1, ":2: the file holds a NUL byte");
	refused_bytes(nul_in_string, sizeof(nul_in_string) - 1, ":1: log.level: the string");
	refused_bytes(
		nul_in_number, sizeof(nul_in_number) - 1, ":1: batch.linger_ms: the file holds");

	/* The same inside of strings is text. */
	struct config *c =
		read_valid("kafka = { group = \"@include /* // # \\\\x00 \\\" \\\\\"; };");

	assert_string_equal(c->kafka.group, "@include /* // # \\x00 \" \\");
	config_free(c);
}

static void file_that_cannot_be_read_is_named(void **state)
{
	struct config *c = defaults();
	struct error err = {0};
	static char large[70000];
	char missing[80];
	(void)state;

	snprintf(missing, sizeof(missing), "%s/missing.conf", scratch.directory);
	assert_int_equal(config_file_read(c, missing, &err), RESULT_FATAL);
	assert_int_equal(err.code, ENOENT);
	assert_non_null(strstr(err.text, "missing.conf: cannot be read: No such file"));
	assert_int_equal(config_file_read(c, scratch.directory, &err), RESULT_FATAL);
	assert_non_null(strstr(err.text, "cannot be read: Is a directory"));
	config_free(c);

	memset(large, '\n', sizeof(large));
	refused_bytes(large, sizeof(large), ": has more than 65535 bytes");
	memcpy(large + 65535 - 5, "bad=1", 5);
	refused_bytes(large, 65535, ":65531: bad: a setting outside");
}

/* ---- loading --------------------------------------------------------------------------------- */

static void set_beats_the_file_and_the_file_the_default(void **state)
{
	static const char *const sets[] = {
		"batch.max_events=3", "kafka.properties=debug=all", "batch.max_events=4"};
	static const char text[] = "batch = { max_events = 2; linger_ms = 2; };\n"
				   "kafka = { properties = [ \"client.id=x\" ]; };";
	struct config *c = NULL;
	struct error err = {0};
	(void)state;

	write_bytes(text, strlen(text));
	assert_int_equal(config_file_load(scratch.path, false, sets, 3, &c, &err), RESULT_OK);
	assert_int_equal(c->batch.max_events, 4);
	assert_int_equal(c->batch.linger_ms, 2);
	assert_int_equal(c->batch.max_bytes, 4194304);
	assert_int_equal(c->kafka.properties.count, 2);
	config_free(c);
}

static void missing_file_is_an_error_unless_optional(void **state)
{
	struct config *c = NULL, *d = defaults();
	struct error err = {0};
	char missing[80];
	(void)state;

	snprintf(missing, sizeof(missing), "%s/missing.conf", scratch.directory);
	assert_int_equal(config_file_load(missing, false, NULL, 0, &c, &err), RESULT_FATAL);
	assert_null(c);
	assert_int_equal(config_file_load(missing, true, NULL, 0, &c, &err), RESULT_OK);
	assert_same(c, d);
	config_free(c);
	config_free(d);
	c = NULL;

	/* Optional, but there and wrong. */
	write_bytes("x", 1);
	assert_int_equal(config_file_load(scratch.path, true, NULL, 0, &c, &err), RESULT_FATAL);
	assert_int_equal(
		config_file_load(scratch.directory, true, NULL, 0, &c, NULL), RESULT_FATAL);
	assert_null(c);
}

static void loading_ends_at_the_first_mistake(void **state)
{
	static const char *const unknown[] = {"batch.max_events=3", "a.b=1"};
	static const char *const unfit[] = {"lock.lease_ms=100"};
	struct config *c = NULL;
	struct error err = {0};
	(void)state;

	write_bytes("", 0);
	assert_int_equal(config_file_load(scratch.path, false, unknown, 2, &c, &err), RESULT_FATAL);
	assert_string_equal(err.text, "--set: a.b: there is no such key");
	assert_int_equal(config_file_load(scratch.path, false, unfit, 1, &c, &err), RESULT_FATAL);
	assert_non_null(strstr(err.text, "--set: lock.lease_ms: 100 is not above "));
	assert_null(c);
}

/* ---- the shipped file and the printed one ---------------------------------------------------- */

static void shipped_file_holds_every_default(void **state)
{
	const char *source = getenv("srcdir");
	char shipped[4096];
	struct config *c = defaults(), *d = defaults();
	struct error err = {0};
	(void)state;

	snprintf(shipped, sizeof(shipped), "%s/etc/ticketpayd.conf", source ? source : ".");
	if (config_file_read(c, shipped, &err) != RESULT_OK)
		fail_msg("%s", err.text);
	assert_same(c, d);

	/* All are there; an empty list leaves no trace in the result. */
	FILE *f = fopen(shipped, "r");
	static char text[65536];

	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	assert_int_equal(fclose(f), 0);
	for (const struct config_key *k = config_table; k->section; k++) {
		char setting[64];

		snprintf(setting, sizeof(setting), "\n\t%s = ", k->name);
		assert_non_null(strstr(text, setting));
		if (k->type != CONFIG_LIST)
			assert_non_null(c->origins[k - config_table].file);
	}
	config_free(c);
	config_free(d);
}

/* The comment that a setting stands below, and what stands above it there. */
static char *paragraph(const char *text, const struct config_key *k)
{
	char setting[64];

	snprintf(setting, sizeof(setting), "\n\t%s = ", k->name);

	const char *end = strstr(text, setting), *begin = end;

	assert_non_null(end);
	while (begin > text && strncmp(begin, "\n\n", 2) != 0 && begin[-1] != '{')
		begin--;
	return strndup(begin, (size_t)(end - begin));
}

static void shipped_file_says_every_range_and_reload(void **state)
{
	const char *source = getenv("srcdir");
	static char text[65536];
	char shipped[4096];
	(void)state;

	snprintf(shipped, sizeof(shipped), "%s/etc/ticketpayd.conf", source ? source : ".");

	FILE *f = fopen(shipped, "r");

	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	assert_int_equal(fclose(f), 0);
	for (const struct config_key *k = config_table; k->section; k++) {
		char allowed[CONFIG_ALLOWED_BYTES], *said = paragraph(text, k);

		if (k->type == CONFIG_INT && !strstr(said, config_key_allowed(k, allowed)))
			fail_msg("%s: \"%s\" is not said", config_key_name(k), allowed);
		for (const char *const *v = k->type == CONFIG_ENUM ? k->values : NULL; v && *v;
			v++) {
			snprintf(allowed, sizeof(allowed), "\"%s\"", *v);
			if (**v && !strstr(said, allowed))
				fail_msg("%s: %s is not said", config_key_name(k), allowed);
		}
		if (k->reloadable != !!strstr(said, "reload)"))
			fail_msg("%s: \"(reload)\" is wrong", config_key_name(k));
		free(said);
	}
}

/* Whatever is in the file, it is read or refused with the file's name. */
static void mutated_files_never_break_the_reader(void **state)
{
	static const char text[] = "kafka = { topic = \"a\\\"b\"; workers = 7; /* c */\n"
				   "properties = [ \"a=1\", \"b=2\" ]; };\n"
				   "# comment\nbatch : { linger_ms = 0x10, max_events = 5L }\n";
	static const char pieces[] = "{}[]()\",;:=\\/*#@\n\r\t0123456789xLeE+-.\0\xff"
				     "at";
	uint64_t x = 88172645463325252ULL;
	int taken = 0;
	(void)state;

	for (int round = 0; round < 5000; round++) {
		char mutated[sizeof(text)];
		size_t length = sizeof(text) - 1;
		struct config *c = defaults();
		struct error err = {0};

		memcpy(mutated, text, sizeof(text));
		for (uint64_t n = 1 + next_random(&x) % 4; n > 0; n--)
			mutated[next_random(&x) % length] =
				pieces[next_random(&x) % (sizeof(pieces) - 1)];
		if (next_random(&x) % 4 == 0)
			length = 1 + next_random(&x) % length;
		write_bytes(mutated, length);
		if (config_file_read(c, scratch.path, &err) == RESULT_OK)
			taken++;
		else
			assert_int_equal(strncmp(err.text, scratch.path, strlen(scratch.path)), 0);
		config_free(c);
	}
	assert_in_range(taken, 50, 4500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_each_type_are_read),
		cmocka_unit_test(lists_take_both_brackets_and_may_be_empty),
		cmocka_unit_test(line_of_each_value_is_kept),
		cmocka_unit_test(each_key_wants_its_type),
		cmocka_unit_test(rules_of_each_key_hold_in_a_file),
		cmocka_unit_test(integers_that_libconfig_would_wrap_are_refused),
		cmocka_unit_test(unknown_names_get_a_guess),
		cmocka_unit_test(errors_of_syntax_name_the_line),
		cmocka_unit_test(traps_of_libconfig_are_refused),
		cmocka_unit_test(file_that_cannot_be_read_is_named),
		cmocka_unit_test(set_beats_the_file_and_the_file_the_default),
		cmocka_unit_test(missing_file_is_an_error_unless_optional),
		cmocka_unit_test(loading_ends_at_the_first_mistake),
		cmocka_unit_test(shipped_file_holds_every_default),
		cmocka_unit_test(shipped_file_says_every_range_and_reload),
		cmocka_unit_test(mutated_files_never_break_the_reader),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
