/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What `verify` proves from the tables: invariants 1, 2 and 4, what 3 leaves behind, and the bounds
 * of every column.
 *
 * A relation is a query whose boolean columns are named as checks and true where a row breaks them:
 * one statement counts for all checks of a relation, and rows are only looked for where it has
 * counted some. Parameter $1 is the topic.
 */
struct verify_relation {
	const char *sql;
	const char *columns; /* those that name a row to people; never a payment key or a payload */

	/*
	 * NULL, or a cheaper statement for the usual case: how many rows there are to check, and
	 * how many are suspect. `sql` is only asked where some are, and need not bring the others.
	 */
	const char *quick;
};

struct verify_check {
	const char *name;
	const char *claim; /* in plain words */
	const struct verify_relation *relation;
};

/* Checks of one relation stand together. Ended by name NULL. */
extern const struct verify_check verify_checks[];
