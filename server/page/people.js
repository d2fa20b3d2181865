// People as the page shows them: a round face with initials, and what a conversation is called for the person reading.

import { h, icon } from "./dom.js";
import { initials, list } from "./words.js";

const TONES = 8; // base.css has as many colours

/** Always the same colour for the same person, on every device. */
const tone = (id) => Array.from(id).reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 9973, 7) % TONES;

export const face = (id, name) => h("span", { class: `face tone-${tone(id)}`, "aria-hidden": "true" }, initials(name));

export const others = (conversation, me) => conversation.members.filter((member) => member.user_id !== me.id);

/** The other person of a direct conversation. */
export const partner = (conversation, me) => (conversation.kind === "direct" ? others(conversation, me)[0] : undefined);

export const memberName = (conversation, userId) =>
  conversation.members.find((member) => member.user_id === userId)?.name ?? "Somebody who left";

export const conversationName = (conversation, me) =>
  conversation.name || list(others(conversation, me).map((member) => member.name)) || "Only you";

/** The other person's face with a presence dot, or the sign of a group. */
export function conversationFace(conversation, me, presence) {
  const person = partner(conversation, me);
  if (!person) return h("span", { class: "face group", "aria-hidden": "true" }, icon("group"));
  const portrait = face(person.user_id, person.name);
  portrait.append(h("i", { class: "dot", "data-state": presence.of(person.user_id).state }));
  return portrait;
}
