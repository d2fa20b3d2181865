-- migrate:up
-- Events on their way: written with the change they tell of, deleted when their effects have run.
CREATE TABLE outbox (
  id uuid PRIMARY KEY,
  type text NOT NULL,
  occurred_at timestamptz NOT NULL,
  actor_id uuid,
  gym_id uuid,
  data jsonb NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT now(),
  died_at timestamptz,
  last_error text
);
CREATE INDEX outbox_due ON outbox (due_at, id) WHERE died_at IS NULL;

CREATE TABLE users (
  id uuid PRIMARY KEY,
  email text NOT NULL,
  password_hash text,
  role text NOT NULL CONSTRAINT users_role_known CHECK (role IN ('admin', 'trainer', 'client', 'gym_owner')),
  is_trainer boolean NOT NULL DEFAULT false,
  name text NOT NULL CONSTRAINT users_name_length CHECK (char_length(name) BETWEEN 1 AND 100),
  handle text NOT NULL CONSTRAINT users_handle_length CHECK (char_length(handle) BETWEEN 3 AND 50),
  bio text NOT NULL DEFAULT '' CONSTRAINT users_bio_length CHECK (char_length(bio) <= 1000),
  time_zone text NOT NULL DEFAULT 'UTC',
  locale text NOT NULL DEFAULT 'en',
  gym_id uuid,
  is_active boolean NOT NULL DEFAULT true,
  last_seen_at timestamptz,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  CONSTRAINT users_trainers_train CHECK (role <> 'trainer' OR is_trainer),
  CONSTRAINT users_clients_do_not_train CHECK (NOT is_trainer OR role <> 'client')
);
CREATE UNIQUE INDEX users_email_free ON users (lower(email));
CREATE UNIQUE INDEX users_handle_free ON users (lower(handle));

-- One row a refresh token. A family is one sign-in: the chain of tokens that replaced one another.
CREATE TABLE sessions (
  id uuid PRIMARY KEY,
  family_id uuid NOT NULL,
  user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  token_hash bytea NOT NULL CONSTRAINT sessions_token_unique UNIQUE,
  replaced_by uuid REFERENCES sessions (id) ON DELETE SET NULL,
  ip_address inet,
  user_agent text,
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  replaced_at timestamptz,
  revoked_at timestamptz
);
CREATE INDEX sessions_user ON sessions (user_id, created_at);
CREATE INDEX sessions_family ON sessions (family_id);
CREATE INDEX sessions_replaced_by ON sessions (replaced_by);

-- last_seq is the head of the topic conversation:<id>. It moves under this row's lock, in the transaction that
-- writes the message, so seq has no gaps and grows in the order of commits.
CREATE TABLE conversations (
  id uuid PRIMARY KEY,
  kind text NOT NULL CONSTRAINT conversations_kind_known CHECK (kind IN ('direct', 'group')),
  name text CONSTRAINT conversations_name_length CHECK (char_length(name) BETWEEN 1 AND 100),
  direct_key text CONSTRAINT conversations_one_direct UNIQUE,
  created_by uuid NOT NULL REFERENCES users (id),
  last_seq bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL,
  last_message_at timestamptz NOT NULL,
  CONSTRAINT conversations_direct_has_key CHECK ((kind = 'direct') = (direct_key IS NOT NULL)),
  CONSTRAINT conversations_group_has_name CHECK ((kind = 'group') = (name IS NOT NULL))
);
CREATE INDEX conversations_created_by ON conversations (created_by);

-- unread = conversations.last_seq - read_seq - own_after_read: no message is counted when a list is shown.
CREATE TABLE conversation_participants (
  conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
  user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  role text NOT NULL CONSTRAINT conversation_participants_role_known CHECK (role IN ('owner', 'member')),
  joined_at timestamptz NOT NULL,
  read_seq bigint NOT NULL DEFAULT 0,
  read_at timestamptz,
  own_after_read bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (conversation_id, user_id)
);
CREATE INDEX conversation_participants_user ON conversation_participants (user_id);

CREATE TABLE messages (
  id uuid PRIMARY KEY,
  conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
  seq bigint NOT NULL,
  sender_id uuid NOT NULL REFERENCES users (id),
  client_id uuid NOT NULL,
  text text NOT NULL CONSTRAINT messages_text_length CHECK (char_length(text) BETWEEN 1 AND 4000),
  created_at timestamptz NOT NULL,
  CONSTRAINT messages_seq_unique UNIQUE (conversation_id, seq),
  CONSTRAINT messages_sent_once UNIQUE (sender_id, client_id)
);
