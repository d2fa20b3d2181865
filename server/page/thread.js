// The open conversation: its messages by day and author, how far others have read, and what is still on its way.

import { fill, find, h, icon, linked, show } from "./dom.js";
import { conversationFace, conversationName, face, memberName, others, partner } from "./people.js";
import { day, exactTime, firstName, lastSeen, list, sameDay, time } from "./words.js";

const TOGETHER_MS = 5 * 60_000; // messages of one author this close form a block
const NEAR = 80; // pixels from the end that still count as "at the end"
const TICKS = { sending: "clock", sent: "tick", read: "ticks", failed: "alert" };
const TICK_WORDS = { sending: "Sending", sent: "Sent", read: "Read", failed: "Not sent" };

export class Thread {
  conversation = null;
  #me;
  #inbox;
  #outbox;
  #presence;
  #typing;
  #composer;
  #scroller = find("#scroller");
  #atEnd = true;
  #openedAt = 0; // the last seq when it was opened: only what comes after that moves in
  #newAfter = Infinity; // the "new messages" line stands before the first of others' after this seq

  constructor({ me, inbox, outbox, presence, typing, composer }) {
    this.#me = me;
    this.#inbox = inbox;
    this.#outbox = outbox;
    this.#presence = presence;
    this.#typing = typing;
    this.#composer = composer;
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    find("#to-latest").addEventListener("click", () => this.#toEnd());
    new ResizeObserver(() => this.#atEnd && this.#toEnd()).observe(this.#scroller);
    for (const sign of ["focus", "visibilitychange"]) addEventListener(sign, () => this.#markRead(), true);
  }

  open(conversation) {
    if (conversation === this.conversation) return;
    this.conversation = conversation;
    this.#atEnd = true;
    this.#openedAt = conversation?.last_seq ?? 0;
    this.#newAfter = conversation?.unread > 0 ? conversation.read_seq : Infinity;
    find("#messages").replaceChildren();
    show(find("#thread"), Boolean(conversation));
    show(find("#nothing-open"), !conversation);
    this.#composer.open(conversation);
  }

  /** A message just left this window: show it, wherever the reader was. */
  sent() {
    this.#newAfter = Infinity;
    this.#atEnd = true;
  }

  render() {
    const conversation = this.conversation;
    if (!conversation) return;
    find("#thread").dataset.kind = conversation.kind;
    this.#renderHead(conversation);
    this.#renderMessages(conversation);
    this.#renderTyping(conversation);
    this.#markRead();
    if (this.#scroller.scrollTop < this.#scroller.clientHeight) this.#loadOlder();
  }

  #renderHead(conversation) {
    find("#thread-avatar").replaceChildren(conversationFace(conversation, this.#me, this.#presence));
    find("#thread-name").textContent = conversationName(conversation, this.#me);
    const line = find("#thread-presence");
    const person = partner(conversation, this.#me);
    const isHere = ({ user_id }) => ["active", "idle"].includes(this.#presence.of(user_id).state);
    const here = others(conversation, this.#me).filter(isHere);
    if (person) {
      const { state, last_seen } = this.#presence.of(person.user_id);
      line.dataset.state = state;
      const gone = last_seen ? lastSeen(last_seen) : "Offline";
      line.textContent = { active: "Active now", idle: "Away", offline: gone, unknown: "" }[state];
    } else {
      line.dataset.state = here.length > 0 ? "active" : "offline";
      const names = list([...others(conversation, this.#me).map((one) => firstName(one.name)), "you"]);
      line.textContent = here.length > 0 ? `${names} · ${here.length} here now` : names;
    }
  }

  // ── messages ──────────────────────────────────────────────────────────────────────────────────────────────────

  #renderMessages(conversation) {
    const { scrollHeight: before, scrollTop } = this.#scroller;
    const list = find("#messages");
    const oldest = list.firstElementChild?.itemKey;
    this.#renderStart(conversation);
    fill(list, this.#items(conversation), {
      key: (item) => item.key,
      look: JSON.stringify,
      make: (item, isNew) => this.#make(item, isNew && (item.seq ?? Infinity) > this.#openedAt),
    });
    if (this.#atEnd) this.#toEnd();
    else if (oldest !== list.firstElementChild?.itemKey) {
      this.#scroller.scrollTop = scrollTop + this.#scroller.scrollHeight - before; // older ones came in above
    }
    this.#renderToLatest();
  }

  /** Day lines and messages, each with everything it shows as plain values. */
  #items(conversation) {
    const items = [];
    const messages = [...conversation.messages, ...this.#outbox.of(conversation)];
    const readers = others(conversation, this.#me);
    const isGroup = conversation.kind !== "direct";
    const furthest = Math.max(0, ...readers.map((reader) => reader.read_seq));
    const lastRead = messages.findLast((message) => message.sender_id === this.#me.id && message.seq <= furthest);
    const isNew = ({ seq, sender_id }) => seq > this.#newAfter && sender_id !== this.#me.id;
    const firstNew = messages.find(isNew);
    let previous;
    for (const [index, message] of messages.entries()) {
      const [next, author] = [messages[index + 1], message.sender_id ?? this.#me.id];
      const mine = author === this.#me.id;
      const startsDay = !previous || !sameDay(previous.created_at, message.created_at);
      const startsNew = message === firstNew;
      if (startsDay) items.push({ key: `day ${message.client_id}`, line: day(message.created_at) });
      if (startsNew) items.push({ key: "new", line: "New messages", isNew: true });
      const readBy = mine && message.seq ? readers.filter((reader) => reader.read_seq >= message.seq) : [];
      const everybody = readBy.length > 0 && readBy.length === readers.length;
      items.push({
        key: `${author} ${message.client_id}`,
        id: message.client_id,
        seq: message.seq,
        author,
        text: message.text,
        at: message.created_at,
        mine,
        state: message.state ?? (everybody ? "read" : "sent"),
        reason: message.reason,
        first: startsDay || startsNew || !isTogether(previous, message, this.#me),
        last: !next || !isTogether(message, next, this.#me),
        named: isGroup && !mine && memberName(conversation, author),
        readBy: isGroup && message === lastRead ? readBy.map((reader) => reader.name) : [],
      });
      previous = message;
    }
    return items;
  }

  #make(item, isArriving) {
    if (item.line) return h("li", { class: item.isNew ? "line new" : "line" }, h("span", {}, item.line));
    const { mine, state, first, last, named, readBy } = item;
    const shape = ["message", mine ? "mine" : "theirs", first && "first", last && "last", isArriving && "arriving"];
    const attributes = {
      class: shape.filter(Boolean).join(" "),
      "data-testid": "message",
      "data-seq": item.seq,
      "data-mine": String(mine),
      "data-state": state,
    };
    const ticks = mine && h("span", { class: "ticks", title: TICK_WORDS[state] }, icon(TICKS[state]), hidden(TICK_WORDS[state]));
    return h(
      "li",
      attributes,
      named && first && h("small", { class: "author" }, named),
      named && last && face(item.author, named),
      h(
        "div",
        { class: "bubble" },
        !(named && first) && hidden(mine ? "You: " : `${named || this.#partnerName}: `),
        h("span", { class: "text" }, linked(item.text)),
        h("span", { class: "meta" }, h("time", { datetime: item.at, title: exactTime(item.at) }, time(item.at)), ticks),
      ),
      readBy.length > 0 && h("small", { class: "read-by", title: list(readBy) }, `Read by ${readBy.length}`),
      state === "failed" && this.#trouble(item),
    );
  }

  get #partnerName() {
    return firstName(partner(this.conversation, this.#me)?.name ?? "");
  }

  /** What one can do about a message the server would not take. */
  #trouble({ id, text, reason }) {
    const button = (words, onclick) => h("button", { type: "button", class: "link", onclick }, words);
    const edit = () => {
      this.#outbox.remove(id);
      this.#composer.write(text);
    };
    return h(
      "p",
      { class: "trouble" },
      `Not sent. ${reason} `,
      button("Try again", () => this.#outbox.retry(id)),
      button("Edit", edit),
      button("Discard", () => this.#outbox.remove(id)),
    );
  }

  #renderStart({ hasOlder, loading, problem, messages, ...conversation }) {
    const start = find("#thread-start");
    const names = conversationName(conversation, this.#me);
    const again = h("button", { type: "button", class: "link", onclick: () => this.#loadOlder({ again: true }) }, "Try again");
    if (problem) start.replaceChildren(`Older messages could not be loaded. ${problem.words} `, again);
    else if (loading || hasOlder) start.textContent = "Loading older messages…";
    else if (messages.length > 0) start.textContent = `This is where it began with ${names}.`;
    else start.textContent = `Nothing said yet. Write the first message to ${names}.`;
  }

  #loadOlder({ again = false } = {}) {
    const { conversation } = this;
    if (conversation && (again || !conversation.problem)) this.#inbox.loadOlder(conversation);
  }

  // ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#atEnd = scrollHeight - scrollTop - clientHeight < NEAR;
    this.#renderToLatest();
    this.#markRead();
    if (scrollTop < clientHeight) this.#loadOlder();
  }

  #toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #renderToLatest() {
    const button = find("#to-latest");
    const unread = this.conversation?.unread ?? 0;
    show(button, !this.#atEnd);
    find("span", button).textContent = unread > 0 ? `${unread} new` : "Latest";
  }

  /** Read means: the end of the conversation is on the screen, and the person is at this window. */
  #markRead() {
    const looking = document.visibilityState === "visible" && document.hasFocus();
    if (this.conversation && this.#atEnd && looking) this.#inbox.markRead(this.conversation);
  }

  #renderTyping(conversation) {
    const names = this.#typing.in(conversation).map((id) => firstName(memberName(conversation, id)));
    const line = find("#typing");
    line.dataset.typing = names.length > 0;
    if (names.length > 0) find(".words", line).textContent = `${list(names)} ${names.length > 1 ? "are" : "is"} typing…`;
    else find(".words", line).textContent = "";
  }
}

const hidden = (words) => h("span", { class: "visually-hidden" }, words);

function isTogether(one, other, me) {
  const [author, otherAuthor] = [one, other].map((message) => message.sender_id ?? me.id);
  const gap = Date.parse(other.created_at) - Date.parse(one.created_at);
  return author === otherAuthor && gap < TOGETHER_MS && sameDay(one.created_at, other.created_at);
}
