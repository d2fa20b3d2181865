-- name: insert_event
-- Written in the same transaction as the change it tells of.
INSERT INTO outbox (id, type, occurred_at, actor_id, gym_id, data)
VALUES (:id, :type, :occurred_at, :actor_id, :gym_id, :data);

-- name: claim_events
-- The oldest events that are due; SKIP LOCKED lets any number of relays share the work. Carried by outbox_due.
SELECT id, type, occurred_at, actor_id, gym_id, data, attempts
FROM outbox
WHERE died_at IS NULL AND due_at <= :now
ORDER BY due_at, id
LIMIT :limit
FOR UPDATE SKIP LOCKED;

-- name: delete_events
-- Done: their effects have run.
DELETE FROM outbox
WHERE id = ANY(:ids::uuid[]);

-- name: postpone_event
-- An effect failed: try again at due_at, or keep the event as a dead letter when died_at is given.
UPDATE outbox
SET attempts = attempts + 1, due_at = :due_at, died_at = :died_at, last_error = :last_error
WHERE id = :id;
