/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core/batch.h"

/*
 * What becomes of the records of a slice. Pure: the ledger says what the database holds, decide says
 * what that means, the ledger writes it.
 *
 *     decide_predict()   before ledger begin(): the statuses that rows are inserted with
 *     decide_classify()  after it: fresh, duplicate, conflict, refused
 *     decide_allocate()  after lock_stock(): who gets a ticket, in offset order
 */

/* The stock of ticket types as last seen: a guess that only saves work. Direct-mapped by id. */
enum { STOCK_HINTS = 1024 };

struct stock_hints {
	struct {
		int64_t id;        /* 0: empty; no ticket type has it */
		int64_t remaining; /* -1: there is no such type */
	} slot[STOCK_HINTS];
};

void decide_predict(struct batch *b, const struct stock_hints *hints);

/* Sets verdicts, and all that is known without the stock. Candidates tell what existed. */
void decide_classify(struct batch *b);

/* The same of one record whose order id was taken by an earlier transaction: `row` stands. */
void decide_against_row(const struct batch *b, struct record *r, const struct payment_row *row);

/* Sets statuses and `remaining` of fresh records and their duplicates; lowers b->stock. */
void decide_allocate(struct batch *b, struct stock_hints *hints);

/* How the records of a decided slice ended. */
struct tally {
	int64_t fresh, duplicates, conflicts, refused;
	int64_t unknown_type; /* of the fresh ones */
};

struct tally decide_tally(const struct batch *b);
