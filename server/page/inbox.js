// What this window knows of the person's conversations, kept true by events and by `sync`.
//
// The rule that keeps it whole: every conversation's events carry a gapless `seq`. The next one is applied, an old one
// is dropped, and one from further ahead means that something was missed, so we ask for it. The same `sync` loads
// everything at the start (no cursors yet) and after every reconnect.

const PAGE = 50;
const topicOf = (id) => `conversation:${id}`;

export class Inbox extends EventTarget {
  conversations = new Map(); // id → the server's Conversation, plus messages (in order, up to last_seq) and hasOlder
  loaded = false;
  problem = null; // why nothing could be loaded
  #me;
  #account;
  #socket;
  #syncing = false;
  #syncAgain = false;
  #reading = new Set(); // conversations whose mark_read is on its way

  constructor({ me, account, socket }) {
    super();
    this.#me = me;
    this.#account = account;
    this.#socket = socket;
    socket.on("/chat", "message.created", ({ seq, data }) => this.receive(data, seq));
    socket.on("/chat", "receipt.changed", ({ data }) => this.#applyReceipt(data));
    socket.on("/", "sync.tick", ({ data }) => this.#compare(data.heads));
    socket.on("/", "conversation.changed", ({ data }) => this.take(data.conversation));
  }

  /** All that is unread. `badge.changed` says the same sum, for apps that do not hold every conversation. */
  get badge() {
    return [...this.conversations.values()].reduce((sum, conversation) => sum + conversation.unread, 0);
  }

  /** Conversations, the latest activity first. */
  get list() {
    const activity = (conversation) => conversation.last_message_at ?? conversation.created_at;
    return [...this.conversations.values()].sort((one, other) => Date.parse(activity(other)) - Date.parse(activity(one)));
  }

  // ── live ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A message, from an event, from the ack of our own sending, or from `sync`. */
  receive(message, seq = message.seq) {
    const conversation = this.conversations.get(message.conversation_id);
    if (!conversation || seq > conversation.last_seq + 1) return void this.sync();
    if (message.sender_id === this.#me.id) this.#tell("sent", message.client_id);
    if (seq <= conversation.last_seq) return;
    conversation.messages.push(message);
    conversation.last_seq = seq;
    conversation.last_message = message;
    conversation.last_message_at = message.created_at;
    if (message.sender_id !== this.#me.id) conversation.unread++;
    this.#tell("message", message);
    this.#changed();
  }

  #applyReceipt({ conversation_id, user_id, read_seq }) {
    const conversation = this.conversations.get(conversation_id);
    if (!conversation) return;
    const member = conversation.members.find((one) => one.user_id === user_id);
    if (member) member.read_seq = Math.max(member.read_seq, read_seq);
    if (user_id === this.#me.id && read_seq > conversation.read_seq) {
      conversation.read_seq = read_seq;
      conversation.unread = this.#countUnread(conversation);
    }
    this.#changed();
  }

  /** What others wrote after our cursor. Counted here, as messages may have come in since the server counted. */
  #countUnread({ messages, read_seq, last_seq, unread }) {
    const holdsAll = (messages[0]?.seq ?? Infinity) <= read_seq + 1;
    if (!holdsAll) return Math.min(unread, last_seq - read_seq);
    return messages.filter((message) => message.seq > read_seq && message.sender_id !== this.#me.id).length;
  }

  /** How far each topic has come, told now and then: it gives away a last message that never reached us. */
  #compare(heads) {
    const isBehind = ({ id, last_seq }) => heads[topicOf(id)] > last_seq;
    if ([...this.conversations.values()].some(isBehind)) this.sync();
  }

  /** A whole conversation as the server sees it for us: new, or changed in name, members or cursors. */
  take(fresh) {
    const known = this.conversations.get(fresh.id);
    if (!known) {
      const messages = fresh.messages ?? (fresh.last_message ? [fresh.last_message] : []);
      this.conversations.set(fresh.id, { ...fresh, messages, hasOlder: fresh.last_seq > 0 && messages[0]?.seq !== 1 });
    } else {
      const readSeq = new Map(known.members.map((member) => [member.user_id, member.read_seq]));
      known.name = fresh.name;
      known.members = fresh.members.map((member) => ({
        ...member,
        read_seq: Math.max(member.read_seq, readSeq.get(member.user_id) ?? 0),
      }));
      if (fresh.last_seq > known.last_seq) this.sync();
      else if (fresh.last_seq === known.last_seq && fresh.read_seq >= known.read_seq) {
        known.read_seq = fresh.read_seq;
        known.unread = fresh.unread;
      }
    }
    this.#changed();
  }

  // ── catching up ───────────────────────────────────────────────────────────────────────────────────────────────

  /** Fetch whatever was missed. One at a time; asked for meanwhile, it runs once more. */
  async sync() {
    this.#syncAgain = true;
    if (this.#syncing) return;
    this.#syncing = true;
    try {
      while (this.#syncAgain && this.#socket.state === "open") {
        this.#syncAgain = false;
        await this.#syncOnce();
      }
    } catch (problem) {
      this.problem = this.loaded ? null : problem;
      this.#changed();
      // Without a connection there is nothing to do: the next one begins with a sync.
      if (problem.retryable && this.#socket.state === "open") {
        setTimeout(() => this.sync(), problem.retryAfter || 2_000);
      }
    } finally {
      this.#syncing = false;
    }
  }

  async #syncOnce() {
    const cursors = {};
    for (const { id, last_seq } of this.conversations.values()) cursors[topicOf(id)] = last_seq;
    const { topics, conversations } = await this.#socket.call("/", "sync", { cursors });
    for (const [topic, { seq: head, events, receipts, unread, reset, snapshot }] of Object.entries(topics)) {
      if (reset) this.#replace(topic, snapshot);
      for (const { seq, data } of events ?? []) this.receive(data, seq);
      // How far people have read has no order of its own: the answer tells it each time.
      const conversation = this.conversations.get(topic.slice(topicOf("").length));
      for (const receipt of receipts ?? []) this.#applyReceipt({ ...receipt, conversation_id: conversation?.id });
      if (conversation && unread !== undefined && conversation.last_seq === head) conversation.unread = unread;
    }
    for (const conversation of conversations) this.take(conversation);
    this.loaded = true;
    this.problem = null;
    this.#changed();
  }

  /**
   * Too much was missed to tell it message by message: start this conversation again from the server's picture.
   * Without a picture it is not ours any more.
   */
  #replace(topic, snapshot) {
    this.conversations.delete(topic.slice(topicOf("").length));
    if (!snapshot) return;
    this.take({ ...snapshot.conversation, messages: snapshot.messages });
    for (const message of snapshot.messages) this.#tell("sent", message.client_id);
  }

  async loadOlder(conversation) {
    if (!conversation.hasOlder || conversation.loading) return;
    conversation.loading = true;
    conversation.problem = null;
    this.#changed();
    try {
      const before = conversation.messages[0]?.seq ?? conversation.last_seq + 1;
      const path = `/api/v1/conversations/${conversation.id}/messages?limit=${PAGE}&before=${before}`;
      const { items, next_cursor } = await this.#account.request("GET", path);
      conversation.messages.unshift(...items);
      conversation.hasOlder = next_cursor !== null && items.length > 0;
    } catch (problem) {
      conversation.problem = problem;
    } finally {
      conversation.loading = false;
      this.#changed();
    }
  }

  /** The person has seen everything in it. */
  async markRead(conversation) {
    if (conversation.unread === 0 || this.#reading.has(conversation.id) || this.#socket.state !== "open") return;
    this.#reading.add(conversation.id);
    const command = { conversation_id: conversation.id, seq: conversation.last_seq };
    try {
      this.#applyReceipt(await this.#socket.call("/chat", "mark_read", command));
    } catch {
      // The next message, focus or connection tries again.
    } finally {
      this.#reading.delete(conversation.id);
    }
  }

  #changed() {
    this.#tell("change");
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
