/* SPDX-License-Identifier: Apache-2.0 */
#include "core/record.h"

const char *payment_status_name(enum payment_status s)
{
	switch (s) {
	case PAYMENT_CONFIRMED:
		return "CONFIRMED";
	case PAYMENT_SOLD_OUT:
		return "SOLD_OUT";
	case PAYMENT_UNKNOWN_TICKET_TYPE:
		return "UNKNOWN_TICKET_TYPE";
	}
	return "?";
}

bool payment_status_parse(struct bytes name, enum payment_status *ret)
{
	for (int i = 0; i < PAYMENT_STATUS_COUNT; i++) {
		const char *known = payment_status_name((enum payment_status)i);

		if (bytes_equal(name, (struct bytes){.data = known, .length = strlen(known)})) {
			*ret = (enum payment_status)i;
			return true;
		}
	}
	return false;
}

const char *refusal_name(enum refusal r)
{
	switch (r) {
	case REFUSAL_NONE:
		return "NONE";
	case REFUSAL_EMPTY_VALUE:
		return "EMPTY_VALUE";
	case REFUSAL_TOO_LARGE:
		return "TOO_LARGE";
	case REFUSAL_BAD_JSON:
		return "BAD_JSON";
	case REFUSAL_DUPLICATE_KEY:
		return "DUPLICATE_KEY";
	case REFUSAL_BAD_FIELD:
		return "BAD_FIELD";
	case REFUSAL_ORDER_CONFLICT:
		return "ORDER_CONFLICT";
	case REFUSAL_DB_REJECTED:
		return "DB_REJECTED";
	}
	return "?";
}
