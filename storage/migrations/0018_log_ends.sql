-- Where topics ended, once a day: what lay before a note of a week ago is older than a week, whatever its timestamp says.
CREATE TABLE noted_log_ends (
    noted_on date PRIMARY KEY,
    noted_at timestamptz NOT NULL,
    log_ends jsonb NOT NULL  -- {"topic": [0, 17, …]}
);
