// Who is signed in in this window, and a token that is always fresh.
//
// Everything is kept in sessionStorage, so two windows can be two people and closing one forgets it. Duplicating a tab
// copies it, though, and a refresh token works only once: spending it in two tabs looks like theft and ends both.
// So only one tab refreshes at a time, and it hands the new tokens to its twins.

import { request } from "./api.js";
import { Problem } from "./problem.js";

const KEY = "fitsync.account";
const EARLY_MS = 30_000;

export class Account {
  #signedOut;
  #refreshing = null;
  #twins = new BroadcastChannel("fitsync.account");

  constructor({ signedOut }) {
    this.#signedOut = signedOut;
    this.#twins.onmessage = ({ data: { spent, tokens } }) => {
      if (this.#tokens?.refresh === spent) this.#keep({ ...this.#tokens, ...tokens });
    };
  }

  /** The person, or null when nobody is signed in in this window. */
  get person() {
    return this.#tokens?.person ?? null;
  }

  async signIn(email, password) {
    this.#welcome(await request("POST", "/api/v1/auth/login", { body: { email, password } }));
  }

  async register(name, email, password) {
    this.#welcome(await request("POST", "/api/v1/auth/register", { body: { name, email, password } }));
  }

  async signOut() {
    const tokens = this.#tokens;
    this.#forget();
    if (tokens) {
      const leaving = { token: tokens.access, body: { refresh_token: tokens.refresh } };
      await request("POST", "/api/v1/auth/logout", leaving).catch(() => {}); // the tokens are forgotten either way
    }
  }

  /** A request in the person's name; an expired token is renewed on the way. */
  async request(method, path, body) {
    try {
      return await request(method, path, { body, token: await this.token() });
    } catch (problem) {
      if (problem.status !== 401) throw problem;
      return request(method, path, { body, token: await this.token({ renew: true }) });
    }
  }

  async token({ renew = false } = {}) {
    if (!this.#tokens) throw new Problem({ code: "signed_out", title: "Nobody is signed in in this window." });
    if (renew || Date.now() > this.#tokens.expires - EARLY_MS) {
      this.#refreshing ??= this.#refresh().finally(() => (this.#refreshing = null));
      await this.#refreshing;
    }
    return this.#tokens.access;
  }

  async #refresh() {
    const before = this.#tokens.refresh;
    await oneTabAtATime(async () => {
      const { refresh } = this.#tokens;
      if (refresh !== before) return; // a twin was faster, and its tokens have arrived here
      try {
        this.#welcome(await request("POST", "/api/v1/auth/refresh", { body: { refresh_token: refresh } }));
      } catch (problem) {
        if (!problem.retryable) {
          this.#forget();
          this.#signedOut();
        }
        throw problem;
      }
      const { access, refresh: next, expires } = this.#tokens;
      this.#twins.postMessage({ spent: refresh, tokens: { access, refresh: next, expires } });
    });
  }

  #welcome({ user, access_token, refresh_token }) {
    const { iat, exp } = JSON.parse(atob(access_token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    // Counted from now on our own clock: the two clocks need not agree.
    const expires = Date.now() + (exp - iat) * 1000;
    this.#keep({ person: user, access: access_token, refresh: refresh_token, expires });
  }

  get #tokens() {
    return JSON.parse(sessionStorage.getItem(KEY));
  }

  #keep(tokens) {
    sessionStorage.setItem(KEY, JSON.stringify(tokens));
  }

  #forget() {
    sessionStorage.removeItem(KEY);
  }
}

/** Locks exist on https and on localhost; elsewhere a duplicated tab is the only risk. */
const oneTabAtATime = (work) => (navigator.locks ? navigator.locks.request("fitsync.account", work) : work());
