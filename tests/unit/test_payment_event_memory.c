/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/payment_event.h"

/* The next `allocations_left` allocations of ours and of jansson's succeed, one fails; -1: none. */
static int allocations_left = -1;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	if (allocations_left >= 0 && allocations_left-- == 0)
		return NULL;
	return __real_malloc(size);
}

enum { NOT_ASKED = 10, NO_MEMORY, WRONG }; /* how a child ends */

/* Decode with the n-th allocation failing. */
static int decode_starved(struct bytes value, enum refusal refusal, int n)
{
	struct arena *a = arena_new();
	struct payment_event e;
	const char *detail;
	bool no_memory;

	allocations_left = n;

	enum refusal r = payment_event_decode(value, 65536, a, &e, &detail, &no_memory);
	bool failed = allocations_left == -1;

	allocations_left = -1;
	arena_free(a);
	if (no_memory != failed || r != (no_memory ? REFUSAL_BAD_JSON : refusal))
		return WRONG;
	if (no_memory && e.fields != 0)
		return WRONG;
	return no_memory ? NO_MEMORY : NOT_ASKED;
}

/* jansson asserts when the buffer of a number cannot grow, so it happens in a process of its own.
 */
static int starve_child(struct bytes value, enum refusal refusal, int n)
{
	int status;

	fflush(NULL);

	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		const struct rlimit no_core = {0, 0};

		setrlimit(RLIMIT_CORE, &no_core);
		if (!freopen("/dev/null", "w", stderr))
			exit(WRONG);
		signal(SIGABRT, SIG_DFL);
		exit(decode_starved(value, refusal, n));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)
		return NO_MEMORY;
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A failed allocation must never look like a bad event, nor like another good one. */
static void no_memory_is_never_a_verdict(void **state)
{
	/* Long enough that jansson's token buffer grows while a number is read. */
	static const char text[] =
		"{\"orderId\":\"abcdefghijklmnopqrstuvwxyz0123456789\",\"paymentKey\":\"k\","
		"\"amount\":1000000000000000,\"ticketTypeId\":9223372036854775807,"
		"\"memberId\":1234567890123456789,\"quantity\":3,\"more\":[1.5,{\"x\":null}]}";
	static const char number_first[] =
		"{\"amount\":123456789012345,\"memberId\":1234567890123456789,\"orderId\":\"o\","
		"\"paymentKey\":\"\\u006b\",\"ticketTypeId\":1234567890123456789}";
	static const struct {
		struct bytes value;
		enum refusal refusal;
	} cases[] = {
		{BYTES_LITERAL(text), REFUSAL_NONE},
		{BYTES_LITERAL(number_first), REFUSAL_NONE},
		{BYTES_LITERAL("{\"orderId\":\"\"}"), REFUSAL_BAD_FIELD},
		{BYTES_LITERAL("{\"a\":1\0}"), REFUSAL_BAD_JSON},
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int end = NO_MEMORY, n = 0;

		/* Until an n-th allocation is never asked for. */
		while (end == NO_MEMORY)
			end = starve_child(cases[i].value, cases[i].refusal, n++);
		assert_int_equal(end, NOT_ASKED);
		assert_true(n > 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_memory_is_never_a_verdict),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
