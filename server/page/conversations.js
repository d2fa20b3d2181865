// The list on the left: with whom, what was said last, what is unread.

import { fill, find, h, show } from "./dom.js";
import { conversationFace, conversationName, memberName } from "./people.js";
import { brief, exactTime, firstName, list } from "./words.js";

export class Conversations {
  #me;
  #inbox;
  #outbox;
  #presence;
  #typing;

  constructor({ me, inbox, outbox, presence, typing }) {
    this.#me = me;
    this.#inbox = inbox;
    this.#outbox = outbox;
    this.#presence = presence;
    this.#typing = typing;
  }

  render(openId) {
    const rows = this.#inbox.list.map((conversation) => this.#row(conversation, openId));
    fill(find("#conversations"), rows, { key: (row) => row.id, look: JSON.stringify, make: (row) => this.#make(row) });
    this.#note(rows.length);
    const total = find("#total-badge");
    total.textContent = this.#inbox.badge;
    total.setAttribute("aria-label", `${this.#inbox.badge} unread`);
    show(total, this.#inbox.badge > 0);
  }

  #note(count) {
    const note = find("#conversations-note");
    show(note, count === 0);
    find("#nothing-open h2").textContent =
      count > 0 || !this.#inbox.loaded ? "Choose a conversation" : "Nobody to talk with yet";
    if (this.#inbox.problem) note.textContent = `Your conversations could not be loaded. ${this.#inbox.problem.words}`;
    else if (!this.#inbox.loaded) note.textContent = "Loading your conversations…";
    else note.textContent = "No conversations yet. Start one with the pencil above.";
  }

  /** Everything a row shows, as plain values: two equal rows look equal. */
  #row(conversation, openId) {
    const person = this.#me.id;
    const waiting = this.#outbox.of(conversation).at(-1);
    const last = waiting ?? conversation.last_message;
    const typists = this.#typing.in(conversation).map((id) => firstName(memberName(conversation, id)));
    const author = waiting || last?.sender_id === person ? "You" : firstName(memberName(conversation, last?.sender_id));
    const said = last ? `${author === "You" || conversation.kind !== "direct" ? `${author}: ` : ""}${last.text}` : "";
    return {
      id: conversation.id,
      name: conversationName(conversation, this.#me),
      dots: conversation.members.map((member) => this.#presence.of(member.user_id).state).join(),
      moment: last?.created_at ?? conversation.created_at,
      when: brief(last?.created_at ?? conversation.created_at),
      typing: typists.length > 0 && (conversation.kind === "direct" ? "typing…" : `${list(typists)} typing…`),
      failed: waiting?.state === "failed",
      said: said.slice(0, 200) || "No messages yet",
      unread: conversation.unread,
      open: conversation.id === openId,
    };
  }

  #make({ id, name, moment, when, typing, failed, said, unread, open }) {
    const link = { class: "conversation", href: `#/${id}`, "data-testid": "conversation", "data-id": id };
    const badge = { class: "badge", "data-testid": "conversation-unread", "aria-label": `${unread} unread` };
    const preview = typing || (failed ? "Not sent. Open to try again." : said);
    return h(
      "li",
      {},
      h(
        "a",
        { ...link, "aria-current": open && "page", "data-unread": unread },
        conversationFace(this.#inbox.conversations.get(id), this.#me, this.#presence),
        h("strong", {}, name),
        h("time", { datetime: moment, title: exactTime(moment) }, when),
        h("span", { class: `preview${typing ? " typing-now" : ""}${failed ? " failed" : ""}` }, preview),
        unread > 0 && h("span", badge, unread > 99 ? "99+" : unread),
      ),
    );
  }
}
