-- Which master key this database was set up with: a digest of it, so that a process with another one is told at once.

CREATE TABLE key_fingerprints (
    name        text        PRIMARY KEY,
    fingerprint bytea       NOT NULL,
    noted_at    timestamptz NOT NULL DEFAULT now()
);

-- Why a review ended that no workflow speaks for.
ALTER TABLE reviews ADD COLUMN closed_because text;
