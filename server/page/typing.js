// Who is typing: telling others while we do, and knowing of others. Nothing of it is kept or repeated after a break.

const LOST_AFTER = 4; // times the server's own limit: the end may be dropped on the way, and must not show for ever

export class Typing extends EventTarget {
  #me;
  #socket;
  #rhythm = { resend_ms: 4_000, idle_ms: 3_000, expire_ms: 8_000 }; // the server's numbers replace these
  #typists = new Map(); // conversation id → Map(user id → timer that forgets them)
  #current = null; // the conversation we are typing in
  #saidAt = 0;
  #idle = 0;

  constructor({ me, socket, inbox }) {
    super();
    this.#me = me;
    this.#socket = socket;
    socket.on("/", "session.ready", ({ data }) => (this.#rhythm = data.typing));
    socket.on("/typing", "typing.changed", ({ data }) => this.#replace(data.conversation_id, data.user_ids));
    socket.onState(({ state }) => state !== "open" && this.#reset());
    // A message ends its author's typing, for everybody.
    inbox.addEventListener("message", ({ detail }) => this.#remove(detail.conversation_id, detail.sender_id));
  }

  in(conversation) {
    return [...(this.#typists.get(conversation.id)?.keys() ?? [])];
  }

  // ── ours ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The person changed the text: say so now and every few seconds, and stop soon after the last key. */
  keyPressed(conversation) {
    if (this.#current !== conversation.id) this.stop();
    this.#current = conversation.id;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.stop(), this.#rhythm.idle_ms);
    if (Date.now() - this.#saidAt < this.#rhythm.resend_ms) return;
    this.#saidAt = Date.now();
    this.#say(conversation.id, true);
  }

  stop() {
    if (this.#current) this.#say(this.#current, false);
    this.sent();
  }

  /** A sent message ends typing by itself; there is nothing to tell. */
  sent() {
    clearTimeout(this.#idle);
    this.#current = null;
    this.#saidAt = 0;
  }

  #say(conversation_id, typing) {
    this.#socket.call("/typing", "set_typing", { conversation_id, typing }).catch(() => {}); // only a courtesy
  }

  // ── others' ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Everybody who types there now; the server repeats nothing, and ends what has expired. */
  #replace(conversationId, userIds) {
    const others = userIds.filter((userId) => userId !== this.#me.id); // one packet goes to all, its author too
    const before = this.#typists.get(conversationId) ?? new Map();
    for (const timer of before.values()) clearTimeout(timer);
    const patience = LOST_AFTER * this.#rhythm.expire_ms;
    const forget = (userId) => setTimeout(() => this.#remove(conversationId, userId), patience);
    this.#typists.set(conversationId, new Map(others.map((userId) => [userId, forget(userId)])));
    this.#changed();
  }

  #remove(conversationId, userId) {
    const typists = this.#typists.get(conversationId);
    clearTimeout(typists?.get(userId));
    if (typists?.delete(userId)) this.#changed();
  }

  #reset() {
    this.sent();
    for (const typists of this.#typists.values()) for (const timer of typists.values()) clearTimeout(timer);
    this.#typists.clear();
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new CustomEvent("change"));
  }
}
