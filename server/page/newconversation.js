// The dialog that starts a conversation with one person, or a group with several.

import { find, h, show } from "./dom.js";
import { uuid7 } from "./ids.js";
import { face, others } from "./people.js";
import { role } from "./words.js";

export class NewConversation {
  #me;
  #account;
  #inbox;
  #demo;
  #started;
  #dialog = find("#new-conversation");
  #form = find("form", this.#dialog);
  #id = null; // made once per opening: a second press of the button cannot start a second conversation

  constructor({ me, account, inbox, demo, started }) {
    this.#me = me;
    this.#account = account;
    this.#inbox = inbox;
    this.#demo = demo;
    this.#started = started;
    find("[data-action=close]", this.#dialog).addEventListener("click", () => this.#dialog.close());
    this.#form.addEventListener("change", () => this.#showChoice());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#start();
    });
  }

  async open() {
    this.#id = uuid7();
    this.#form.reset();
    this.#say(null);
    this.#dialog.showModal();
    const people = await this.#known();
    find("#people").replaceChildren(...people.map((person) => this.#choice(person)));
    if (people.length === 0) this.#say("There is nobody to choose yet.");
    this.#showChoice();
  }

  /** The people of our conversations, and the demo people of this server. */
  async #known() {
    const known = new Map();
    const { people } = await this.#demo().catch(() => ({ people: [] }));
    for (const { id, name, role } of people) if (id && id !== this.#me.id) known.set(id, { id, name, role });
    for (const conversation of this.#inbox.list) {
      for (const { user_id: id, name } of others(conversation, this.#me)) if (!known.has(id)) known.set(id, { id, name });
    }
    return [...known.values()].sort((one, other) => one.name.localeCompare(other.name));
  }

  #choice({ id, name, role: what }) {
    const box = h("input", { type: "checkbox", name: "person", value: id });
    const words = h("span", { class: "who" }, h("strong", {}, name), what && h("small", {}, role(what)));
    return h("li", {}, h("label", { "data-testid": "person" }, box, face(id, name), words));
  }

  get #chosen() {
    return new FormData(this.#form).getAll("person");
  }

  #showChoice() {
    const count = this.#chosen.length;
    show(find("#group-name-field"), count > 1);
    this.#form.elements.name.required = count > 1;
    find("#start-conversation").disabled = count === 0;
    find("#start-conversation").textContent = count > 1 ? `Start a group of ${count + 1}` : "Start";
  }

  async #start() {
    const member_ids = this.#chosen;
    const kind = member_ids.length > 1 ? "group" : "direct";
    const body = { id: this.#id, kind, member_ids };
    if (kind === "group") body.name = this.#form.elements.name.value;
    this.#dialog.inert = true;
    try {
      const conversation = await this.#account.request("POST", "/api/v1/conversations", body);
      this.#inbox.take(conversation);
      this.#dialog.close();
      this.#started(conversation);
    } catch (problem) {
      this.#say(problem.words);
    } finally {
      this.#dialog.inert = false;
    }
  }

  #say(words) {
    find("#new-conversation-problem").textContent = words ?? "";
    show(find("#new-conversation-problem"), Boolean(words));
  }
}
