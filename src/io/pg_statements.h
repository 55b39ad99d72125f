/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "io/pg_conn.h"

/* Every statement that the ledger sends while it works; pg_check.c has those of the start. */
enum pg_statement_id {
	PG_BEGIN,
	PG_SETTINGS,
	PG_TIMEOUTS,
	PG_COMMIT,

	PG_MOVE_PROGRESS,
	PG_SAVEPOINT,
	PG_ROLLBACK_TO,
	PG_COPY_PAYMENTS,
	PG_INSERT_PAYMENTS,
	PG_INSERT_LETTERS,
	PG_READ_PAYMENTS,
	PG_LOCK_STOCK,
	PG_READ_STOCK,
	PG_TAKE_STOCK,
	PG_GUESS_STOCK,
	PG_SET_STATUS,

	PG_CLAIM,
	PG_READ_PROGRESS,
	PG_LOCK_PROGRESS,
	PG_GROUP_EXISTS,
	PG_LOCK_GROUP,
	PG_CREATE_PROGRESS,
	PG_CLEAR_SOUGHT,
	PG_PUBLISH_PROGRESS,
	PG_RELEASE,
	PG_STOP,

	PG_READ_LETTERS,
	PG_STATEMENT_COUNT,
};

extern const struct pg_statement pg_statements[PG_STATEMENT_COUNT];
