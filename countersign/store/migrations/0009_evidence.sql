-- Autonomy by evidence: what was compared with people's judgement, and what the tests over it say of each cell and arm.

-- What evidence is about: models, prompts, playbook and code, by their fingerprint.
CREATE TABLE arms (
    fingerprint text        PRIMARY KEY,
    parts       jsonb       NOT NULL,
    first_seen  timestamptz NOT NULL DEFAULT now()
);

-- One row per review that a person judged. Kept for good: the states below can be rebuilt from it.
CREATE TABLE evidence_items (
    workflow_id     text             PRIMARY KEY,
    tenant          text             NOT NULL,
    review_id       text             NOT NULL,
    playbook        text             NOT NULL,
    contract_type   text             NOT NULL,
    arm             text             NOT NULL,
    source          text             NOT NULL CHECK (source IN ('review', 'shadow', 'labels')),
    run_id          text,
    submitted_at    timestamptz      NOT NULL,
    document_sha256 text             NOT NULL,
    stated          double precision NOT NULL CHECK (stated BETWEEN 0 AND 1),
    agreement       double precision NOT NULL CHECK (agreement BETWEEN 0 AND 1),
    propensity      double precision NOT NULL CHECK (propensity > 0 AND propensity <= 1),
    least           double precision NOT NULL CHECK (least > 0 AND least <= propensity),
    critical        boolean          NOT NULL,
    -- False where the same document counted before: looking at one contract twice is no new evidence.
    counted         boolean          NOT NULL,
    route           text,
    verdict         text,
    reviewer_hash   text,
    machine_s       double precision NOT NULL,
    cost_microusd   bigint           NOT NULL,
    -- JSON: clause by clause what agents and people said, with quotations. Sealed with the review's own key.
    sealed          bytea            NOT NULL,
    created_at      timestamptz      NOT NULL DEFAULT now()
);
CREATE INDEX evidence_of_arm ON evidence_items (tenant, playbook, contract_type, arm, submitted_at, workflow_id)
    WHERE counted;
CREATE INDEX evidence_of_run ON evidence_items (tenant, run_id, workflow_id) WHERE run_id IS NOT NULL;

-- `state` is `countersign.evidence.level.CellState`, `policy` the bars it was gathered against, `confidence` the map and
-- threshold fitted on the first `fitted` pairs.
CREATE TABLE cell_states (
    tenant        text        NOT NULL,
    playbook      text        NOT NULL,
    contract_type text        NOT NULL,
    arm           text        NOT NULL,
    policy        jsonb       NOT NULL,
    state         jsonb       NOT NULL,
    last_item     timestamptz,
    confidence    jsonb,
    fitted        integer     NOT NULL DEFAULT 0,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, playbook, contract_type, arm)
);

-- What people did to an arm's evidence, and after which item: needed to rebuild its state.
CREATE TABLE cell_marks (
    mark_id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant        text        NOT NULL,
    playbook      text        NOT NULL,
    contract_type text        NOT NULL,
    arm           text        NOT NULL,
    level         text        NOT NULL,
    raised        boolean     NOT NULL,
    after_item    timestamptz
);
CREATE INDEX cell_marks_of_arm ON cell_marks (tenant, playbook, contract_type, arm, mark_id);

-- `level` is that of the arm that was last used. `granted` is an override that no review has met yet: it holds for the
-- arm of the first that does.
ALTER TABLE cells ADD COLUMN arm text;
ALTER TABLE cells ADD COLUMN granted text;
UPDATE cells SET granted = level WHERE level <> 'supervised';
ALTER TABLE cell_history ADD COLUMN arm text;
ALTER TABLE cell_history ADD COLUMN rule text NOT NULL DEFAULT 'override';
ALTER TABLE cell_history ADD COLUMN evidence jsonb;

-- Shadow runs over labelled cases. `facts`: source, playbook, stated baseline; never a name or a word of a document.
CREATE TABLE shadow_runs (
    tenant     text        NOT NULL,
    run_id     text        NOT NULL,
    facts      jsonb       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, run_id)
);
CREATE TABLE shadow_cases (
    tenant    text    NOT NULL,
    review_id text    NOT NULL,
    run_id    text    NOT NULL,
    position  integer NOT NULL,
    -- Why the case gave no pair, where it did not.
    failure   text,
    -- JSON: name and people's labels with quotations, under the tenant's key until the pair is stored, then erased.
    sealed    bytea,
    PRIMARY KEY (tenant, review_id),
    FOREIGN KEY (tenant, run_id) REFERENCES shadow_runs
);
CREATE INDEX shadow_cases_of_run ON shadow_cases (tenant, run_id, position);
