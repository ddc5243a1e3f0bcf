-- The two records that are only ever appended to. Triggers hold for every role that does not switch them off, and
-- whoever switches them off is found out by the trail's hash chain.

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TABLE audit_trails (
    workflow_id text        NOT NULL,
    sequence    integer     NOT NULL CHECK (sequence >= 1),
    tenant      text        NOT NULL,
    review_id   text        NOT NULL,
    stage       text        NOT NULL,
    event       text        NOT NULL,
    user_hash   text        NOT NULL,
    input_hash  text        NOT NULL,
    actor_hash  text,
    facts       jsonb       NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    prev_hash   text        NOT NULL,
    row_hash    text        NOT NULL,
    PRIMARY KEY (workflow_id, sequence)
);
CREATE INDEX audit_trails_of_review ON audit_trails (tenant, review_id);
CREATE INDEX audit_trails_expiry ON audit_trails (expires_at);

-- A row may go only when it has expired by the database's own clock, and only where the transaction says that it purges.
CREATE FUNCTION refuse_early_delete() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    purge_before text := current_setting('countersign.purge_before', true);
BEGIN
    IF coalesce(purge_before, '') = '' OR OLD.expires_at > least(purge_before::timestamptz, clock_timestamp()) THEN
        RAISE EXCEPTION 'audit_trails is append-only: DELETE refused' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END
$$;

CREATE TRIGGER audit_trails_no_update BEFORE UPDATE ON audit_trails FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_trails_no_delete BEFORE DELETE ON audit_trails FOR EACH ROW EXECUTE FUNCTION refuse_early_delete();
CREATE TRIGGER audit_trails_no_truncate BEFORE TRUNCATE ON audit_trails EXECUTE FUNCTION refuse_change();

CREATE TABLE ledger (
    workflow_id       text        NOT NULL,
    call_id           text        NOT NULL,
    tenant            text        NOT NULL,
    review_id         text        NOT NULL,
    agent             text        NOT NULL,
    model             text        NOT NULL,
    requests          integer     NOT NULL,
    input_tokens      bigint      NOT NULL,
    output_tokens     bigint      NOT NULL,
    cache_read_tokens bigint      NOT NULL,
    cost_microusd     bigint      NOT NULL,
    priced            boolean     NOT NULL,
    execution_time_ms bigint      NOT NULL,
    success           boolean     NOT NULL,
    recorded_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workflow_id, call_id)
);
CREATE INDEX ledger_of_tenant ON ledger (tenant, recorded_at);

CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger EXECUTE FUNCTION refuse_change();
