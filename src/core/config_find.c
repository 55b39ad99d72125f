/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config.h"

#include <ctype.h>
#include <string.h>

#include "core/config_key.h"

/* Words longer than this are like no name of ours. */
enum { WORD_MAX_BYTES = 48, FAR = 1000 };

static int least(int a, int b)
{
	return a < b ? a : b;
}

/*
 * How many letters must be changed, added or dropped to make b from a; upper and lower case are
 * alike. (Levenshtein's table, of which two rows are kept.)
 */
static int word_distance(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b);
	int rows[2][WORD_MAX_BYTES + 1];

	if (na > WORD_MAX_BYTES || nb > WORD_MAX_BYTES)
		return FAR;

	for (size_t j = 0; j <= nb; j++)
		rows[0][j] = (int)j;
	for (size_t i = 1; i <= na; i++) {
		int *now = rows[i % 2], *before = rows[(i + 1) % 2];

		now[0] = (int)i;
		for (size_t j = 1; j <= nb; j++) {
			int differs = tolower((unsigned char)a[i - 1]) !=
				      tolower((unsigned char)b[j - 1]);

			now[j] = least(
				least(before[j] + 1, now[j - 1] + 1), before[j - 1] + differs);
		}
	}
	return rows[na % 2][nb];
}

/* How far a key is from what somebody wrote, FAR when it is no good guess. */
static int key_distance(const struct config_key *key, const char *section, const char *name)
{
	int in_name = word_distance(name, key->name);

	if (in_name > (int)strlen(name) / 2)
		return FAR;
	return word_distance(section, key->section) + in_name;
}

const struct config_key *config_find(const char *section, const char *name, const char **nearest)
{
	const struct config_key *near = NULL;
	int distance = FAR;

	for (const struct config_key *k = config_table; k->section; k++) {
		int d = key_distance(k, section, name);

		if (d < distance) {
			distance = d;
			near = k;
		}
		if (strcmp(k->section, section) == 0 && strcmp(k->name, name) == 0) {
			near = k;
			break;
		}
	}
	if (nearest)
		*nearest = near ? config_key_name(near) : NULL;
	if (near && strcmp(near->section, section) == 0 && strcmp(near->name, name) == 0)
		return near;
	return NULL;
}
