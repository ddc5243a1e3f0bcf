-- The waiting room: accepted reviews wait here until a dispatcher starts them. Limits are data.

ALTER TABLE reviews
    -- What the requester asked, as JSON sealed with the review's data key: the dispatcher starts the workflow with it.
    ADD COLUMN request       bytea,
    -- Seconds until its turn, as the requester was told.
    ADD COLUMN estimate_s    double precision,
    -- Its turn has come: it counts as in flight.
    ADD COLUMN dispatched_at timestamptz,
    -- Temporal has it.
    ADD COLUMN started_at    timestamptz;
UPDATE reviews SET dispatched_at = submitted_at, started_at = submitted_at;
CREATE INDEX reviews_waiting ON reviews (tenant, submitted_at, review_id) WHERE dispatched_at IS NULL AND outcome IS NULL;
CREATE INDEX reviews_unstarted ON reviews (dispatched_at) WHERE dispatched_at IS NOT NULL AND started_at IS NULL;

-- A document larger than one chunk arrives in chunks, each sealed as it comes in. `data` is then null.
CREATE TABLE document_chunks (
    tenant     text        NOT NULL,
    upload_id  text        NOT NULL,
    position   integer     NOT NULL,
    review_id  text        NOT NULL,
    sealed     bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, upload_id, position),
    FOREIGN KEY (tenant, review_id) REFERENCES data_keys
);
ALTER TABLE document_chunks ALTER COLUMN sealed SET STORAGE EXTERNAL;
CREATE INDEX document_chunks_age ON document_chunks (created_at);
ALTER TABLE documents ALTER COLUMN data DROP NOT NULL;
ALTER TABLE documents ADD COLUMN upload_id text;
ALTER TABLE documents ADD CONSTRAINT documents_held_once CHECK ((data IS NULL) = (upload_id IS NOT NULL));

-- What differs from the defaults: scope '' is everyone, 'tenant' one tenant, 'tenant/user_hash' one user of it.
CREATE TABLE limits (
    scope      text        PRIMARY KEY,
    fields     jsonb       NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE limit_changes (
    change_id  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope      text        NOT NULL,
    before     jsonb,
    after      jsonb,
    by_hash    text        NOT NULL,
    reason     text        NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER limit_changes_no_change BEFORE UPDATE OR DELETE ON limit_changes
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER limit_changes_no_truncate BEFORE TRUNCATE ON limit_changes EXECUTE FUNCTION refuse_change();
