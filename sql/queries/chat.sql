-- name: insert_conversation
-- No row when it is there already: the pair has one (conversations_one_direct), or the id was used before.
INSERT INTO conversations (id, kind, name, direct_key, created_by, created_at, last_message_at)
VALUES (:id, :kind, :name, :direct_key, :me, :now, :now)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: select_direct_conversation
-- Carried by conversations_one_direct.
SELECT id
FROM conversations
WHERE direct_key = :direct_key;

-- name: insert_participants
-- The people who exist; whoever made a group owns it.
INSERT INTO conversation_participants (conversation_id, user_id, role, joined_at)
SELECT :conversation_id, users.id, CASE WHEN users.id = :owner_id THEN 'owner' ELSE 'member' END, :now
FROM users
WHERE users.id = ANY(:user_ids::uuid[]) AND users.is_active
ORDER BY users.id
RETURNING user_id AS id;

-- name: list_conversations
-- What the asker is a member of, the latest activity first; paged by (last_message_at, id). Only the asker's own
-- memberships are read. `ids` narrows it to some of them.
SELECT conversations.id, conversations.kind, conversations.name, conversations.last_seq,
       conversations.created_at, conversations.last_message_at,
       mine.read_seq, conversations.last_seq - mine.read_seq - mine.own_after_read AS unread,
       everybody.members, newest.last_message
FROM conversation_participants AS mine
JOIN conversations ON conversations.id = mine.conversation_id
CROSS JOIN LATERAL (
  SELECT jsonb_agg(
           jsonb_build_object(
             'user_id', users.id, 'name', users.name, 'handle', users.handle,
             'role', participants.role, 'read_seq', participants.read_seq
           )
           ORDER BY participants.joined_at, users.id
         ) AS members
  FROM conversation_participants AS participants
  JOIN users ON users.id = participants.user_id
  WHERE participants.conversation_id = conversations.id
) AS everybody
LEFT JOIN LATERAL (
  SELECT jsonb_build_object(
           'id', messages.id, 'conversation_id', messages.conversation_id, 'seq', messages.seq,
           'sender_id', messages.sender_id, 'client_id', messages.client_id, 'text', messages.text,
           'created_at', messages.created_at
         ) AS last_message
  FROM messages
  WHERE messages.conversation_id = conversations.id AND messages.seq = conversations.last_seq
) AS newest ON true
WHERE mine.user_id = :me
  AND (:ids::uuid[] IS NULL OR conversations.id = ANY(:ids::uuid[]))
  AND (
    :before_at::timestamptz IS NULL
    OR (conversations.last_message_at, conversations.id) < (:before_at::timestamptz, :before_id::uuid)
  )
ORDER BY conversations.last_message_at DESC, conversations.id DESC
LIMIT :limit;

-- name: list_topics
-- The conversations a person hears live: the most recently active ones.
SELECT conversations.id
FROM conversation_participants AS mine
JOIN conversations ON conversations.id = mine.conversation_id
WHERE mine.user_id = :me
ORDER BY conversations.last_message_at DESC, conversations.id DESC
LIMIT :limit;

-- name: lock_conversation
-- For a message that is part of a longer transaction: the statement after this one sees every retry before it.
SELECT id
FROM conversations
WHERE id = :id
FOR NO KEY UPDATE;

-- name: insert_messages
-- Saves a group of messages: the next seqs of each conversation in the order given, under its row's lock, so there are
-- no gaps and the order is that of the commits. The locks are taken in the order of ids: two groups never wait for each
-- other. A client_id that was used before gives back its message and changes nothing; one that is used at this very
-- moment violates messages_sent_once. Somebody who is not a member gets no row.
WITH wanted AS (
  SELECT id, sender_id, conversation_id, client_id, text, place
  FROM unnest(:ids::uuid[], :sender_ids::uuid[], :conversation_ids::uuid[], :client_ids::uuid[], :texts::text[])
    WITH ORDINALITY AS given (id, sender_id, conversation_id, client_id, text, place)
), known AS (
  SELECT DISTINCT messages.id, messages.conversation_id, messages.seq, messages.sender_id, messages.client_id,
         messages.text, messages.created_at
  FROM wanted
  JOIN messages ON messages.sender_id = wanted.sender_id AND messages.client_id = wanted.client_id
), new AS (
  SELECT DISTINCT ON (wanted.sender_id, wanted.client_id)
         wanted.id, wanted.sender_id, wanted.conversation_id, wanted.client_id, wanted.text, wanted.place
  FROM wanted
  JOIN conversation_participants AS seat
    ON seat.conversation_id = wanted.conversation_id AND seat.user_id = wanted.sender_id
  WHERE NOT EXISTS (
    SELECT FROM known WHERE known.sender_id = wanted.sender_id AND known.client_id = wanted.client_id
  )
  ORDER BY wanted.sender_id, wanted.client_id, wanted.place
), numbered AS (
  SELECT id, sender_id, conversation_id, client_id, text,
         row_number() OVER (PARTITION BY conversation_id ORDER BY place) AS step
  FROM new
), more AS (
  SELECT conversation_id, count(*) AS messages
  FROM numbered
  GROUP BY conversation_id
), locked AS MATERIALIZED (
  SELECT id
  FROM conversations
  WHERE id IN (SELECT conversation_id FROM more)
  ORDER BY id
  FOR NO KEY UPDATE
), heads AS (
  UPDATE conversations
  SET last_seq = conversations.last_seq + more.messages,
      last_message_at = GREATEST(conversations.last_message_at, :now)
  FROM locked
  JOIN more ON more.conversation_id = locked.id
  WHERE conversations.id = locked.id
  RETURNING conversations.id, conversations.last_seq - more.messages AS last_seq_before
), own AS (
  UPDATE conversation_participants
  SET own_after_read = own_after_read + theirs.messages
  FROM (
    SELECT conversation_id, sender_id, count(*) AS messages FROM numbered GROUP BY conversation_id, sender_id
  ) AS theirs
  WHERE conversation_participants.conversation_id = theirs.conversation_id
    AND conversation_participants.user_id = theirs.sender_id
), saved AS (
  INSERT INTO messages (id, conversation_id, seq, sender_id, client_id, text, created_at)
  SELECT numbered.id, numbered.conversation_id, heads.last_seq_before + numbered.step, numbered.sender_id,
         numbered.client_id, numbered.text, :now
  FROM numbered
  JOIN heads ON heads.id = numbered.conversation_id
  RETURNING id, conversation_id, seq, sender_id, client_id, text, created_at
)
SELECT id, conversation_id, seq, sender_id, client_id, text, created_at, false AS duplicate FROM saved
UNION ALL
SELECT id, conversation_id, seq, sender_id, client_id, text, created_at, true AS duplicate FROM known
ORDER BY seq;

-- name: select_seat
SELECT conversations.id AS conversation_id, conversations.last_seq
FROM conversations
JOIN conversation_participants AS mine ON mine.conversation_id = conversations.id
WHERE conversations.id = :conversation_id AND mine.user_id = :me;

-- name: list_messages_before
-- The newest messages before a seq, read backwards along messages_seq_unique.
SELECT id, conversation_id, seq, sender_id, client_id, text, created_at
FROM messages
WHERE conversation_id = :conversation_id AND seq < :before
ORDER BY seq DESC
LIMIT :limit;

-- name: list_messages_after
-- The oldest messages after a seq, read forwards along messages_seq_unique.
SELECT id, conversation_id, seq, sender_id, client_id, text, created_at
FROM messages
WHERE conversation_id = :conversation_id AND seq > :after
ORDER BY seq
LIMIT :limit;

-- name: list_missed_messages
-- For several conversations at once: what stands after a cursor. The caller has checked that they are the asker's.
SELECT missed.id, missed.conversation_id, missed.seq, missed.sender_id, missed.client_id, missed.text,
       missed.created_at
FROM unnest(:conversation_ids::uuid[], :cursors::bigint[]) AS wanted (conversation_id, cursor)
CROSS JOIN LATERAL (
  SELECT id, conversation_id, seq, sender_id, client_id, text, created_at
  FROM messages
  WHERE messages.conversation_id = wanted.conversation_id AND messages.seq > wanted.cursor
  ORDER BY seq
  LIMIT :limit
) AS missed
ORDER BY missed.conversation_id, missed.seq;

-- name: select_message_place
-- A message the asker may see.
SELECT messages.conversation_id, messages.seq
FROM messages
JOIN conversation_participants AS mine ON mine.conversation_id = messages.conversation_id
WHERE messages.id = :message_id AND mine.user_id = :me;

-- name: lock_own_cursor
-- Own messages count themselves under this lock; without it one could slip between counting and writing.
SELECT conversations.id AS conversation_id, conversations.last_seq
FROM conversation_participants AS mine
JOIN conversations ON conversations.id = mine.conversation_id
WHERE mine.conversation_id = :conversation_id AND mine.user_id = :me
FOR UPDATE OF mine;

-- name: move_read_cursor
-- Forward only; no row when the cursor is there already.
UPDATE conversation_participants
SET read_seq = LEAST(:seq, conversations.last_seq),
    read_at = :now,
    own_after_read = (
      SELECT count(*)
      FROM messages
      WHERE messages.conversation_id = :conversation_id AND messages.seq > :seq AND messages.sender_id = :me
    )
FROM conversations
WHERE conversation_participants.conversation_id = :conversation_id
  AND conversation_participants.user_id = :me
  AND conversations.id = conversation_participants.conversation_id
  AND conversation_participants.read_seq < LEAST(:seq, conversations.last_seq)
RETURNING conversation_participants.read_seq, conversation_participants.read_at,
          conversations.last_seq - conversation_participants.read_seq - conversation_participants.own_after_read
            AS unread;

-- name: select_read_cursor
SELECT mine.read_seq, COALESCE(mine.read_at, mine.joined_at) AS read_at,
       conversations.last_seq - mine.read_seq - mine.own_after_read AS unread
FROM conversation_participants AS mine
JOIN conversations ON conversations.id = mine.conversation_id
WHERE mine.conversation_id = :conversation_id AND mine.user_id = :me;

-- name: list_heads
-- How far conversations have come, for those who hear them.
SELECT id, last_seq
FROM conversations
WHERE id = ANY(:ids::uuid[]);

-- name: select_badge
-- All unread messages of the asker.
SELECT COALESCE(sum(conversations.last_seq - mine.read_seq - mine.own_after_read), 0)::bigint AS total
FROM conversation_participants AS mine
JOIN conversations ON conversations.id = mine.conversation_id
WHERE mine.user_id = :me;

-- name: list_acquaintances
-- Of these people, the ones who share a conversation with the asker; the asker is one of them.
SELECT users.id AS user_id, users.last_seen_at
FROM users
WHERE users.id = ANY(:user_ids::uuid[])
  AND (
    users.id = :me
    OR EXISTS (
      SELECT
      FROM conversation_participants AS mine
      JOIN conversation_participants AS theirs ON theirs.conversation_id = mine.conversation_id
      WHERE mine.user_id = :me AND theirs.user_id = users.id
    )
  );
