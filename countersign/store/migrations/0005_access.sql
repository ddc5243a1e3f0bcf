-- API keys. The secret is stored as a hash only; the person's name is sealed, their pseudonym is not.

CREATE TABLE api_keys (
    key_id       text        PRIMARY KEY,
    tenant       text        NOT NULL,
    user_hash    text        NOT NULL,
    user_sealed  bytea       NOT NULL,
    roles        text[]      NOT NULL CHECK (cardinality(roles) > 0),
    label        text        NOT NULL DEFAULT '',
    secret_hash  bytea       NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    -- The key that replaced this one.
    rotated_to   text        REFERENCES api_keys,
    last_used_on date
);
CREATE INDEX api_keys_of_tenant ON api_keys (tenant, created_at);
