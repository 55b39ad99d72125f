-- SPDX-License-Identifier: Apache-2.0
--
-- ticketpayd, schema version 1. "ticketpayctl migrate --apply" runs this file, or the owner of the
-- tables does, in one transaction:
--
--     psql -1 -v ON_ERROR_STOP=1 -f sql/001_initial.sql
--
-- Names are unqualified: the tables are made in the first schema of the search path.

DO $$
BEGIN
	-- Order ids are compared as bytes and events are UTF-8: elsewhere a conversion could fail or
	-- make two ids one.
	IF getdatabaseencoding() <> 'UTF8' THEN
		RAISE EXCEPTION 'ticketpayd needs a UTF8 database, this one is %', getdatabaseencoding()
			USING HINT = 'CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0';
	END IF;
END
$$;

CREATE TABLE schema_version (
	version int NOT NULL,
	applied_at timestamptz NOT NULL DEFAULT now()
);

-- remaining = total - sum(quantity of CONFIRMED payments); change both columns together.
-- The hot row of the whole system: room in its page lets updates stay there (HOT).
CREATE TABLE ticket_type (
	id bigint NOT NULL PRIMARY KEY,
	name text NOT NULL,
	total bigint NOT NULL,
	remaining bigint NOT NULL,
	CONSTRAINT ticket_type_remaining_check CHECK (remaining BETWEEN 0 AND total)
) WITH (fillfactor = 50);

-- One row per order id; the first decision stands. No foreign key to ticket_type: it would cost a
-- row trigger per payment; "ticketpayctl verify" checks it.
CREATE TABLE payment (
	order_id text COLLATE "C" NOT NULL PRIMARY KEY,
	payment_key text NOT NULL,
	ticket_type_id bigint NOT NULL,
	member_id bigint NOT NULL,
	quantity int NOT NULL,
	amount bigint NOT NULL, -- minor units
	status text NOT NULL,
	kafka_partition int NOT NULL,
	kafka_offset bigint NOT NULL,
	decided_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT payment_status_check
		CHECK (status IN ('CONFIRMED', 'SOLD_OUT', 'UNKNOWN_TICKET_TYPE'))
);

-- Each record below next_offset is decided; the outcomes of those below published_offset are
-- published. Kafka's committed offset is only a copy for people and tools.
CREATE TABLE consumer_progress (
	consumer_group text NOT NULL,
	topic text NOT NULL,
	kafka_partition int NOT NULL,
	next_offset bigint NOT NULL,
	published_offset bigint NOT NULL,
	owner uuid, -- token of the claim; null: released
	claimed_by text NOT NULL, -- who claimed it last, for people
	unclean_claims int NOT NULL, -- claims without a release before, since next_offset moved
	state text NOT NULL,
	stopped_reason text,
	sought boolean NOT NULL, -- set by an operator's seek, until Kafka knows of it
	sought_at timestamptz, -- the last seek: older decisions may lie at any offset; null: none
	last_record_at timestamptz, -- timestamp of record next_offset - 1; null: none, or not known
	updated_at timestamptz NOT NULL,
	PRIMARY KEY (consumer_group, topic, kafka_partition),
	CONSTRAINT consumer_progress_state_check CHECK (state IN ('running', 'stopped'))
);

-- Records that became no payment. Bytes stay bytes: a NUL would make the letter itself fail.
-- reason has no CHECK: a new reason must not need a migration.
CREATE TABLE dead_letter (
	topic text NOT NULL,
	kafka_partition int NOT NULL,
	kafka_offset bigint NOT NULL,
	record_timestamp bigint NOT NULL, -- milliseconds since 1970, -1: none
	reason text NOT NULL,
	detail text NOT NULL,
	order_id text, -- null: none could be read
	record_key bytea, -- null: none
	value bytea NOT NULL, -- its first limits.event_bytes bytes; empty for a tombstone
	value_bytes bigint NOT NULL, -- of the whole value
	headers bytea, -- as in Kafka's message format 2; null: none
	state text NOT NULL,
	parked_at timestamptz NOT NULL,
	resolved_at timestamptz,
	resolved_by text,
	-- With the timestamp: a topic that was made anew begins at offset 0 again.
	PRIMARY KEY (topic, kafka_partition, kafka_offset, record_timestamp),
	CONSTRAINT dead_letter_state_check CHECK (state IN ('parked', 'redriven', 'discarded'))
);

INSERT INTO schema_version (version) VALUES (1);
