-- When the attempt that has a run began, by Temporal's clock: an earlier one that was frozen does not take it back.
-- Unknown of runs that were under way before this.
ALTER TABLE agent_runs ADD COLUMN begun_at timestamptz;
