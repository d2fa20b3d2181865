-- name: insert_event
-- Written in the same transaction as the change it tells of. Each has a moment of its own, so that those of one
-- transaction keep their order.
INSERT INTO outbox (id, type, occurred_at, actor_id, gym_id, data, due_at)
VALUES (:id, :type, :occurred_at, :actor_id, :gym_id, :data, clock_timestamp());

-- name: claim_events
-- The oldest events that are due; SKIP LOCKED lets any number of relays share the work. Carried by outbox_due. The
-- database's clock alone says what is due: those of the servers may differ.
SELECT id, type, occurred_at, actor_id, gym_id, data, attempts
FROM outbox
WHERE died_at IS NULL AND due_at <= now()
ORDER BY due_at, id
LIMIT :limit
FOR UPDATE SKIP LOCKED;

-- name: delete_events
-- Done: their effects have run.
DELETE FROM outbox
WHERE id = ANY(:ids::uuid[]);

-- name: postpone_event
-- An effect failed: try again after a while, or keep the event as a dead letter when died_at is given.
UPDATE outbox
SET attempts = attempts + 1, due_at = now() + :delay, died_at = :died_at, last_error = :last_error
WHERE id = :id;
