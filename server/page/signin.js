// The first screen: come in as a demo person with one click, or with an e-mail address and a password.

import { request } from "./api.js";
import { find, h, show } from "./dom.js";
import { face } from "./people.js";
import { role } from "./words.js";

const ROLES = ["trainer", "client", "gym_owner", "admin"]; // the order of the cards: who has most to see comes first
const MIN_PASSWORD = 8; // for a new one; the server judges

export class SignIn {
  #account;
  #entered;
  #form = find("#sign-in-form");
  #problem = find("#sign-in-problem");

  constructor({ account, entered }) {
    this.#account = account;
    this.#entered = entered;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#form.addEventListener("change", () => this.#showMode());
  }

  async open(notice) {
    show(find("#sign-in"), true);
    this.#say(notice);
    this.#showMode();
    const { people, password } = await this.demo().catch((problem) => {
      this.#say(problem.words);
      return { people: [] };
    });
    show(find("#demo"), people.length > 0);
    find("#with-password").open = people.length === 0;
    people.sort((one, other) => ROLES.indexOf(one.role) - ROLES.indexOf(other.role));
    find("#demo-people").replaceChildren(...people.map((person) => this.#card(person, password)));
  }

  /** The demo people of this server; none when it serves a real business. */
  demo() {
    return request("GET", "/demo.json");
  }

  #card(person, password) {
    const enter = () => this.#enter(() => this.#account.signIn(person.email, password));
    const words = h("span", { class: "who" }, h("strong", {}, person.name), h("small", {}, role(person.role)));
    const card = { type: "button", "data-testid": "demo-person", "data-email": person.email, onclick: enter };
    return h("li", {}, h("button", card, face(person.id ?? person.email, person.name), words));
  }

  get #registers() {
    return this.#form.elements.mode.value === "register";
  }

  #showMode() {
    const { name, password } = this.#form.elements;
    show(find("#name-field"), this.#registers);
    name.required = this.#registers;
    password.autocomplete = this.#registers ? "new-password" : "current-password";
    password.minLength = this.#registers ? MIN_PASSWORD : 1;
    find("#sign-in-submit").textContent = this.#registers ? "Create my account" : "Sign in";
  }

  #submit() {
    const [name, email, password] = ["name", "email", "password"].map((field) => this.#form.elements[field].value);
    const register = () => this.#account.register(name, email, password);
    this.#enter(this.#registers ? register : () => this.#account.signIn(email, password));
  }

  async #enter(identify) {
    const screen = find("#sign-in");
    if (screen.inert) return; // one click is enough
    screen.inert = true;
    this.#say(null);
    try {
      await identify();
      this.#form.reset();
      show(screen, false);
      this.#entered();
    } catch (problem) {
      this.#say(problem.words);
    } finally {
      screen.inert = false;
    }
  }

  #say(words) {
    this.#problem.textContent = words ?? "";
    show(this.#problem, Boolean(words));
  }
}
