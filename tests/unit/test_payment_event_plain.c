/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "event_pair.h"

/*
 * The plain reader says yes only where the JSON library says the same; and to what producers really
 * send it says yes, else it would be of no use. tests/fuzz/ asks the same with a fuzzer.
 */

static bool takes(const char *text)
{
	return event_pair_agree(text, strlen(text));
}

static void usual_events_are_taken(void **state)
{
	(void)state;
	assert_true(takes("{\"orderId\":\"o\",\"paymentKey\":\"k\",\"amount\":0,\"ticketTypeId\":1,"
			  "\"memberId\":1}"));
	assert_true(takes(" {\r\n\t\"memberId\" : 123456789012345678 ,\"quantity\": 1000,\n"
			  "\"ticketTypeId\":7 , \"amount\":1000000000000000,\n"
			  "\"paymentKey\":\" !#[]^`{|}~,:\" , \"orderId\":\"AZaz09_=.-\" } \n"));
	assert_true(takes("{\"\":null,\"currency\":\"EUR\",\"at\":1764093600,\"test\":false,"
			  "\"paid\":true,\"orderId\":\"o\",\"paymentKey\":\"k\",\"amount\":10,"
			  "\"ticketTypeId\":1,\"memberId\":1}"));
}

static void what_needs_a_thought_is_left_to_the_library(void **state)
{
	static const char *const extras[] = {"\"a\":1,\"a\":2,", "\"a\":\"\\n\",", "\"\\u0061\":1,",
		"\"a\":\"\xc3\xa9\",", "\"a\":1.5,", "\"a\":1e3,", "\"a\":-1,", "\"a\":{},",
		"\"a\":[],", "\"a\":01,", "\"a\":tru,", "\"a\":nullx,",
		"\"a\":1234567890123456789,", "\"a\":,", "\"amount\":1,",
		"\"quantity\":1,\"quantity\":1,", "\"orderId\":\"p\",", ",", "\"a\""};
	(void)state;

	for (size_t i = 0; i < sizeof(extras) / sizeof(extras[0]); i++) {
		char text[256];

		snprintf(text, sizeof(text),
			"{%s\"orderId\":\"o\",\"paymentKey\":\"k\",\"amount\":0,\"ticketTypeId\":1,"
			"\"memberId\":1}",
			extras[i]);
		if (takes(text))
			fail_msg("taken: %s", text);
	}
}

static void seventeen_unknown_keys_are_too_many_to_compare(void **state)
{
	(void)state;

	for (int keys = 16; keys <= 17; keys++) {
		char text[512];
		int n = sprintf(text, "{");

		for (int i = 0; i < keys; i++)
			n += sprintf(text + n, "\"k%d\":1,", i);
		sprintf(text + n, "\"orderId\":\"o\",\"paymentKey\":\"k\",\"amount\":0,"
				  "\"ticketTypeId\":1,\"memberId\":1}");
		assert_int_equal(takes(text), keys == 16);
	}
}

/* xorshift64: the same mutations in every run. */
static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void mutations_never_part_the_readers(void **state)
{
	static const char whole[] =
		"{\"orderId\":\"o-1\",\"x\":\"y z\",\"paymentKey\":\"k 1\",\"amount\":10000, "
		"\"n\":null,\"ticketTypeId\":7,\"memberId\":42,\"quantity\":2,\"b\":true}";
	static const char pieces[] = "{}[]\",:\\0123456789eE+-.tfn \n\0\xff\xc3\xa9uax";
	uint64_t x = UINT64_C(0x2545f4914f6cdd1d);
	int taken = 0, rounds = 200000;
	(void)state;

	for (int round = 0; round < rounds; round++) {
		char text[256];
		size_t length = sizeof(whole) - 1;

		memcpy(text, whole, length);
		for (uint64_t n = next_random(&x) % 3; n > 0; n--) {
			size_t at = next_random(&x) % length, to = next_random(&x) % length;

			if (next_random(&x) % 2)
				text[at] = pieces[next_random(&x) % (sizeof(pieces) - 1)];
			else
				text[at] = text[to];
			if (next_random(&x) % 8 == 0)
				length = at + 1;
		}
		taken += event_pair_agree(text, length);
	}
	assert_in_range(taken, rounds / 4, rounds * 3 / 4); /* both answers were asked for */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(usual_events_are_taken),
		cmocka_unit_test(what_needs_a_thought_is_left_to_the_library),
		cmocka_unit_test(seventeen_unknown_keys_are_too_many_to_compare),
		cmocka_unit_test(mutations_never_part_the_readers),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
