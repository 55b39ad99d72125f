/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/progress_rows.h"

#include <stdlib.h>

enum column { PARTITION, NEXT, PUBLISHED, LAST_RECORD_MS, SOUGHT, OWNER, STATE, REASON };

#define ROWS_SQL                                                                                   \
	"SELECT kafka_partition, next_offset, published_offset,"                                   \
	" (extract(epoch FROM last_record_at) * 1000)::bigint, sought::int, owner, state,"         \
	" stopped_reason FROM consumer_progress WHERE consumer_group = $1 AND topic = $2"          \
	" ORDER BY kafka_partition"

void progress_rows_free(struct progress_rows *p)
{
	if (!p)
		return;
	PQclear(p->result);
	free(p->at);
	free(p);
}

enum result progress_rows_read(struct db *d, const struct config *config, bool lock,
	struct progress_rows **ret, struct error *err)
{
	CLEANUP(progress_rows_free_ptr) struct progress_rows *p = calloc(1, sizeof(*p));
	const char *parameters[] = {config->kafka.group, config->kafka.topic};

	if (!p)
		return fail(err, RESULT_REJECT, 0, "no memory");

	enum result r = db_query(
		d, lock ? ROWS_SQL " FOR UPDATE" : ROWS_SQL, 2, parameters, &p->result, err);

	if (r != RESULT_OK)
		return r;

	size_t count = (size_t)PQntuples(p->result);

	p->at = calloc(count + 1, sizeof(*p->at));
	if (!p->at)
		return fail(err, RESULT_REJECT, 0, "no memory");
	for (; p->count < count; p->count++) {
		const PGresult *res = p->result;
		int i = (int)p->count;

		p->at[i] = (struct progress_row){
			.partition = (int32_t)db_int(res, i, PARTITION, -1),
			.next = db_int(res, i, NEXT, -1),
			.published = db_int(res, i, PUBLISHED, -1),
			.last_record_ms = db_int(res, i, LAST_RECORD_MS, -1),
			.sought = db_int(res, i, SOUGHT, 0) != 0,
			.owner = db_text(res, i, OWNER),
			.state = db_text(res, i, STATE),
			.reason = db_text(res, i, REASON),
		};
	}
	*ret = TAKE(p);
	return RESULT_OK;
}

const struct progress_row *progress_rows_find(const struct progress_rows *p, int32_t partition)
{
	for (size_t i = 0; i < p->count; i++) {
		if (p->at[i].partition == partition)
			return &p->at[i];
	}
	return NULL;
}
