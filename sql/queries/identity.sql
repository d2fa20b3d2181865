-- name: insert_user
-- A new person. The unique indexes judge who was first.
INSERT INTO users (id, email, password_hash, role, is_trainer, name, handle, created_at, updated_at)
VALUES (:id, :email, :password_hash, :role, :role = 'trainer', :name, :handle, :now, :now)
RETURNING id, email, role, name, handle, bio, time_zone, locale, gym_id, created_at, updated_at;

-- name: select_user
SELECT id, email, role, name, handle, bio, time_zone, locale, gym_id, created_at, updated_at
FROM users
WHERE id = :id;

-- name: update_profile
-- What is null stays as it is.
UPDATE users
SET name = COALESCE(:name, name),
    handle = COALESCE(:handle, handle),
    bio = COALESCE(:bio, bio),
    time_zone = COALESCE(:time_zone, time_zone),
    locale = COALESCE(:locale, locale),
    updated_at = :now
WHERE id = :id
RETURNING id, email, role, name, handle, bio, time_zone, locale, gym_id, created_at, updated_at;

-- name: select_login
-- Carried by users_email_free.
SELECT id, password_hash
FROM users
WHERE lower(email) = :email AND is_active;

-- name: select_actor
-- Whom an access token stands for; no row when the session has ended or the person is deactivated.
SELECT id, role, gym_id
FROM users
WHERE id = :user_id
  AND is_active
  AND EXISTS (
    SELECT FROM sessions
    WHERE sessions.family_id = :session_id AND sessions.user_id = users.id AND sessions.revoked_at IS NULL
  );

-- name: insert_session
INSERT INTO sessions (id, family_id, user_id, token_hash, ip_address, user_agent, created_at, expires_at)
VALUES (:id, :family_id, :user_id, :token_hash, :ip_address, :user_agent, :now, :expires_at);

-- name: lock_session_of_token
-- Uses of a session's tokens and its end take turns; the statement after this one sees what the one before has done.
-- A lock of rows would miss the row that a refresh is about to add.
SELECT pg_advisory_xact_lock(hashtextextended(family_id::text, 0))
FROM sessions
WHERE token_hash = :token_hash;

-- name: lock_session
-- The lock of lock_session_of_token, by the session itself.
SELECT pg_advisory_xact_lock(hashtextextended(:family_id::uuid::text, 0));

-- name: select_refresh_token
-- A token is displaced when a retry has retired it although its session lives on.
SELECT id, family_id, user_id, expires_at, replaced_at, revoked_at,
       EXISTS (
         SELECT FROM sessions AS successor
         WHERE successor.id = sessions.replaced_by AND successor.replaced_at IS NOT NULL
       ) AS successor_spent,
       revoked_at IS NOT NULL AND EXISTS (
         SELECT FROM sessions AS living
         WHERE living.family_id = sessions.family_id AND living.revoked_at IS NULL
       ) AS is_displaced
FROM sessions
WHERE token_hash = :token_hash;

-- name: retire_refresh_token
-- Spent now; on a retry the successor that got lost is retired with it.
UPDATE sessions
SET replaced_by = CASE WHEN id = :id THEN :replaced_by ELSE replaced_by END,
    replaced_at = COALESCE(replaced_at, :now),
    revoked_at = CASE WHEN id = :id THEN revoked_at ELSE :now END
WHERE id = :id OR id = (SELECT previous.replaced_by FROM sessions AS previous WHERE previous.id = :id);

-- name: revoke_family
-- End a sign-in session: every token of its family, at once.
UPDATE sessions
SET revoked_at = :now
WHERE family_id = :family_id AND user_id = :user_id AND revoked_at IS NULL
RETURNING family_id;

-- name: list_ended_sessions
-- Of these sign-in sessions, the ones without a token that is not revoked. One revoked token alone says nothing: it may
-- have been lost on its way, and issued again.
SELECT given.family_id
FROM unnest(:ids::uuid[]) AS given (family_id)
WHERE NOT EXISTS (
  SELECT FROM sessions
  WHERE sessions.family_id = given.family_id AND sessions.revoked_at IS NULL
);

-- name: record_last_seen
-- In the order of ids: every instance may record the same people at once.
UPDATE users
SET last_seen_at = seen.at
FROM (
  SELECT users.id, given.at
  FROM unnest(:ids::uuid[], :moments::timestamptz[]) AS given (id, at)
  JOIN users ON users.id = given.id
  ORDER BY users.id
  FOR NO KEY UPDATE OF users
) AS seen
WHERE users.id = seen.id AND (users.last_seen_at IS NULL OR users.last_seen_at < seen.at);

-- name: delete_expired_sessions
-- Refresh tokens that have expired: nobody can spend them, not even a thief. Carried by sessions_expires_at; SKIP LOCKED
-- lets any number of schedulers share the work.
DELETE FROM sessions
WHERE id = ANY(ARRAY(
  SELECT id
  FROM sessions
  WHERE expires_at < :before
  ORDER BY expires_at
  LIMIT :limit
  FOR UPDATE SKIP LOCKED
))
RETURNING family_id;
