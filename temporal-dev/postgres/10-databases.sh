#!/bin/sh
# Runs once, on an empty volume: the two applications, each with a role and databases of its own.
set -eu
psql -v ON_ERROR_STOP=1 -v countersign="$COUNTERSIGN_DB_PASSWORD" -v temporal="$TEMPORAL_DB_PASSWORD" -U postgres <<'SQL'
CREATE ROLE countersign LOGIN PASSWORD :'countersign';
CREATE DATABASE countersign OWNER countersign;
CREATE ROLE temporal LOGIN PASSWORD :'temporal';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
\connect countersign
CREATE EXTENSION vector;
\connect temporal_visibility
CREATE EXTENSION IF NOT EXISTS btree_gin;
SQL
