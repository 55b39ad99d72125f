/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sim.h"

/* What sim_ledger.c and sim_progress.c share: sim_db.c is the server behind both. */

bool sim_db_owns(const struct sim_progress *p, const char *owner);
/* A transaction with nothing in it yet; NULL: too many connections. */
struct sim_tx *sim_db_begin(struct sim_worker *k, const struct batch *b);
void sim_db_apply(struct sim_world *w, struct sim_tx *tx);
/* COMMIT was sent and nobody will hear the answer. */
void sim_db_commit_unheard(struct sim_world *w, struct sim_tx *tx);
/* The row as the core wants it; its strings live in the arena. */
void sim_db_read(struct sim_world *w, int order, struct arena *arena, struct payment_row *ret);

/* Tell the worker of a failure; unless it is BUSY its transaction is gone. */
enum result sim_db_fail(struct sim_worker *k, enum result r, struct error *err, const char *text);
/* Every call of the ledger begins so; OK: it may go on. */
enum result sim_db_enter(struct sim_worker *k, const char *call, struct error *err);
/* A call of one statement: on a connection that holds no transaction. */
enum result sim_db_enter_alone(struct sim_worker *k, const char *call, struct error *err);
/* Such a call took effect; its answer may be lost all the same. */
enum result sim_db_leave_alone(struct sim_worker *k, struct error *err);

/* sim_progress.c: the calls of one statement, for the table in sim_ledger.c. */
enum result sim_progress_check(void *self, struct error *err);
enum result sim_progress_claim(
	void *self, int32_t partition, struct progress *ret, struct error *err);
enum result sim_progress_create(
	void *self, const struct position *starts, size_t count, struct error *err);
enum result sim_progress_clear_sought(
	void *self, int32_t partition, const char *owner, struct error *err);
enum result sim_progress_resolve(
	void *self, const struct batch *b, enum resolution *ret, struct error *err);
enum result sim_progress_lookup(void *self, struct batch *b, struct error *err);
enum result sim_progress_publish(void *self, int32_t partition, const char *owner,
	int64_t published_offset, struct error *err);
enum result sim_progress_release(void *self, int32_t partition, const char *owner,
	int64_t published_offset, struct error *err);
enum result sim_progress_stop(
	void *self, int32_t partition, const char *owner, const char *reason, struct error *err);
