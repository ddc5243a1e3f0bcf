-- Reviews the machine works on: counted for the reviewers' attention, and for the bounds while Redis is away.
CREATE INDEX reviews_at_work ON reviews (tenant)
    WHERE dispatched_at IS NOT NULL AND outcome IS NULL AND waiting_for IS NULL;
