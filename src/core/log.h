/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/*
 * What core and the programs say to people. core fills entries, io/journal.c writes them, tests
 * collect them. Values of enum log_level are syslog's priorities.
 */
enum log_level {
	LOG_LEVEL_ERROR = 3,   /* a person must act */
	LOG_LEVEL_WARNING = 4, /* retried, rejected, fenced */
	LOG_LEVEL_NOTICE = 5,  /* the state changed */
	LOG_LEVEL_INFO = 6,    /* periodic totals */
	LOG_LEVEL_DEBUG = 7,   /* per batch */
};

/* Recurring events; each has a MESSAGE_ID (io/journal.c) that people can search for. */
enum log_event {
	LOG_EVENT_NONE = 0,
	LOG_EVENT_READY,
	LOG_EVENT_STOPPING,
	LOG_EVENT_ASSIGNED,
	LOG_EVENT_REVOKED,
	LOG_EVENT_CLAIMED,
	LOG_EVENT_BATCH,         /* a batch was committed */
	LOG_EVENT_REFUSED,       /* examples of refused records, rate-limited */
	LOG_EVENT_HELD,          /* a batch waits for a server */
	LOG_EVENT_RECOVERED,     /* it waits no more */
	LOG_EVENT_FENCED,        /* another worker has the partition */
	LOG_EVENT_IN_DOUBT,      /* the answer to COMMIT was lost */
	LOG_EVENT_RESOLVED,      /* and what became of it */
	LOG_EVENT_STOPPED,       /* a partition stopped until a person acts */
	LOG_EVENT_RESUMED,
	LOG_EVENT_GAP,           /* offsets that Kafka does not have */
	LOG_EVENT_LOCK_FALLBACK, /* went on under PostgreSQL's row locks alone */
	LOG_EVENT_LEASE_EXPIRED,
	LOG_EVENT_REPUBLISH,     /* outcomes are published again */
	LOG_EVENT_COMMIT_FAILED, /* Kafka refused an offset commit */
	LOG_EVENT_REPLACED,      /* another daemon joined the group with our instance name */
	LOG_EVENT_TOTALS,        /* what a worker has done since its start */
	LOG_EVENT_RELOADED,      /* the settings were read again */
	LOG_EVENT_NOT_RELOADED,  /* they were, but cannot be taken */
	LOG_EVENT_STUCK,         /* a worker gives no sign of life */
	LOG_EVENT_REJOINING,     /* as a new member: the old one's session had run out */
	LOG_EVENT_COUNT,
};

struct log_entry {
	enum log_level level;
	enum log_event event;
	const char *text; /* one short plain sentence, no newline, secret or payload */

	/* Journal fields TICKETPAY_*; what is not known is left out. */
	const char *topic;     /* NULL: none */
	int32_t partition;     /* with topic only; -1: none */
	int64_t first_offset;  /* -1: none; first_offset and last_offset together */
	int64_t last_offset;
	int64_t batch_id;      /* 0: none */
	int64_t ticket_type;   /* 0: none */
	const char *order_id;  /* NULL: none */
	const char *reason;    /* NULL: none */
	int32_t attempt;       /* 0: none */
	const char *sqlstate;  /* NULL or "": none */
	int64_t duration_us;   /* -1: none */
};

/* An entry with nothing but a level, an event and a text. */
struct log_entry log_entry(enum log_level level, enum log_event event, const char *text);

/* Where entries go. */
struct log_ops {
	/* Never blocks for long and never fails to its caller. thread: any */
	void (*write)(void *self, const struct log_entry *e);
};
struct logger {
	const struct log_ops *ops;
	void *self;
};
