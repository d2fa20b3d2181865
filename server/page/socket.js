// A small Socket.IO client, to use and to read: Engine.IO 4 on one websocket, Socket.IO protocol 5, JSON.
//
// Every frame is text. Its first digit is Engine.IO's, a digit after a 4 is Socket.IO's:
//
//   0{"sid":…,"pingInterval":25000,"pingTimeout":20000}   the server opens
//   2                       ping, from the server         3   pong, our answer       1   close
//   40{"token":…}           CONNECT to "/"                40/chat,                   CONNECT to "/chat"
//   44{"message":…,"data":{"code":…}}                     CONNECT_ERROR: refused, with the reason
//   42/chat,7["send_message",{…}]                         EVENT that wants ack number 7
//   43/chat,7[{"ok":true,"data":…}]                       ACK number 7
//   41/chat,                                              DISCONNECT from one namespace
//
// Binary attachments (packets 5 and 6) are not used by this server and not spoken here.

import { Problem } from "./problem.js";

const [CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR] = [0, 1, 2, 3, 4];
const OPENING_MS = 10_000; // from dialling until every namespace is joined
const ACK_MS = 10_000;
const BACKOFF_MS = { first: 500, longest: 20_000, reset: 10_000 }; // reset: lived this long, begin again at first

/**
 * One connection that keeps itself alive.
 *
 * state:  "closed" → "connecting" → "open" → "waiting" → "connecting" → …   until close(), or "refused".
 * authenticate({refused}) is awaited before every attempt and answers what CONNECT carries. `refused` says that the
 * server turned the last attempt down, so the token must be renewed. If it throws a Problem that is not retryable,
 * or the server refuses twice in a row, the state is "refused" and no further attempt is made.
 */
export class Socket {
  state = "closed";
  #url;
  #namespaces;
  #authenticate;
  #listeners = new Map(); // "namespace event" → functions
  #acks = new Map(); // ack number → {resolve, reject, timer}
  #lastAck = 0;
  #websocket = null; // the current one; whatever an older one still says is ignored
  #attempt = 0; // counts, so that a slow authenticate() cannot revive a dial that was given up
  #failures = 0; // in a row, for the backoff
  #refused = false;
  #openedAt = 0;
  #timer = 0; // the one deadline or pause that is running
  #heartbeat = 0; // how long the server may be silent

  constructor({ url, namespaces, authenticate }) {
    this.#url = `${url.replace(/^http/, "ws")}?EIO=4&transport=websocket`;
    this.#namespaces = namespaces; // "/" first: it carries the token, the others join on the same connection
    this.#authenticate = authenticate;
  }

  on(namespace, event, listener) {
    const key = `${namespace} ${event}`;
    this.#listeners.set(key, [...(this.#listeners.get(key) ?? []), listener]);
  }

  onState(listener) {
    this.on("", "state", listener);
  }

  open() {
    if (this.state === "closed" || this.state === "refused") this.#dial();
  }

  /** Try now instead of waiting out the pause, for example when the network is back. */
  retry() {
    if (this.state === "waiting") this.#dial();
  }

  /** Leave for good, and say so: then others see it at once and not after a grace. */
  close() {
    if (this.state === "open") for (const namespace of this.#namespaces) this.#send(DISCONNECT, namespace);
    this.#drop("closed");
  }

  /** Send a command; the promise answers the ack's data or throws its error as a Problem. */
  call(namespace, command, argument) {
    if (this.state !== "open") return Promise.reject(notConnected());
    return new Promise((resolve, reject) => {
      const number = ++this.#lastAck;
      const timer = setTimeout(() => {
        this.#acks.delete(number);
        reject(new Problem({ code: "timeout", title: "The server did not answer in time.", retryable: true }));
      }, ACK_MS);
      this.#acks.set(number, { resolve, reject, timer });
      this.#send(EVENT, namespace, [command, argument], number);
    });
  }

  async #dial() {
    const attempt = ++this.#attempt;
    clearTimeout(this.#timer);
    this.#enter("connecting");
    let credentials;
    try {
      credentials = await this.#authenticate({ refused: this.#refused });
    } catch (error) {
      if (attempt === this.#attempt) error.retryable ? this.#lose() : this.#drop("refused", error);
      return;
    }
    if (attempt !== this.#attempt) return;

    const websocket = (this.#websocket = new WebSocket(this.#url));
    websocket.onmessage = ({ data }) => websocket === this.#websocket && this.#receive(data, credentials);
    websocket.onclose = () => websocket === this.#websocket && this.#lose();
    this.#expectLife(OPENING_MS);
  }

  /** The connection is gone: everything unanswered fails, and after a random pause we dial again. */
  #lose() {
    if (this.state === "open" && Date.now() - this.#openedAt > BACKOFF_MS.reset) this.#failures = 0;
    // Full jitter: a thousand clients that lost the same server come back spread out, not in step.
    const pause = Math.random() * Math.min(BACKOFF_MS.longest, BACKOFF_MS.first * 2 ** this.#failures++);
    this.#drop("waiting", { pause });
    this.#timer = setTimeout(() => this.#dial(), pause);
  }

  #drop(state, detail) {
    this.#attempt++;
    clearTimeout(this.#timer);
    this.#websocket?.close();
    this.#websocket = null;
    for (const { reject, timer } of this.#acks.values()) {
      clearTimeout(timer);
      reject(notConnected());
    }
    this.#acks.clear();
    this.#enter(state, detail);
  }

  #enter(state, detail) {
    this.state = state;
    this.#emit("", "state", { state, ...detail });
  }

  /** The server pings. If nothing at all arrives for a ping's interval and patience, the line is dead. */
  #expectLife(milliseconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lose(), milliseconds);
  }

  #receive(frame, credentials) {
    if (this.state === "open") this.#expectLife(this.#heartbeat);
    if (frame[0] === "0") {
      const { pingInterval, pingTimeout } = JSON.parse(frame.slice(1));
      this.#heartbeat = pingInterval + pingTimeout;
      this.#send(CONNECT, "/", credentials);
    } else if (frame[0] === "2") this.#websocket.send("3");
    else if (frame[0] === "1") this.#lose();
    else if (frame[0] === "4") this.#receivePacket(decode(frame.slice(1)));
  }

  #receivePacket({ type, namespace, number, argument }) {
    if (type === EVENT) this.#emit(namespace, ...argument);
    else if (type === ACK) this.#settle(number, argument[0]);
    else if (type === CONNECT) this.#joined(namespace);
    else if (type === DISCONNECT) this.#lose();
    else if (type === CONNECT_ERROR) this.#turnedDown(argument);
  }

  #joined(namespace) {
    const next = this.#namespaces[this.#namespaces.indexOf(namespace) + 1];
    if (next) return this.#send(CONNECT, next);
    this.#refused = false;
    this.#openedAt = Date.now();
    this.#expectLife(this.#heartbeat);
    this.#enter("open");
  }

  #turnedDown({ message, data }) {
    const problem = new Problem({ title: message, ...data });
    if (this.#refused && !problem.retryable) return this.#drop("refused", problem);
    this.#refused = !problem.retryable;
    this.#lose();
  }

  #settle(number, ack) {
    const waiting = this.#acks.get(number);
    if (!waiting) return; // it came after its deadline
    this.#acks.delete(number);
    clearTimeout(waiting.timer);
    ack.ok ? waiting.resolve(ack.data) : waiting.reject(new Problem(ack.error));
  }

  #send(type, namespace, argument, number = "") {
    const place = namespace === "/" ? "" : `${namespace},`;
    this.#websocket.send(`4${type}${place}${number}${argument === undefined ? "" : JSON.stringify(argument)}`);
  }

  #emit(namespace, event, argument) {
    for (const listener of this.#listeners.get(`${namespace} ${event}`) ?? []) listener(argument);
  }
}

function decode(packet) {
  const [, type, namespace = "/", number, json] = /^(\d)(?:(\/[^,]*),)?(\d+)?(.*)$/s.exec(packet);
  return { type: +type, namespace, number: +number, argument: json ? JSON.parse(json) : undefined };
}

const notConnected = () => new Problem({ code: "not_connected", title: "There is no connection now.", retryable: true });
