-- Corrections: what each of them changes, who stands behind it, what became of it, and the clause it was made on.

ALTER TABLE corrections
    ADD COLUMN review_id        text             NOT NULL DEFAULT '',
    ADD COLUMN playbook_version text             NOT NULL DEFAULT '',
    -- Who made it (a pseudonym).
    ADD COLUMN by_hash          text             NOT NULL DEFAULT '',
    -- Who else signed the analysis with this change in it.
    ADD COLUMN signed_by        text[]           NOT NULL DEFAULT '{}',
    -- "" for one of before this table had kinds: it is listed and never applied.
    ADD COLUMN kind             text             NOT NULL DEFAULT '',
    ADD COLUMN position         text,
    ADD COLUMN severity_before  text,
    ADD COLUMN severity_after   text,
    -- The sentinel's risk of its words, in [0, 1]: suspicious ones never reach a prompt.
    ADD COLUMN risk             double precision NOT NULL DEFAULT 0;
UPDATE corrections c SET review_id = p.review_id, by_hash = p.reviewer_hash FROM pairs p WHERE p.workflow_id = c.workflow_id;
CREATE INDEX corrections_of_playbook ON corrections (tenant, playbook, correction_id DESC);
DROP INDEX corrections_recalled;

-- What is done to a correction is added here and never changed; its state follows from it.
CREATE TABLE correction_events (
    event_id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    correction_id bigint      NOT NULL REFERENCES corrections,
    event         text        NOT NULL CHECK (event IN ('withdrawn', 'restored', 'confirmed')),
    by_hash       text        NOT NULL,
    reason        text        NOT NULL,
    at            timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX correction_events_of_one ON correction_events (correction_id, event_id);
CREATE TRIGGER correction_events_no_change BEFORE UPDATE OR DELETE ON correction_events
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER correction_events_no_truncate BEFORE TRUNCATE ON correction_events EXECUTE FUNCTION refuse_change();

-- The corrected clause, one vector a quotation, shuffled with a key of its tenant: see `countersign/learning/book.py`.
CREATE TABLE correction_vectors (
    correction_id bigint      NOT NULL REFERENCES corrections ON DELETE CASCADE,
    embedder      text        NOT NULL,
    part          integer     NOT NULL,
    embedding     vector(384) NOT NULL,
    PRIMARY KEY (correction_id, embedder, part)
);
