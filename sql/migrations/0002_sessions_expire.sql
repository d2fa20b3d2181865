-- migrate:up
-- Expired refresh tokens are found without reading all the others.
CREATE INDEX sessions_expires_at ON sessions (expires_at);
