/* SPDX-License-Identifier: Apache-2.0 */
#include "io/journal_format.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "io/journal.h"

enum {
	TEXT_MAX_BYTES = 512,
	VALUE_MAX_BYTES = 260, /* an entry with nothing but the longest still fits */
};

static const char *const message_ids[LOG_EVENT_COUNT] = {
	[LOG_EVENT_READY] = "73e324ba45f34587b16ee4c19cec22a5",
	[LOG_EVENT_STOPPING] = "010b43096c20482d8540a0d6e6df7386",
	[LOG_EVENT_ASSIGNED] = "7b0f0065ed324ae58eafc1d3b84189b7",
	[LOG_EVENT_REVOKED] = "7a912a44a27e4b12b8c72f7af45acaf9",
	[LOG_EVENT_CLAIMED] = "88710318832548949e2a5567c40a66ba",
	[LOG_EVENT_BATCH] = "b04576b24b5f4b988c9532ae5fc0c5ba",
	[LOG_EVENT_REFUSED] = "68275e3e5bd041e499a6913f0adc1eb9",
	[LOG_EVENT_HELD] = "fcd187b9e8234db0a70ffa15f749d6cf",
	[LOG_EVENT_RECOVERED] = "2a65c12faf47462ab1cb2d193937dfc7",
	[LOG_EVENT_FENCED] = "d06877b0c4454775a8acb7ef35572af2",
	[LOG_EVENT_IN_DOUBT] = "e3e4905e9dde403ab91a18ede7e5995f",
	[LOG_EVENT_RESOLVED] = "04f503a7136940b29c65c6a0cbfccfed",
	[LOG_EVENT_STOPPED] = "7f8b84a1fd054b688cae9a5947b14ab2",
	[LOG_EVENT_RESUMED] = "fe2f1522f9334b689a00e6718b86830c",
	[LOG_EVENT_GAP] = "64c03f9adf434a04b02ee46589925f3f",
	[LOG_EVENT_LOCK_FALLBACK] = "25cb29963fce4e738b36320796745123",
	[LOG_EVENT_LEASE_EXPIRED] = "76f6aee931bd4403be82e4b1ca079819",
	[LOG_EVENT_REPUBLISH] = "d2ff72e0f7fe41dfac5f643ff54ba00b",
	[LOG_EVENT_COMMIT_FAILED] = "d8f0032220fb44c2a797249072634426",
	[LOG_EVENT_REPLACED] = "405ddbc625864424b8e3af2baaadd144",
	[LOG_EVENT_TOTALS] = "4b1c98b9f89b4ce4a367bf5ce1e3247e",
	[LOG_EVENT_RELOADED] = "9c365383c357449694250459f3376893",
	[LOG_EVENT_NOT_RELOADED] = "920e6659f0a74425a674c6b4931dbddf",
	[LOG_EVENT_STUCK] = "514b270abaa5450a946de14471cb5b75",
	[LOG_EVENT_REJOINING] = "3963b5d1fd444c0f8baa81a5ba0be33e",
};

const char *journal_message_id(enum log_event event)
{
	return event > LOG_EVENT_NONE && event < LOG_EVENT_COUNT ? message_ids[event] : NULL;
}

/* Appends; `form` gives the shape of what follows. */
struct writer {
	char *at, *end;
	enum { FORM_FIELDS, FORM_LINE } form;
};

__attribute__((format(printf, 2, 3))) static void append(struct writer *w, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(w->at, (size_t)(w->end - w->at), format, ap);
	va_end(ap);

	char *end = n >= w->end - w->at ? w->end - 1 : w->at + (n > 0 ? n : 0);

	for (char *c = w->at; c < end; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	}
	w->at = end;
}

/* Ends a field: its NUL is part of the entry. */
static void field_end(struct writer *w)
{
	if (w->form == FORM_FIELDS && w->at < w->end - 1)
		w->at++;
}

/* name: in capitals, as the journal has it */
static void name(struct writer *w, const char *name)
{
	if (w->form == FORM_FIELDS) {
		append(w, "TICKETPAY_%s=", name);
		return;
	}
	append(w, " ");
	for (; *name && w->at < w->end - 1; name++)
		*w->at++ = *name >= 'A' && *name <= 'Z' ? (char)(*name | 0x20) : *name;
	append(w, "=");
}

static void number(struct writer *w, bool known, const char *key, int64_t value)
{
	if (!known)
		return;
	name(w, key);
	append(w, "%" PRId64, value);
	field_end(w);
}

static void string(struct writer *w, const char *key, const char *value)
{
	if (!value || !*value)
		return;
	name(w, key);

	bool quoted = w->form == FORM_LINE && strpbrk(value, " \"=");
	const char *quote = quoted ? "\"" : "";

	append(w, "%s%.*s%s", quote, (int)VALUE_MAX_BYTES, value, quote);
	field_end(w);
}

static void details(struct writer *w, const struct log_entry *e)
{
	bool range = e->first_offset >= 0;

	string(w, "TOPIC", e->topic);
	number(w, e->partition >= 0, "PARTITION", e->partition);
	number(w, range, "FIRST_OFFSET", e->first_offset);
	number(w, range, "LAST_OFFSET", e->last_offset);
	number(w, e->batch_id != 0, "BATCH_ID", e->batch_id);
	number(w, e->ticket_type != 0, "TICKET_TYPE", e->ticket_type);
	string(w, "ORDER_ID", e->order_id);
	string(w, "REASON", e->reason);
	number(w, e->attempt != 0, "ATTEMPT", e->attempt);
	string(w, "SQLSTATE", e->sqlstate);
	number(w, e->duration_us >= 0, "DURATION_US", e->duration_us);
}

size_t journal_format_fields(
	const struct log_entry *e, const char *identifier, char ret[JOURNAL_ENTRY_BYTES])
{
	struct writer w = {.at = ret, .end = ret + JOURNAL_ENTRY_BYTES, .form = FORM_FIELDS};
	const char *id = journal_message_id(e->event);

	append(&w, "MESSAGE=%.*s", (int)TEXT_MAX_BYTES, e->text);
	field_end(&w);
	append(&w, "PRIORITY=%d", (int)e->level);
	field_end(&w);
	append(&w, "SYSLOG_IDENTIFIER=%.*s", (int)VALUE_MAX_BYTES, identifier);
	field_end(&w);
	if (id) {
		append(&w, "MESSAGE_ID=%s", id);
		field_end(&w);
	}
	details(&w, e);
	return (size_t)(w.at - ret);
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARNING:
		return "warning";
	case LOG_LEVEL_NOTICE:
		return "notice";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_DEBUG:
		return "debug";
	}
	return "?";
}

size_t journal_format_line(const struct log_entry *e, int64_t now_ms, char ret[JOURNAL_ENTRY_BYTES])
{
	/* A byte less: for the newline. */
	struct writer w = {.at = ret, .end = ret + JOURNAL_ENTRY_BYTES - 1, .form = FORM_LINE};
	time_t seconds = now_ms / 1000;
	char stamp[32] = "";
	struct tm tm;

	if (gmtime_r(&seconds, &tm))
		strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	append(&w, "%s.%03dZ %s: %.*s", stamp, (int)(now_ms % 1000), level_name(e->level),
		(int)TEXT_MAX_BYTES, e->text);

	char *before = w.at;

	append(&w, " "); /* two blanks between the text and what belongs to it */
	details(&w, e);
	if (w.at == before + 1)
		w.at = before;
	*w.at++ = '\n';
	return (size_t)(w.at - ret);
}
