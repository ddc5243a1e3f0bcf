-- Tools: the policy over them (data, with its history), every call, and the effects that people approved.

-- What differs from the defaults. Tenant, role and playbook '' mean: whichever.
CREATE TABLE tool_rules (
    tenant     text        NOT NULL,
    tool       text        NOT NULL,
    role       text        NOT NULL DEFAULT '',
    playbook   text        NOT NULL DEFAULT '',
    verdict    text        NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, tool, role, playbook)
);
CREATE TABLE tool_rule_changes (
    change_id  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant     text        NOT NULL,
    tool       text        NOT NULL,
    role       text        NOT NULL,
    playbook   text        NOT NULL,
    before     text,
    after      text,
    by_hash    text        NOT NULL,
    reason     text        NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER tool_rule_changes_no_change BEFORE UPDATE OR DELETE ON tool_rule_changes
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tool_rule_changes_no_truncate BEFORE TRUNCATE ON tool_rule_changes EXECUTE FUNCTION refuse_change();

-- One row a call, written by the guard. The arguments as a keyed digest, never themselves; no result.
CREATE TABLE tool_calls (
    call_no      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workflow_id  text        NOT NULL,
    tenant       text        NOT NULL,
    review_id    text        NOT NULL,
    run          text        NOT NULL,
    tool_call_id text        NOT NULL,
    tool         text        NOT NULL,
    args_digest  text        NOT NULL,
    verdict      text        NOT NULL,
    ms           integer     NOT NULL,
    result_chars integer     NOT NULL,
    called_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX tool_calls_of_review ON tool_calls (workflow_id, call_no);
CREATE TRIGGER tool_calls_no_change BEFORE UPDATE OR DELETE ON tool_calls
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tool_calls_no_truncate BEFORE TRUNCATE ON tool_calls EXECUTE FUNCTION refuse_change();

-- Counters that all workers share: calls of a review (window_start 1970), calls of a tool in a minute.
CREATE TABLE tool_counts (
    scope        text        NOT NULL,
    window_start timestamptz NOT NULL,
    used         integer     NOT NULL,
    PRIMARY KEY (scope, window_start)
);

-- Counterparties of a tenant. The name is sealed; it is found by a keyed digest of its plain form.
CREATE TABLE counterparties (
    tenant      text        NOT NULL,
    name_hash   text        NOT NULL,
    name_sealed bytea       NOT NULL,
    standing    text        NOT NULL CHECK (standing IN ('approved', 'watch', 'barred')),
    note        text        NOT NULL DEFAULT '',
    contracts   integer     NOT NULL DEFAULT 0 CHECK (contracts >= 0),
    changed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, name_hash)
);

-- What was done, once an item and once an approval, in the same transaction as the doing.
CREATE TABLE effects (
    tenant         text        NOT NULL,
    review_id      text        NOT NULL,
    item           text        NOT NULL,
    workflow_id    text        NOT NULL,
    tool           text        NOT NULL,
    args_digest    text        NOT NULL,
    policy_version text        NOT NULL,
    -- Null where the policy asked for none.
    approval_id    text        UNIQUE,
    approver_hash  text,
    done_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, review_id, item)
);
CREATE TRIGGER effects_no_change BEFORE UPDATE OR DELETE ON effects FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER effects_no_truncate BEFORE TRUNCATE ON effects EXECUTE FUNCTION refuse_change();

-- The register of obligations. What a contract says is sealed with the data key of its review.
CREATE TABLE obligations (
    tenant      text        NOT NULL,
    review_id   text        NOT NULL,
    item        text        NOT NULL,
    kind        text        NOT NULL,
    clause      text        NOT NULL,
    due_on      date,
    sealed      bytea       NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, review_id, item),
    FOREIGN KEY (tenant, review_id, item) REFERENCES effects,
    FOREIGN KEY (tenant, review_id) REFERENCES data_keys
);
CREATE INDEX obligations_due ON obligations (tenant, due_on);

-- Notices to be delivered. `delivered_at` is set once the folder or system that delivers has taken it.
CREATE TABLE outbox (
    tenant       text        NOT NULL,
    review_id    text        NOT NULL,
    item         text        NOT NULL,
    kind         text        NOT NULL,
    recipient    text        NOT NULL,
    sealed       bytea       NOT NULL,
    queued_at    timestamptz NOT NULL DEFAULT now(),
    attempts     integer     NOT NULL DEFAULT 0,
    last_error   text,
    next_at      timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    PRIMARY KEY (tenant, review_id, item),
    FOREIGN KEY (tenant, review_id, item) REFERENCES effects,
    FOREIGN KEY (tenant, review_id) REFERENCES data_keys
);
CREATE INDEX outbox_due ON outbox (next_at) WHERE delivered_at IS NULL;

-- How many proposed effects of a review are open, for lists and for those who must hear of a changed policy.
ALTER TABLE reviews ADD COLUMN effects_open integer NOT NULL DEFAULT 0;
CREATE INDEX reviews_with_effects ON reviews (tenant) WHERE effects_open > 0;
