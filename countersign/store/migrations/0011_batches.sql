-- Batches: many contracts given at once, and stored reviews analysed again. The workflow carries positions only; what
-- stands behind a position is here.

CREATE TABLE batches (
    tenant          text             NOT NULL,
    batch_id        text             NOT NULL,
    kind            text             NOT NULL CHECK (kind IN ('review', 'rerun')),
    -- Of names and contents, or of what was chosen: the same order submitted again is the same batch.
    digest          text             NOT NULL,
    user_hash       text             NOT NULL,
    playbook        text             NOT NULL,
    -- BatchOrder as JSON, sealed with a key of the tenant: the requester's name and words.
    sealed          bytea            NOT NULL,
    items           integer          NOT NULL CHECK (items > 0),
    window_size     integer          NOT NULL CHECK (window_size > 0),
    -- What the state said last; the workflow is the authority while it runs.
    state           text             NOT NULL,
    version         bigint           NOT NULL DEFAULT -1,
    waits_for       text             NOT NULL DEFAULT '',
    created_at      timestamptz      NOT NULL DEFAULT now(),
    -- Every item is stored: it may begin.
    ready_at        timestamptz,
    -- Temporal has it.
    started_at      timestamptz,
    ended_at        timestamptz,
    PRIMARY KEY (tenant, batch_id)
);
CREATE INDEX batches_unstarted ON batches (ready_at) WHERE ready_at IS NOT NULL AND started_at IS NULL;
CREATE INDEX batches_newest ON batches (created_at DESC);

CREATE TABLE batch_items (
    tenant          text        NOT NULL,
    batch_id        text        NOT NULL,
    position        integer     NOT NULL CHECK (position >= 0),
    -- Of a batch of reviews the item's own review, of a rerun the one that is analysed again.
    review_id       text        NOT NULL,
    document_id     text,
    -- Name of the file, sealed with the data key of the review.
    name            bytea,
    -- How it ended for the machine; null while it has not.
    ended           text,
    -- What was wrong with an item that never became a review; a type of error, and a message without names.
    failure         text        NOT NULL DEFAULT '',
    failure_message text        NOT NULL DEFAULT '',
    -- What a rerun found, sealed with the data key of the review.
    result          bytea,
    ended_at        timestamptz,
    PRIMARY KEY (tenant, batch_id, position),
    UNIQUE (tenant, batch_id, review_id),
    FOREIGN KEY (tenant, batch_id) REFERENCES batches
);

-- Reviews of a batch go after those that somebody waits for.
ALTER TABLE reviews ADD COLUMN batch_id text;
CREATE INDEX reviews_at_work_in_batches ON reviews (tenant)
    WHERE batch_id IS NOT NULL AND dispatched_at IS NOT NULL AND outcome IS NULL AND waiting_for IS NULL;
