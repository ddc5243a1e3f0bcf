-- Documents and the projection of reviews. Whatever a document says is sealed with the data key of its review:
-- destroying that one key erases document, text and status detail, in the tables and in every backup of them.

CREATE TABLE data_keys (
    tenant       text        NOT NULL,
    review_id    text        NOT NULL,
    wrapped      bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    destroyed_at timestamptz,
    PRIMARY KEY (tenant, review_id),
    CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL))
);

CREATE TABLE documents (
    tenant      text        NOT NULL,
    document_id text        NOT NULL,
    review_id   text        NOT NULL,
    sha256      text        NOT NULL,
    media_type  text        NOT NULL,
    size        bigint      NOT NULL CHECK (size >= 0),
    data        bytea       NOT NULL,
    text        bytea,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, document_id),
    UNIQUE (tenant, review_id, sha256),
    FOREIGN KEY (tenant, review_id) REFERENCES data_keys
);
-- Sealed bytes do not compress: spare the attempt.
ALTER TABLE documents ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE documents ALTER COLUMN text SET STORAGE EXTERNAL;

CREATE TABLE reviews (
    tenant         text        NOT NULL,
    review_id      text        NOT NULL,
    workflow_id    text        NOT NULL UNIQUE,
    -- The run that was admitted; null until its workflow asks. A later run under the same id is another review.
    run_id         text,
    document_id    text,
    user_hash      text        NOT NULL DEFAULT '',
    stage          text        NOT NULL,
    outcome        text,
    route          text,
    autonomy       text        NOT NULL DEFAULT 'supervised',
    playbook       text        NOT NULL DEFAULT '',
    contract_type  text        NOT NULL DEFAULT '',
    risk_band      text,
    waiting_for    text,
    sla_due        timestamptz,
    escalated      boolean     NOT NULL DEFAULT false,
    findings       integer     NOT NULL DEFAULT 0,
    worst_severity text,
    confidence     double precision,
    cost_microusd  bigint      NOT NULL DEFAULT 0,
    submitted_at   timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    ended_at       timestamptz,
    -- Version of the status projected; -1 when admitted and nothing projected yet.
    version        bigint      NOT NULL DEFAULT -1,
    -- The whole status as JSON, sealed with the review's data key.
    detail         bytea,
    PRIMARY KEY (tenant, review_id)
);
CREATE INDEX reviews_newest ON reviews (submitted_at DESC, review_id);
CREATE INDEX reviews_of_tenant ON reviews (tenant, submitted_at DESC);
CREATE INDEX reviews_by_id ON reviews (review_id);
CREATE INDEX reviews_queue ON reviews (escalated DESC, sla_due) WHERE waiting_for = 'reviewer';
