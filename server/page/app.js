// The page: who is signed in, and which parts work together. Parts keep what they know; here it is put on the screen.

import { Account } from "./account.js";
import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { Conversations } from "./conversations.js";
import { find, show } from "./dom.js";
import { Inbox } from "./inbox.js";
import { NewConversation } from "./newconversation.js";
import { Outbox } from "./outbox.js";
import { conversationName, face, memberName, others } from "./people.js";
import { Presence } from "./presence.js";
import { SignIn } from "./signin.js";
import { Socket } from "./socket.js";
import { Thread } from "./thread.js";
import { Typing } from "./typing.js";
import { uuid7 } from "./ids.js";
import { firstName, role } from "./words.js";

const account = new Account({ signedOut: () => leave("You have been signed out. Please sign in again.") });
const signIn = new SignIn({ account, entered: enter });

for (const button of document.querySelectorAll("[data-action=second-window]")) {
  button.addEventListener("click", openSecondWindow);
}
if (account.person) enter();
else signIn.open(take("fitsync.notice"));

function enter() {
  const me = account.person;
  const socket = new Socket({
    url: `${location.origin}/socket.io/`,
    namespaces: ["/", "/chat", "/typing"],
    authenticate: async ({ refused }) => ({
      token: await account.token({ renew: refused }),
      device_id: deviceId(),
      app: "page",
      protocol: 1,
    }),
  });
  const inbox = new Inbox({ me, account, socket });
  const outbox = new Outbox({ me, socket, inbox });
  const typing = new Typing({ me, socket, inbox });
  const presence = new Presence({ socket });
  const send = (conversation, text) => {
    thread.sent();
    outbox.add(conversation, text);
  };
  const composer = new Composer({ me, typing, send });
  const conversations = new Conversations({ me, inbox, outbox, presence, typing });
  const thread = new Thread({ me, inbox, outbox, presence, typing, composer });
  const started = ({ id }) => (location.hash = `#/${id}`);
  const newConversation = new NewConversation({ me, account, inbox, demo: signIn.demo, started });
  new Connection({ socket });

  const render = oncePerTurn(() => {
    const open = inbox.conversations.get(location.hash.slice(2)) ?? null;
    thread.open(open);
    thread.render();
    conversations.render(open?.id);
    find("#chat").dataset.open = Boolean(open);
    const place = open ? `${conversationName(open, me)} · FitSync` : "FitSync";
    document.title = inbox.badge > 0 ? `(${inbox.badge}) ${place}` : place;
    presence.watch(new Set(inbox.list.flatMap((one) => others(one, me).map((member) => member.user_id))));
  });
  for (const part of [inbox, outbox, typing, presence]) part.addEventListener("change", render);
  addEventListener("hashchange", render);
  setInterval(render, 30_000); // "last seen 3 min ago", "Yesterday"

  inbox.addEventListener("message", ({ detail: message }) => announce(message, inbox, me));
  socket.onState(({ state }) => {
    if (state === "open") inbox.sync().then(() => outbox.flush());
    if (state === "refused" && account.person) leave("This window was signed out by the server. Please sign in again.");
  });

  // Say goodbye, so that others see it at once; and come back when the browser restores this page from memory.
  addEventListener("pagehide", () => socket.close());
  addEventListener("pageshow", ({ persisted }) => persisted && socket.open());

  for (const button of document.querySelectorAll("[data-action=new-conversation]")) {
    button.addEventListener("click", () => newConversation.open());
  }
  find("[data-action=sign-out]").addEventListener("click", async () => {
    socket.close();
    await account.signOut();
    leave();
  });
  find("#me-avatar").replaceChildren(face(me.id, me.name));
  find("#me-name").textContent = me.name;
  find("#me-role").textContent = role(me.role);
  show(find("#chat"), true);
  socket.open();
  render();
}

/** Back to the first screen, with nothing left in memory of who was here. */
async function leave(notice) {
  if (notice) sessionStorage.setItem("fitsync.notice", notice);
  await account.signOut();
  location.replace("/");
}

/** For those who hear the page: each new message, but not the history. */
function announce(message, inbox, me) {
  if (message.sender_id === me.id) return;
  const author = firstName(memberName(inbox.conversations.get(message.conversation_id), message.sender_id));
  find("#announcer").textContent = `${author}: ${message.text}`;
}

/** "noopener" also keeps this window's sign-in out of the new one. */
function openSecondWindow() {
  open("/", "_blank", "noopener,popup,width=520,height=820");
}

function deviceId() {
  const id = sessionStorage.getItem("fitsync.device") ?? uuid7();
  sessionStorage.setItem("fitsync.device", id);
  return id;
}

function take(key) {
  const value = sessionStorage.getItem(key);
  sessionStorage.removeItem(key);
  return value;
}

/** Many changes in one turn of the event loop are one rendering. Not tied to frames: a hidden tab has a title, too. */
function oncePerTurn(work) {
  let planned = false;
  return () => {
    if (planned) return;
    planned = true;
    queueMicrotask(() => {
      planned = false;
      work();
    });
  };
}
