// Who is here: the others we share a conversation with, and ourselves as they see us.

const IDLE_MS = 3 * 60_000; // without a key, a pointer or a look at this window

export class Presence extends EventTarget {
  #socket;
  #people = new Map(); // user id → {state, last_seen}
  #watched = "";
  #ours = "active";
  #said = "active"; // a new connection counts as active until it says otherwise
  #timer = 0;

  constructor({ socket }) {
    super();
    this.#socket = socket;
    socket.on("/", "presence.changed", ({ data }) => this.#take(data.users));
    socket.onState(({ state }) => (state === "open" ? this.#be(this.#ours) : this.#reset()));
    for (const sign of ["pointerdown", "keydown", "focus"]) addEventListener(sign, () => this.#noticed());
    document.addEventListener("visibilitychange", () => document.hidden || this.#noticed());
    this.#noticed();
  }

  /** state: active, idle, offline; or unknown, while we are offline ourselves or have not been told yet. */
  of(userId) {
    return this.#people.get(userId) ?? { state: "unknown", last_seen: null };
  }

  /** Ask for, and from then on be told of, these people. Asking again for the same ones costs nothing. */
  async watch(userIds) {
    const wanted = [...userIds].sort();
    if (wanted.length === 0 || wanted.join() === this.#watched || this.#socket.state !== "open") return;
    this.#watched = wanted.join();
    try {
      const { users } = await this.#socket.call("/", "watch_presence", { user_ids: wanted });
      this.#take(users);
    } catch {
      this.#watched = ""; // the next change of anything asks again
    }
  }

  #noticed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#be("idle"), IDLE_MS);
    this.#be("active");
  }

  #be(state) {
    this.#ours = state;
    if (state === this.#said || this.#socket.state !== "open") return;
    this.#said = state;
    this.#socket.call("/", "set_presence", { state }).catch(() => {}); // only a courtesy
  }

  #take(users) {
    for (const { user_id, state, last_seen } of users) this.#people.set(user_id, { state, last_seen });
    this.#changed();
  }

  /** Offline ourselves, we know nothing of others. */
  #reset() {
    this.#watched = "";
    this.#said = "active";
    this.#people.clear();
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new CustomEvent("change"));
  }
}
