-- Who made, replaced and ended an API key, as pseudonyms. Unknown of keys from before.
ALTER TABLE api_keys
    ADD COLUMN created_by_hash text,
    ADD COLUMN rotated_by_hash text,
    ADD COLUMN revoked_by_hash text;
