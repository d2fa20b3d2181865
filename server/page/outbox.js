// Messages on their way. Each has an id made here (client_id), so sending one twice can never double it:
// whatever is unanswered when the connection breaks is simply sent again, and the server recognises it.

import { uuid7 } from "./ids.js";
import { Problem } from "./problem.js";

const RETRY_MS = 2_000;

export class Outbox extends EventTarget {
  #messages; // in the order they were written; state: "sending" or "failed"
  #key;
  #socket;
  #inbox;
  #busy = new Set(); // conversations with a message in flight: one at a time keeps their order

  constructor({ me, socket, inbox }) {
    super();
    this.#key = `fitsync.outbox.${me.id}`;
    this.#messages = JSON.parse(sessionStorage.getItem(this.#key)) ?? []; // a reload loses nothing
    this.#socket = socket;
    this.#inbox = inbox;
    inbox.addEventListener("sent", ({ detail: clientId }) => this.remove(clientId));
  }

  of(conversation) {
    return this.#messages.filter((message) => message.conversation_id === conversation.id);
  }

  add(conversation, text) {
    const created_at = new Date().toISOString();
    this.#messages.push({ client_id: uuid7(), conversation_id: conversation.id, text, created_at, state: "sending" });
    this.#changed();
    this.flush();
  }

  retry(clientId) {
    const message = this.#messages.find((one) => one.client_id === clientId);
    if (!message) return;
    Object.assign(message, { state: "sending", reason: undefined });
    this.#changed();
    this.flush();
  }

  remove(clientId) {
    const left = this.#messages.filter((message) => message.client_id !== clientId);
    if (left.length === this.#messages.length) return;
    this.#messages = left;
    this.#changed();
  }

  /** Send everything that waits. Called for a new message and after every reconnect. */
  flush() {
    for (const id of new Set(this.#messages.map((message) => message.conversation_id))) this.#flushConversation(id);
  }

  async #flushConversation(id) {
    if (this.#busy.has(id) || this.#socket.state !== "open") return;
    this.#busy.add(id);
    const waits = (message) => message.conversation_id === id && message.state === "sending";
    try {
      for (let message; (message = this.#messages.find(waits)); ) await this.#send(message);
    } catch (problem) {
      if (this.#socket.state === "open") setTimeout(() => this.flush(), problem.retryAfter || RETRY_MS);
    } finally {
      this.#busy.delete(id);
    }
  }

  async #send(message) {
    const { client_id, conversation_id, text } = message;
    try {
      this.#inbox.receive(await this.#socket.call("/chat", "send_message", { conversation_id, client_id, text }));
    } catch (problem) {
      if (problem.retryable) throw problem;
      Object.assign(message, { state: "failed", reason: problem.words });
      return this.#changed();
    }
    if (!this.#messages.includes(message)) return;
    // Saved, but the inbox misses something before it and is fetching that. Asking again later is harmless.
    throw new Problem({ code: "not_in_order_yet", retryable: true });
  }

  #changed() {
    sessionStorage.setItem(this.#key, JSON.stringify(this.#messages));
    this.dispatchEvent(new CustomEvent("change"));
  }
}
