// Where one writes. A draft stays with its conversation until it is sent, also over a reload.

import { find, show } from "./dom.js";
import { conversationName } from "./people.js";
import { firstName } from "./words.js";

const ALMOST_FULL = 400; // letters left from which the count is shown

export class Composer {
  #me;
  #typing;
  #send;
  #conversation = null;
  #drafts;
  #key;
  #field = find("#composer");

  constructor({ me, typing, send }) {
    this.#me = me;
    this.#typing = typing;
    this.#send = send;
    this.#key = `fitsync.drafts.${me.id}`;
    this.#drafts = JSON.parse(sessionStorage.getItem(this.#key)) ?? {};
    this.#field.addEventListener("input", () => this.#written());
    this.#field.addEventListener("blur", () => this.#typing.stop());
    this.#field.addEventListener("keydown", (event) => this.#keyPressed(event));
    find("#composer-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  open(conversation) {
    this.#typing.stop();
    this.#conversation = conversation;
    if (!conversation) return;
    const name = conversationName(conversation, this.#me);
    this.#field.placeholder = `Write to ${conversation.kind === "direct" ? firstName(name) : name}…`;
    this.#field.value = this.#drafts[conversation.id] ?? "";
    this.#fit();
    if (matchMedia("(hover: hover)").matches) this.#field.focus(); // on a phone it would raise the keyboard
  }

  /** Put a text back for another try, after what is already there. */
  write(text) {
    this.#field.value = [this.#field.value, text].filter(Boolean).join("\n");
    this.#keep();
    this.#fit();
    this.#field.focus();
  }

  #written() {
    this.#keep();
    this.#fit();
    if (this.#field.value.trim()) this.#typing.keyPressed(this.#conversation);
    else this.#typing.stop();
  }

  #keyPressed(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#submit();
  }

  #submit() {
    const text = this.#field.value.trim();
    if (!text) return;
    this.#field.value = "";
    this.#keep();
    this.#fit();
    this.#typing.sent();
    this.#send(this.#conversation, text);
    this.#field.focus();
  }

  #keep() {
    if (this.#field.value) this.#drafts[this.#conversation.id] = this.#field.value;
    else delete this.#drafts[this.#conversation.id];
    sessionStorage.setItem(this.#key, JSON.stringify(this.#drafts));
  }

  /** As high as its text, up to the limit that thread.css sets; and a count when it gets full. */
  #fit() {
    const field = this.#field;
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + field.offsetHeight - field.clientHeight}px`;
    const left = field.maxLength - field.value.length;
    find("#letters-left").textContent = `${left} left`;
    show(find("#letters-left"), left < ALMOST_FULL);
  }
}
