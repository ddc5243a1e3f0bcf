-- Searches of the trail are of one tenant, newest first, whatever else they ask for.
CREATE INDEX audit_trails_newest ON audit_trails (tenant, created_at DESC);
