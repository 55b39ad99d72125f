/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/db.h"

enum { RESUME_BUDGET_MS = 20000 };

static const char resume_sql[] =
	"WITH before AS (SELECT kafka_partition, state, stopped_reason FROM consumer_progress"
	"  WHERE consumer_group = $1 AND topic = $2 AND kafka_partition = coalesce($3::int,"
	"   kafka_partition) ORDER BY kafka_partition FOR UPDATE)"
	" UPDATE consumer_progress c SET state = 'running', stopped_reason = NULL,"
	"  unclean_claims = 0, updated_at = clock_timestamp()"
	" FROM before b WHERE c.consumer_group = $1 AND c.topic = $2"
	"  AND c.kafka_partition = b.kafka_partition"
	" RETURNING b.kafka_partition, b.state, b.stopped_reason, c.next_offset";

static void print_resumed(const PGresult *r)
{
	for (int i = 0; i < PQntuples(r); i++) {
		const char *partition = PQgetvalue(r, i, 0), *next = PQgetvalue(r, i, 3);

		if (strcmp(PQgetvalue(r, i, 1), "stopped") == 0)
			printf("partition %s: goes on at offset %s; it was stopped: %s\n",
				partition, next, PQgetvalue(r, i, 2));
		else
			printf("partition %s: was not stopped, goes on at offset %s\n", partition,
				next);
	}
}

enum ctl_exit resume_run(const struct ctl *c)
{
	CLEANUP(db_close_ptr) struct db *d = NULL;
	CLEANUP(PQclear_ptr) PGresult *rows = NULL;
	struct error err;
	int32_t partition;
	enum ctl_exit code = ctl_partition(c, &partition);

	if (code == CTL_DONE)
		code = db_start(c->config, DB_WRITE, RESUME_BUDGET_MS, &d);
	if (code != CTL_DONE)
		return code;

	const char *parameters[] = {c->config->kafka.group, c->config->kafka.topic, c->partition};
	enum result r = db_query(d, resume_sql, 3, parameters, &rows, &err);

	if (r == RESULT_OK && PQntuples(rows) == 0)
		return ctl_say(CTL_REFUSED,
			"group %s has no progress row for %s%s of topic %s: progress adopt, or "
			"progress seek, makes one",
			c->config->kafka.group, c->partition ? "partition " : "any partition",
			c->partition ? c->partition : "", c->config->kafka.topic);
	if (r == RESULT_OK)
		r = db_commit(d, &err);
	if (r != RESULT_OK)
		return ctl_failed(r, &err);
	print_resumed(rows);
	return CTL_DONE;
}
