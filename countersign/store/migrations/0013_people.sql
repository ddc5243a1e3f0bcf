-- People: who signs (groups, absences, keys), as data of a tenant, and who is told of what waits for them.

-- Names are sealed; a person is found by their pseudonym.
CREATE TABLE group_members (
    tenant        text        NOT NULL,
    name          text        NOT NULL,
    person_hash   text        NOT NULL,
    person_sealed bytea       NOT NULL,
    added_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, name, person_hash)
);

-- One absence a person. It stays for a while after its end: what a delegate signed in it is judged by it.
CREATE TABLE absences (
    tenant          text        NOT NULL,
    person_hash     text        NOT NULL,
    person_sealed   bytea       NOT NULL,
    delegate_hash   text,
    delegate_sealed bytea,
    until           timestamptz NOT NULL,
    set_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, person_hash)
);

-- Public halves of the keys that decisions are signed with. Tenant '' and no person: the gateway's.
CREATE TABLE signing_keys (
    key_id        text        PRIMARY KEY,
    tenant        text        NOT NULL,
    person_hash   text,
    person_sealed bytea,
    public_key    bytea       NOT NULL,
    added_at      timestamptz NOT NULL DEFAULT now(),
    -- What a retired key signed before still counts; what a revoked one signed does not.
    retired_at    timestamptz,
    revoked_at    timestamptz,
    CHECK ((tenant = '') = (person_hash IS NULL))
);
CREATE INDEX signing_keys_of ON signing_keys (tenant);

CREATE TABLE signing_rules (
    tenant         text        PRIMARY KEY,
    require_signed boolean     NOT NULL,
    changed_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE people_changes (
    change_id    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant       text        NOT NULL,
    change       text        NOT NULL,
    subject      text        NOT NULL,
    person_hash  text,
    other_hash   text,
    by_hash      text        NOT NULL,
    changed_at   timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER people_changes_no_change BEFORE UPDATE OR DELETE ON people_changes
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER people_changes_no_truncate BEFORE TRUNCATE ON people_changes EXECUTE FUNCTION refuse_change();

-- Who is told, of what, and how. `target` is "all", "group:NAME" or "person:PSEUDONYM"; where to is sealed.
CREATE TABLE subscriptions (
    subscription_id text        PRIMARY KEY,
    tenant          text        NOT NULL,
    target          text        NOT NULL,
    channel         text        NOT NULL CHECK (channel IN ('webhook', 'slack', 'email')),
    events          text[]      NOT NULL,
    sealed          bytea       NOT NULL,
    added_at        timestamptz NOT NULL DEFAULT now(),
    removed_at      timestamptz
);
CREATE INDEX subscriptions_of ON subscriptions (tenant) WHERE removed_at IS NULL;

-- The outbox carries both: notices that people approved (an effect each), and what subscribers are told. Only the first
-- rest on an effect.
ALTER TABLE outbox ADD COLUMN subscription_id text REFERENCES subscriptions;
ALTER TABLE outbox ADD COLUMN dead_at timestamptz;
ALTER TABLE outbox ADD COLUMN effect text GENERATED ALWAYS AS (CASE WHEN subscription_id IS NULL THEN item END) STORED;
ALTER TABLE outbox DROP CONSTRAINT outbox_tenant_review_id_item_fkey;
ALTER TABLE outbox ADD FOREIGN KEY (tenant, review_id, effect) REFERENCES effects;
DROP INDEX outbox_due;
CREATE INDEX outbox_due ON outbox (next_at) WHERE delivered_at IS NULL AND dead_at IS NULL;
