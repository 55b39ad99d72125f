/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How a call ended, in terms of what happens to the records it was about. */
enum result {
	RESULT_OK = 0,   /* done: advance */
	RESULT_RETRY,    /* transient: back off, the same batch again, the offset stays */
	RESULT_BUSY,     /* another owner holds it: wait, the policy decides */
	RESULT_REJECT,   /* a record is bad: isolate it, dead-letter it, then advance */
	RESULT_FENCED,   /* the partition is no longer ours: forget the batch, publish nothing */
	RESULT_IN_DOUBT, /* COMMIT was sent, its answer lost: ask the progress row */
	RESULT_FATAL,    /* cannot go on: a person or systemd takes over */
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* "ok", "retry", ...: for logs and tests. */
const char *result_name(enum result r);
