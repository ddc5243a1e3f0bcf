-- Agent runs that are not over: where the next attempt goes on, and what the run has cost so far. Rows are dropped when
-- their review is settled; what they cost is in the ledger by then.

CREATE TABLE agent_runs (
    workflow_id text        NOT NULL,
    call_id     text        NOT NULL,
    tenant      text        NOT NULL,
    review_id   text        NOT NULL,
    agent       text        NOT NULL,
    -- The attempt that may write; the next one takes it away from an attempt that only seems dead.
    epoch       integer     NOT NULL DEFAULT 1,
    -- Requests that were about to be sent, and those of them that a provider turned away.
    sent        integer     NOT NULL DEFAULT 0,
    refused     integer     NOT NULL DEFAULT 0,
    -- A request was out when the attempt was last heard of.
    in_flight   boolean     NOT NULL DEFAULT false,
    -- Real failures. Waiting for an open circuit is none.
    failures    integer     NOT NULL DEFAULT 0,
    -- What was asked (prompt, instructions, output tool): other questions are not answered by this conversation.
    digest      text,
    -- The conversation up to its last complete response, sealed with the review's data key.
    sealed      bytea,
    -- `AgentMetrics` of every complete response so far, of abandoned conversations too. Numbers and names of models.
    metrics     jsonb,
    started_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workflow_id, call_id),
    FOREIGN KEY (tenant, review_id) REFERENCES data_keys
);
ALTER TABLE agent_runs ALTER COLUMN sealed SET STORAGE EXTERNAL;
CREATE INDEX agent_runs_of_review ON agent_runs (tenant, review_id);

-- Requests that were sent and whose answer nobody saw: a provider may bill them, and no usage of them is known.
ALTER TABLE ledger ADD COLUMN unseen_requests integer NOT NULL DEFAULT 0;
