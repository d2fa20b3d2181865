// An app on the official client, driven by a test: one line of JSON in is a command, one line of JSON out is news.
//
//     node client.js http://127.0.0.1:4000 json|msgpack     the first line in is {"token": "…"}
//
// It shows the messages of every conversation by the rule of docs/realtime.md: next in order, apply; known, drop; from
// further ahead, `sync`. Reconnecting is left to the client library.

import { createInterface } from "node:readline";

import { Manager } from "socket.io-client";
import * as msgpack from "socket.io-msgpack-parser";

const [, , address, format] = process.argv;
const speaks = format === "msgpack" ? { path: "/socket.io-msgpack/", parser: msgpack } : {};
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (news, more = {}) => process.stdout.write(`${JSON.stringify({ news, ...more })}\n`);

const auth = JSON.parse((await lines.next()).value);
const manager = new Manager(address, {
  transports: ["websocket"],
  reconnectionDelay: 50,
  autoConnect: false,
  ...speaks,
});
const session = manager.socket("/", { auth });
const chat = manager.socket("/chat", { auth });

const heads = new Map(); // topic → seq of the last message shown
let ready = null;

session.on("session.ready", (envelope) => {
  ready = envelope.data;
  say("ready", { envelope });
  if (chat.connected) catchUp();
});
chat.on("connect", () => {
  if (ready) catchUp();
});
session.on("disconnect", (reason) => {
  ready = null;
  say("cut", { reason });
});
for (const socket of [session, chat]) {
  socket.on("connect_error", ({ message, data }) => say("refused", { message, data }));
}
chat.on("message.created", (envelope) => show(envelope, "live"));

async function catchUp() {
  const { ok, data, error } = await session.emitWithAck("sync", { cursors: Object.fromEntries(heads) });
  if (!ok) return say("failed", { error });
  for (const { id, last_seq } of data.conversations) {
    if (!heads.has(`conversation:${id}`)) heads.set(`conversation:${id}`, last_seq);
  }
  for (const [topic, { events, reset, snapshot }] of Object.entries(data.topics)) {
    if (reset) heads.set(topic, snapshot.conversation.last_seq);
    for (const envelope of events ?? []) show({ topic, ...envelope }, "sync");
  }
  say("whole", { cursors: Object.fromEntries(heads) });
}

function show({ topic, seq, data }, from) {
  const head = heads.get(topic) ?? 0;
  if (seq <= head) return;
  if (seq > head + 1) return void catchUp();
  heads.set(topic, seq);
  say("shown", { seq, text: data.text, from });
}

session.connect();
chat.connect();
for await (const line of lines) {
  const { command, body } = JSON.parse(line);
  if (command === "stop") break;
  const socket = command === "send_message" ? chat : session;
  say("acked", { ack: await socket.timeout(10_000).emitWithAck(command, body) });
}
for (const socket of [session, chat]) socket.disconnect();
process.stdin.destroy();
