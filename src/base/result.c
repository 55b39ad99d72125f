/* SPDX-License-Identifier: Apache-2.0 */
#include "base/result.h"

const char *result_name(enum result r)
{
	switch (r) {
	case RESULT_OK:
		return "ok";
	case RESULT_RETRY:
		return "retry";
	case RESULT_BUSY:
		return "busy";
	case RESULT_REJECT:
		return "reject";
	case RESULT_FENCED:
		return "fenced";
	case RESULT_IN_DOUBT:
		return "in doubt";
	case RESULT_FATAL:
		return "fatal";
	}
	return "?";
}
