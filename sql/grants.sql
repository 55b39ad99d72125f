-- SPDX-License-Identifier: Apache-2.0
--
-- Give the daemon's role exactly what it needs: no DDL, no DELETE. Run by the owner of the tables
-- after each migration; running it again changes nothing. The role must exist.
--
--     psql -v daemon=ROLE -f sql/grants.sql
--
-- Not needed when the daemon's role owns the tables.

\set ON_ERROR_STOP on
\if :{?daemon}
\else
	\warn 'grants.sql: name the role of the daemon: psql -v daemon=ROLE -f grants.sql'
	-- psql has no "exit 3": an error ends the script.
	SELECT 'the variable daemon is not set'::int;
\endif

BEGIN;

-- Everyone has USAGE on "public"; a schema of one's own needs it said.
SELECT format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), :'daemon')
WHERE NOT has_schema_privilege(:'daemon', current_schema(), 'USAGE')
\gexec

GRANT SELECT ON schema_version TO :"daemon";
GRANT SELECT, UPDATE (remaining) ON ticket_type TO :"daemon";
GRANT SELECT, INSERT, UPDATE (status) ON payment TO :"daemon";
GRANT SELECT, INSERT, UPDATE ON consumer_progress TO :"daemon";
GRANT SELECT, INSERT ON dead_letter TO :"daemon";

COMMIT;
