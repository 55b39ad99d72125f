/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/options.h"

#include <ctype.h>
#include <string.h>

/* Global options have no bit: they go with every verb. */
struct option {
	const char *name;
	unsigned bit; /* enum ctl_option, or 0 */
	bool has_value;
	size_t value_field; /* offsetof(struct ctl, ...), of a const char * */
};

#define FIELD(f) offsetof(struct ctl, f)

static const struct option options[] = {
	{"-c", 0, true, FIELD(config_file)},
	{"--set", 0, true, 0}, /* may be given again: ret->sets */
	{"--help", 0, false, 0},
	{"--version", 0, false, 0},
	{"--plan", OPTION_PLAN, false, 0},
	{"--apply", OPTION_APPLY, false, 0},
	{"--kafka", OPTION_KAFKA, false, 0},
	{"--json", OPTION_JSON, false, 0},
	{"--yes", OPTION_YES, false, 0},
	{"--total", OPTION_TOTAL, true, FIELD(total)},
	{"--name", OPTION_NAME, true, FIELD(name)},
	{"--partition", OPTION_PARTITION, true, FIELD(partition)},
	{"--to", OPTION_TO, true, FIELD(to)},
	{NULL, 0, false, 0},
};

static bool is_option(const char *word)
{
	return word[0] == '-' && word[1] != '\0' && !isdigit((unsigned char)word[1]);
}

/* *ret_value: what stands after '=', or NULL. */
static const struct option *find_option(const char *word, const char **ret_value)
{
	size_t length = strcspn(word, "=");

	*ret_value = word[length] == '=' ? word + length + 1 : NULL;
	for (const struct option *o = options; o->name; o++) {
		if (strlen(o->name) == length && memcmp(o->name, word, length) == 0)
			return o;
	}
	return NULL;
}

static void take_option(struct ctl *ret, const struct option *o, const char *value)
{
	ret->given |= o->bit;
	if (strcmp(o->name, "--set") == 0)
		ret->sets[ret->set_count++] = value;
	else if (strcmp(o->name, "--help") == 0)
		ret->help = true;
	else if (strcmp(o->name, "--version") == 0)
		ret->version = true;
	else if (o->has_value)
		*(const char **)((char *)ret + o->value_field) = value;
}

enum ctl_exit options_parse(int argc, char **argv, struct ctl *ret)
{
	bool only_words = false;

	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];

		if (!only_words && strcmp(word, "--") == 0) {
			only_words = true;
			continue;
		}
		if (only_words || !is_option(word)) {
			if (ret->word_count == CTL_WORDS_MAX)
				return ctl_say(CTL_USAGE, "too many arguments: %s", word);
			ret->words[ret->word_count++] = word;
			continue;
		}

		const char *value;
		const struct option *o = find_option(word, &value);

		if (!o)
			return ctl_say(CTL_USAGE, "there is no option %s (see --help)", word);
		if (value && !o->has_value)
			return ctl_say(CTL_USAGE, "%s takes no value", o->name);
		if (o->has_value && !value) {
			if (++i == argc)
				return ctl_say(CTL_USAGE, "%s needs a value", o->name);
			value = argv[i];
		}
		take_option(ret, o, value);
	}
	return CTL_DONE;
}

/* How many words of the command line the verb's name takes; 0: it is another verb. */
static size_t match_verb(const struct verb *v, const struct ctl *c)
{
	const char *rest = v->name;
	size_t n = 0;

	while (*rest) {
		size_t length = strcspn(rest, " ");

		if (n == c->word_count || strlen(c->words[n]) != length ||
			memcmp(c->words[n], rest, length) != 0)
			return 0;
		n++;
		rest += length;
		rest += strspn(rest, " ");
	}
	return n;
}

static const char *unwanted_option(const struct verb *v, const struct ctl *c)
{
	for (const struct option *o = options; o->name; o++) {
		if (o->bit & c->given & ~v->options)
			return o->name;
	}
	return NULL;
}

const struct verb *options_verb(struct ctl *c)
{
	const struct verb *v = ctl_verbs;
	size_t taken = 0;

	if (c->word_count == 0) {
		(void)ctl_say(CTL_USAGE, "what is to be done? (see --help)");
		return NULL;
	}
	while (v->name && (taken = match_verb(v, c)) == 0)
		v++;
	if (!v->name) {
		(void)ctl_say(CTL_USAGE, "there is no verb \"%s%s%s\" (see --help)", c->words[0],
			c->word_count > 1 ? " " : "", c->word_count > 1 ? c->words[1] : "");
		return NULL;
	}

	const char *unwanted = unwanted_option(v, c);

	if (unwanted || c->word_count - taken != v->arguments) {
		if (unwanted)
			(void)ctl_say(CTL_USAGE, "%s takes no %s", v->name, unwanted);
		(void)ctl_say(CTL_USAGE, "usage: ticketpayctl %s%s%s", v->name,
			v->synopsis[0] ? " " : "", v->synopsis);
		return NULL;
	}
	c->arguments = c->words + taken;
	return v;
}
