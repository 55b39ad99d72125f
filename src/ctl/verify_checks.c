/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/verify_checks.h"

#include <stddef.h>

/* `(...) IS NOT TRUE`: a null, which no column of ours should hold, is a breach as well. */

/* Patterns go by bytes, whatever the database's collation says of ranges. */
#define ORDER_ID_PATTERN "'^[A-Za-z0-9_=.-]+$' COLLATE \"C\""
#define PRINTABLE_PATTERN "'^[ -~]+$' COLLATE \"C\""

/*
 * How far each partition is. A renamed group starts a row of its own and decides the same records
 * again without effect, so the row that is furthest counts. What was decided before the last seek
 * may lie at any offset: an operator moved the position, perhaps because the topic was made anew.
 */
#define PROGRESS                                                                                   \
	"(SELECT kafka_partition, max(next_offset) AS next_offset,"                                \
	"  coalesce(max(sought_at), '-infinity') AS sought_at"                                     \
	" FROM consumer_progress WHERE topic = $1 GROUP BY kafka_partition)"

static const struct verify_relation stock = {
	.sql = "SELECT t.id, t.total, t.remaining, coalesce(c.confirmed, 0) AS confirmed,"
	       " (t.id >= 1 AND t.name IS NOT NULL AND t.remaining BETWEEN 0 AND t.total) IS NOT TRUE"
	       "  AS stock_values,"
	       " (t.remaining = t.total - coalesce(c.confirmed, 0)) IS NOT TRUE AS stock_adds_up"
	       " FROM ticket_type t LEFT JOIN"
	       "  (SELECT ticket_type_id, sum(quantity) AS confirmed FROM payment"
	       "   WHERE status = 'CONFIRMED' GROUP BY ticket_type_id) c ON c.ticket_type_id = t.id",
	.columns = "id, total, remaining, confirmed",
};

static const struct verify_relation payment = {
	.sql = "SELECT p.order_id, p.ticket_type_id, p.quantity, p.status, p.kafka_partition,"
	       " p.kafka_offset,"
	       " (length(p.order_id) BETWEEN 1 AND 64 AND p.order_id ~ " ORDER_ID_PATTERN
	       "  AND length(p.payment_key) BETWEEN 1 AND 200 AND p.payment_key ~ " PRINTABLE_PATTERN
	       "  AND p.ticket_type_id >= 1 AND p.member_id >= 1"
	       "  AND p.quantity BETWEEN 1 AND 1000 AND p.amount BETWEEN 0 AND 1000000000000000"
	       "  AND p.status IN ('CONFIRMED', 'SOLD_OUT', 'UNKNOWN_TICKET_TYPE')"
	       "  AND p.kafka_partition >= 0 AND p.kafka_offset >= 0 AND isfinite(p.decided_at))"
	       "  IS NOT TRUE AS payment_values,"
	       " (p.status <> 'UNKNOWN_TICKET_TYPE' AND t.id IS NULL) AS payment_has_stock,"
	       " g.kafka_partition IS NULL AS payment_has_progress,"
	       " coalesce(p.kafka_offset >= g.next_offset AND p.decided_at > g.sought_at, false)"
	       "  AS payment_below_next"
	       " FROM payment p LEFT JOIN ticket_type t ON t.id = p.ticket_type_id"
	       " LEFT JOIN " PROGRESS " g ON g.kafka_partition = p.kafka_partition",
	.columns = "order_id, ticket_type_id, quantity, status, kafka_partition, kafka_offset",
};

/* The primary key proves it; only without it is there anything to count. */
#define NO_UNIQUE_INDEX                                                                            \
	"(NOT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid"       \
	"  AND a.attname = 'order_id' WHERE i.indrelid = 'payment'::regclass AND i.indisunique"    \
	"  AND i.indisvalid AND i.indpred IS NULL AND i.indkey::text = a.attnum::text))"

static const struct verify_relation order = {
	.sql = "SELECT NULL AS order_id, NULL::bigint AS payments, " NO_UNIQUE_INDEX
	       " AS order_once"
	       " UNION ALL SELECT order_id, count(*), true FROM payment WHERE " NO_UNIQUE_INDEX
	       " GROUP BY order_id HAVING count(*) > 1",
	.columns = "order_id, payments, 'no unique index on payment(order_id)' AS cause",
};

/* A redriven letter's record may have been booked after all. */
#define RECORDS                                                                                    \
	"(SELECT kafka_partition, kafka_offset, decided_at FROM payment UNION ALL"                 \
	"  SELECT kafka_partition, kafka_offset, parked_at FROM dead_letter"                       \
	"  WHERE topic = $1 AND state <> 'redriven') r"                                            \
	" LEFT JOIN " PROGRESS " g ON g.kafka_partition = r.kafka_partition"                       \
	" WHERE r.decided_at > coalesce(g.sought_at, '-infinity')"

/*
 * Sorting every record takes long. Instead 60 offsets share a row, a bit for each: powers of two
 * add up to what they are ORed to only when each is there once.
 */
static const struct verify_relation record = {
	.sql = "SELECT r.kafka_partition, r.kafka_offset, count(*) AS decisions,"
	       " count(*) > 1 AS record_once"
	       " FROM " RECORDS " GROUP BY r.kafka_partition, r.kafka_offset",
	.columns = "kafka_partition, kafka_offset, decisions",
	.quick =
		"SELECT coalesce(sum(n), 0), count(*) FILTER (WHERE total <> bits) FROM"
		" (SELECT count(*) AS n, sum(1::bigint << (abs(r.kafka_offset % 60))::int) AS total,"
		"   bit_or(1::bigint << (abs(r.kafka_offset % 60))::int) AS bits"
		"  FROM " RECORDS " GROUP BY r.kafka_partition, r.kafka_offset / 60) x"
		" WHERE $1::text IS NOT NULL",
};

/*
 * Payments of one transaction (one partition, the same decided_at) and one ticket type, in offset
 * order. The stock was locked and could only fall: after a refusal for want of tickets nobody gets
 * as many; and the type was either known or not. Across transactions nothing of the kind is
 * provable: stock can be added in between.
 */
#define BATCHES                                                                                    \
	"(SELECT kafka_partition, decided_at, ticket_type_id, count(*) AS n,"                      \
	"  max(kafka_offset) FILTER (WHERE status = 'CONFIRMED')"                                  \
	"   > min(kafka_offset) FILTER (WHERE status = 'SOLD_OUT')"                                \
	"  AND max(quantity) FILTER (WHERE status = 'CONFIRMED')"                                  \
	"   >= min(quantity) FILTER (WHERE status = 'SOLD_OUT')"                                   \
	"  OR count(*) FILTER (WHERE status = 'UNKNOWN_TICKET_TYPE') NOT IN (0, count(*))"         \
	"  AS suspect FROM payment GROUP BY kafka_partition, decided_at, ticket_type_id) batch"

static const struct verify_relation decision = {
	.sql = "SELECT p.order_id, p.ticket_type_id, p.quantity, p.status, p.kafka_partition,"
	       " p.kafka_offset, p.status = 'UNKNOWN_TICKET_TYPE' OR coalesce(p.status = 'CONFIRMED'"
	       "  AND p.quantity >= min(p.quantity) FILTER (WHERE p.status = 'SOLD_OUT') OVER earlier,"
	       "  false) AS decided_in_order"
	       " FROM payment p JOIN " BATCHES
	       " USING (kafka_partition, decided_at, ticket_type_id)"
	       " WHERE suspect"
	       " WINDOW earlier AS (PARTITION BY p.kafka_partition, p.decided_at, p.ticket_type_id"
	       "  ORDER BY p.kafka_offset ROWS UNBOUNDED PRECEDING)",
	.columns = "order_id, ticket_type_id, quantity, status, kafka_partition, kafka_offset",
	.quick = "SELECT coalesce(sum(n), 0), count(*) FILTER (WHERE suspect) FROM " BATCHES
		 " WHERE $1::text IS NOT NULL",
};

/* A value is cut only when it is TOO_LARGE, and such a one always is. */
static const struct verify_relation letter = {
	.sql = "SELECT d.topic, d.kafka_partition, d.kafka_offset, d.record_timestamp, d.reason,"
	       " d.order_id, d.state,"
	       " (d.kafka_partition >= 0 AND d.kafka_offset >= 0 AND d.record_timestamp >= -1"
	       "  AND d.reason IN ('EMPTY_VALUE', 'TOO_LARGE', 'BAD_JSON', 'DUPLICATE_KEY',"
	       "   'BAD_FIELD', 'ORDER_CONFLICT', 'DB_REJECTED')"
	       "  AND d.detail IS NOT NULL AND (d.reason <> 'BAD_FIELD' OR d.detail ~"
	       "   '^(orderId|paymentKey|amount|ticketTypeId|memberId|quantity)\\M')"
	       "  AND (d.order_id IS NULL OR (length(d.order_id) BETWEEN 1 AND 64"
	       "   AND d.order_id ~ " ORDER_ID_PATTERN "))"
	       "  AND CASE d.reason WHEN 'TOO_LARGE' THEN octet_length(d.value) < d.value_bytes"
	       "   WHEN 'EMPTY_VALUE' THEN octet_length(d.value) = 0 AND d.value_bytes = 0"
	       "   ELSE octet_length(d.value) = d.value_bytes END"
	       "  AND d.state IN ('parked', 'redriven', 'discarded') AND isfinite(d.parked_at)"
	       "  AND (d.state = 'parked') = (d.resolved_at IS NULL)"
	       "  AND (d.state = 'parked') = (d.resolved_by IS NULL)) IS NOT TRUE AS letter_values,"
	       " d.reason = 'ORDER_CONFLICT' AND p.order_id IS NULL AS conflict_has_payment,"
	       " d.topic = $1 AND g.kafka_partition IS NULL AS letter_has_progress,"
	       " coalesce(d.kafka_offset >= g.next_offset AND d.parked_at > g.sought_at, false)"
	       "  AS letter_below_next"
	       " FROM dead_letter d LEFT JOIN payment p"
	       "  ON d.reason = 'ORDER_CONFLICT' AND p.order_id = d.order_id COLLATE \"C\""
	       " LEFT JOIN " PROGRESS
	       " g ON g.kafka_partition = d.kafka_partition AND d.topic = $1",
	.columns =
		"topic, kafka_partition, kafka_offset, record_timestamp, reason, order_id, state",
};

static const struct verify_relation progress = {
	.sql = "SELECT c.consumer_group, c.topic, c.kafka_partition, c.next_offset, c.published_offset,"
	       " c.state, c.stopped_reason, c.unclean_claims,"
	       " (c.consumer_group <> '' AND c.topic <> '' AND c.kafka_partition >= 0"
	       "  AND c.next_offset >= 0 AND c.published_offset >= 0 AND c.unclean_claims >= 0"
	       "  AND c.claimed_by IS NOT NULL AND c.sought IS NOT NULL"
	       "  AND c.state IN ('running', 'stopped')"
	       "  AND (c.state = 'stopped') = (coalesce(c.stopped_reason, '') <> '')) IS NOT TRUE"
	       "  AS progress_values,"
	       " (c.published_offset <= c.next_offset) IS NOT TRUE AS published_not_above_next"
	       " FROM consumer_progress c",
	.columns = "consumer_group, topic, kafka_partition, next_offset, published_offset, state,"
		   " stopped_reason, unclean_claims",
};

static const struct verify_relation topic = {
	.sql = "SELECT t.topic, (t.topic = $1) IS NOT TRUE AS one_topic"
	       " FROM (SELECT topic FROM consumer_progress UNION SELECT topic FROM dead_letter) t",
	.columns = "topic",
};

const struct verify_check verify_checks[] = {
	{"stock_adds_up", "of every ticket type, remaining = total - confirmed tickets", &stock},
	{"stock_values", "of every ticket type, 0 <= remaining <= total", &stock},
	{"payment_has_stock", "payments that are CONFIRMED or SOLD_OUT have their ticket type",
		&payment},
	{"payment_values", "every column of a payment is within its bounds", &payment},
	{"payment_has_progress", "payments come from partitions with a progress row", &payment},
	{"payment_below_next", "no payment at or above its partition's next_offset", &payment},
	{"order_once", "every order id has at most one payment", &order},
	{"record_once", "every record was decided at most once (payment or dead letter)", &record},
	{"decided_in_order", "within a batch, tickets went out in the order of offsets", &decision},
	{"letter_values", "every column of a dead letter is within its bounds", &letter},
	{"letter_has_progress", "dead letters come from partitions with a progress row", &letter},
	{"letter_below_next", "no dead letter at or above its partition's next_offset", &letter},
	{"conflict_has_payment", "the order of every ORDER_CONFLICT letter has its payment",
		&letter},
	{"published_not_above_next", "published_offset <= next_offset in every progress row",
		&progress},
	{"progress_values",
		"every column of a progress row is within its bounds, a stop has a reason",
		&progress},
	{"one_topic", "progress rows and dead letters are of kafka.topic alone", &topic},
	{NULL, NULL, NULL},
};
