/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/config_key.h"
#include "core/kafka_properties.h"

/*
 * Writes what people read about the settings from the tables that the programs go by, so that it
 * cannot go stale: the template on stdin goes to stdout, and a line that is one of the words of
 * sections[] is replaced by the section, as mdoc(7) or as a shell's words.
 */

enum { COLUMNS = 76 };

/* ---- mdoc ------------------------------------------------------------------------------------ */

/* Text in lines that are not too long, each sentence on a line of its own. */
static void print_text(const char *text)
{
	size_t used = 0;

	while (*text) {
		size_t word = strcspn(text, " ");

		if (used > 0 && used + 1 + word > COLUMNS) {
			putchar('\n');
			used = 0;
		} else if (used > 0) {
			putchar(' ');
			used++;
		}
		if (used == 0 && (*text == '.' || *text == '\''))
			fputs("\\&", stdout); /* or it were a macro */
		printf("%.*s", (int)word, text);
		used += word;
		if (strchr(".?", text[word - 1]) && text[word])
			used = COLUMNS;
		text += word;
		text += strspn(text, " ");
	}
	putchar('\n');
}

static const char *type_name(enum config_type type)
{
	switch (type) {
	case CONFIG_STRING:
		return "A string";
	case CONFIG_INT:
		return "A whole number";
	case CONFIG_BOOL:
	case CONFIG_ENUM:
		return "One of";
	case CONFIG_LIST:
		return "A list of strings";
	}
	return "?";
}

static void print_default(const struct config_key *k)
{
	const char *quote = k->type == CONFIG_STRING || k->type == CONFIG_ENUM ? "\"" : "";

	if (k->type == CONFIG_LIST)
		puts("Default: [ ].");
	else
		printf("Default: %s%s%s.\n", quote, k->default_text, quote);
}

static void print_keys(void)
{
	const char *section = "";

	for (const struct config_key *k = config_table; k->section; k++) {
		char allowed[CONFIG_ALLOWED_BYTES];

		if (strcmp(section, k->section) != 0) {
			printf("%s.Ss %s\n.Bl -tag -width Ds\n", *section ? ".El\n" : "",
				k->section);
			section = k->section;
		}
		printf(".It Cm %s\n", config_key_name(k));
		print_text(k->help);
		printf(".Pp\n%s: %s%s.\n", type_name(k->type), config_key_allowed(k, allowed),
			k->type == CONFIG_LIST ? " each" : "");
		print_default(k);
		puts(k->reloadable ? "Taken by a reload." : "Needs a restart.");
	}
	puts(".El");
}

static void print_properties(unsigned sides, bool secret)
{
	const char *last = NULL;

	for (const struct kafka_property *p = kafka_properties; p->name; p++) {
		if (p->sides != sides || p->secret != secret)
			continue;
		if (last)
			printf(".Cm %s ,\n", last);
		last = p->name;
	}
	if (last)
		printf(".Cm %s .\n", last);
}

static void print_both(void)
{
	print_properties(KAFKA_SIDE_BOTH, false);
}

static void print_consumer(void)
{
	print_properties(KAFKA_SIDE_CONSUMER, false);
}

static void print_producer(void)
{
	print_properties(KAFKA_SIDE_PRODUCER, false);
}

static void print_secret(void)
{
	print_properties(KAFKA_SIDE_BOTH, true);
	print_properties(KAFKA_SIDE_CONSUMER, true);
	print_properties(KAFKA_SIDE_PRODUCER, true);
}

/* Those that share a reason stand beside each other in the table. */
static void print_refused(void)
{
	for (const struct kafka_refused_property *p = kafka_refused_properties; p->name; p++) {
		char sentence[200];

		printf(".It Cm %s%s\n", p->name, p->name[strlen(p->name) - 1] == '.' ? "*" : "");
		if (p[1].name && strcmp(p[1].reason, p->reason) == 0)
			continue;
		snprintf(sentence, sizeof(sentence), "%s.", p->reason);
		if (sentence[0] >= 'a' && sentence[0] <= 'z')
			sentence[0] = (char)(sentence[0] - 'a' + 'A');
		print_text(sentence);
	}
}

/* ---- completion ------------------------------------------------------------------------------ */

/* One word a line: section.key=, and section.key=value where the values are known. */
static void print_words(void)
{
	for (const struct config_key *k = config_table; k->section; k++) {
		const char *name = config_key_name(k);

		if (k->type == CONFIG_BOOL)
			printf("\t%s=true\n\t%s=false\n", name, name);
		for (const char *const *v = k->type == CONFIG_ENUM ? k->values : NULL; v && *v;
			v++) {
			if (**v)
				printf("\t%s=%s\n", name, *v);
		}
		if (k->type != CONFIG_BOOL && k->type != CONFIG_ENUM)
			printf("\t%s=\n", name);
	}
}

/* ---- template -------------------------------------------------------------------------------- */

static const struct {
	const char *word;
	void (*print)(void);
} sections[] = {
	{"@KEYS@\n", print_keys},
	{"@PROPERTIES_BOTH@\n", print_both},
	{"@PROPERTIES_CONSUMER@\n", print_consumer},
	{"@PROPERTIES_PRODUCER@\n", print_producer},
	{"@PROPERTIES_SECRET@\n", print_secret},
	{"@PROPERTIES_REFUSED@\n", print_refused},
	{"@WORDS@\n", print_words},
};

static void print_line(const char *line)
{
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		if (strcmp(line, sections[i].word) == 0) {
			sections[i].print();
			return;
		}
	}
	fputs(line, stdout);
}

int main(void)
{
	char line[1000];

	while (fgets(line, sizeof(line), stdin))
		print_line(line);
	return ferror(stdin) || fflush(stdout) != 0;
}
