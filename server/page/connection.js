// The line that says how the connection is, whenever it is not simply there.

import { find, show } from "./dom.js";

const PATIENCE_MS = 600; // a hiccup shorter than this is nobody's business

export class Connection {
  #bar = find("#connection");
  #timer = 0;

  constructor({ socket }) {
    find("button", this.#bar).addEventListener("click", () => socket.retry());
    addEventListener("online", () => socket.retry());
    document.addEventListener("visibilitychange", () => document.hidden || socket.retry());
    socket.onState((change) => this.#show(change));
  }

  #show({ state, pause = 0 }) {
    this.#bar.dataset.state = state;
    const waits = state === "waiting" && pause > 2_000;
    const words = waits ? "No connection. Trying again in a moment…" : "Reconnecting…";
    find("span", this.#bar).textContent = words;
    show(find("button", this.#bar), waits);
    if (state === "open") {
      clearTimeout(this.#timer);
      this.#timer = 0;
      show(this.#bar, false);
    } else this.#timer ||= setTimeout(() => show(this.#bar, true), PATIENCE_MS);
  }
}
