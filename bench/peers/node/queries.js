// The peer's queries, each in one round trip, on the tables of FitSync.
export const SIGN_IN = {
  name: 'sign-in',
  text: `SELECT id, email, role, name, handle, bio, time_zone, locale, created_at, updated_at
    FROM users
    WHERE id = $1 AND is_active
      AND EXISTS (SELECT FROM sessions WHERE family_id = $2 AND user_id = users.id AND revoked_at IS NULL)`,
};

export const TOPICS = {
  name: 'topics',
  text: `SELECT conversations.id
    FROM conversation_participants AS mine JOIN conversations ON conversations.id = mine.conversation_id
    WHERE mine.user_id = $1
    ORDER BY conversations.last_message_at DESC LIMIT 200`,
};

// Membership, the next seq under the row's lock, and the message: committed when it returns.
export const SEND = {
  name: 'send',
  text: `WITH head AS (
      UPDATE conversations SET last_seq = last_seq + 1, last_message_at = $6
      WHERE id = $1
        AND EXISTS (SELECT FROM conversation_participants WHERE conversation_id = $1 AND user_id = $2)
      RETURNING last_seq
    )
    INSERT INTO messages (id, conversation_id, seq, sender_id, client_id, text, created_at)
    SELECT $3, $1, head.last_seq, $2, $4, $5, $6 FROM head
    RETURNING seq`,
};
