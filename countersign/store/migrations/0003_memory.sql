-- Warm memory (profiles, corrections, evidence, autonomy of cells) and cold memory (knowledge).

CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE profiles (
    tenant     text        NOT NULL,
    user_hash  text        NOT NULL,
    sealed     bytea       NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, user_hash)
);

-- One row per signed review: what the agents said against what the person decided.
CREATE TABLE pairs (
    workflow_id      text             PRIMARY KEY,
    tenant           text             NOT NULL,
    review_id        text             NOT NULL,
    playbook         text             NOT NULL,
    contract_type    text             NOT NULL,
    agent_route      text             NOT NULL,
    agent_confidence double precision NOT NULL,
    verdict          text             NOT NULL,
    agreed           boolean          NOT NULL,
    edits            integer          NOT NULL,
    reviewer_hash    text             NOT NULL,
    created_at       timestamptz      NOT NULL DEFAULT now()
);
CREATE INDEX pairs_of_cell ON pairs (tenant, playbook, contract_type);

CREATE TABLE corrections (
    correction_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workflow_id   text        NOT NULL REFERENCES pairs,
    tenant        text        NOT NULL,
    playbook      text        NOT NULL,
    contract_type text        NOT NULL,
    clause        text        NOT NULL,
    finding_id    text        NOT NULL,
    -- JSON {"change", "note"}, sealed with the tenant's key: a person's words about a contract.
    sealed        bytea       NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX corrections_recalled ON corrections (tenant, playbook, contract_type, clause, correction_id DESC);

CREATE TABLE cells (
    tenant        text        NOT NULL,
    playbook      text        NOT NULL,
    contract_type text        NOT NULL,
    level         text        NOT NULL CHECK (level IN ('supervised', 'semi_autonomous', 'autonomous')),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, playbook, contract_type)
);

CREATE TABLE cell_history (
    change_id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant        text        NOT NULL,
    playbook      text        NOT NULL,
    contract_type text        NOT NULL,
    level_before  text        NOT NULL,
    level         text        NOT NULL,
    by_hash       text        NOT NULL,
    reason        text        NOT NULL,
    changed_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX cell_history_of_cell ON cell_history (tenant, playbook, contract_type, change_id);
CREATE TRIGGER cell_history_no_change BEFORE UPDATE OR DELETE ON cell_history
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER cell_history_no_truncate BEFORE TRUNCATE ON cell_history EXECUTE FUNCTION refuse_change();

-- A tenant's own reference texts, or everyone's where tenant is null. Not sealed: the full-text index must read them.
CREATE TABLE knowledge (
    passage_id   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant       text,
    source       text        NOT NULL,
    passage      text        NOT NULL,
    passage_hash text        NOT NULL,
    words        tsvector    GENERATED ALWAYS AS (to_tsvector('english', passage)) STORED,
    created_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (tenant, source, passage_hash)
);
CREATE INDEX knowledge_words ON knowledge USING gin (words);

-- Vectors of different embedders are not comparable, so each carries the name of its own. There is no approximate
-- index on purpose: an exact scan misses nothing, and of 10,000 passages it takes about 0.1 s on one core.
CREATE TABLE knowledge_vectors (
    passage_id bigint      NOT NULL REFERENCES knowledge ON DELETE CASCADE,
    embedder   text        NOT NULL,
    embedding  vector(384) NOT NULL,
    PRIMARY KEY (passage_id, embedder)
);
