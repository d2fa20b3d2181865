// The API reference: Swagger UI for REST, plain tables for what goes over the socket.

import { request } from "./api.js";
import { find, h, show } from "./dom.js";

const [rest, realtime] = [find("#rest"), find("#realtime")];
const shown = new Set();

addEventListener("hashchange", showPart);
showPart();

function showPart() {
  const isRealtime = location.hash.startsWith("#realtime");
  show(rest, !isRealtime);
  show(realtime, isRealtime);
  for (const link of document.querySelectorAll("nav a")) {
    if ((link.hash === "#realtime") === isRealtime) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const part = isRealtime ? showRealtime : showRest;
  if (!shown.has(part)) {
    shown.add(part);
    part();
  }
  const shape = isRealtime && find(`[id="${CSS.escape(location.hash.slice(1))}"]`, realtime);
  if (shape) shape.scrollIntoView();
  else scrollTo(0, 0);
}

function showRest() {
  window.SwaggerUIBundle({
    url: "/openapi.json",
    domNode: rest,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    persistAuthorization: false,
    validatorUrl: null, // no network besides our own server
  });
}

// ── AsyncAPI ──────────────────────────────────────────────────────────────────────────────────────────────────────

async function showRealtime() {
  realtime.replaceChildren(h("p", { class: "lead" }, "Loading…"));
  try {
    realtime.replaceChildren(...pages(await request("GET", "/asyncapi.json")));
    showPart();
  } catch (problem) {
    realtime.replaceChildren(h("p", { class: "lead" }, `asyncapi.json could not be loaded. ${problem.words}`));
    shown.delete(showRealtime);
  }
}

/** A section for each namespace, then the shapes of everything that is said in them. */
function pages(document) {
  const follow = ({ $ref }) => $ref.slice(2).split("/").reduce((place, step) => place[step], document);
  const operations = Object.values(document.operations);
  const namespaces = Object.values(document.channels).flatMap((channel) => {
    const here = operations.filter((operation) => follow(operation.channel) === channel);
    const [commands, events] = ["receive", "send"].map((action) => here.filter((one) => one.action === action));
    return [
      h("h2", {}, "Namespace ", h("code", {}, channel.address)),
      h("p", { class: "lead" }, prose(channel.description)),
      commands.length > 0 && table(["Command", "What it does", "Argument", "Answer"], commands.map(commandRow)),
      events.length > 0 && table(["Event", "When", "Data"], events.map(eventRow)),
    ];
  });
  const shapes = Object.entries(document.components.schemas).flatMap(([name, schema]) => [
    h("h3", { id: `realtime-${name}` }, name),
    h("p", { class: "lead" }, prose(schema.description)),
    schema.properties && table(["Field", "Type", ""], Object.entries(schema.properties).map(fieldRow(schema))),
    schema.enum && h("p", {}, type(schema)),
  ]);
  return [
    h("h1", {}, document.info.title),
    h("p", { class: "lead" }, prose(document.info.description)),
    ...namespaces,
    h("h2", {}, "Shapes"),
    ...shapes,
  ].filter(Boolean);

  function commandRow({ messages, reply }) {
    const [command, answer] = [messages[0], reply.messages[0]].map(follow);
    return [h("code", {}, command.name), prose(command.summary), type(command.payload), type(answer.payload)];
  }

  function eventRow({ messages }) {
    const event = follow(messages[0]);
    const parts = event.payload.allOf ?? [event.payload]; // the envelope, and what is particular in it
    const data = parts.map((part) => part.properties?.data).find(Boolean) ?? event.payload;
    return [h("code", {}, event.name), prose(event.summary), type(data)];
  }
}

const fieldRow =
  ({ required = [] }) =>
  ([name, schema]) => [
    h("code", {}, required.includes(name) ? name : `${name}?`),
    type(schema),
    [prose(schema.description), ...limits(schema)],
  ];

/** The name of a type, as words and links to the shapes below. */
function type(schema) {
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1);
    return [h("a", { href: `/docs#realtime-${name}` }, name)];
  }
  const choices = schema.anyOf ?? schema.oneOf ?? schema.enum?.map((value) => ({ const: value }));
  if (choices) return choices.flatMap((choice, index) => [index > 0 && " or ", ...type(choice)]);
  if (schema.const !== undefined) return [h("code", {}, JSON.stringify(schema.const))];
  if (schema.type === "array") return ["list of ", ...type(schema.items ?? {})];
  if (schema.additionalProperties) return ["map to ", ...type(schema.additionalProperties)];
  return [schema.format ?? schema.type ?? "anything"];
}

function limits(schema) {
  const words = { minLength: "at least", maxLength: "at most", minItems: "at least", maxItems: "at most" };
  const units = { minLength: "letters", maxLength: "letters", minItems: "items", maxItems: "items" };
  const said = Object.keys(words).filter((name) => schema[name] !== undefined);
  return said.map((name) => ` ${words[name]} ${schema[name]} ${units[name]}.`);
}

/** Text with `code` in it. */
const prose = (text = "") =>
  text.split(/`([^`]+)`/).map((part, index) => (index % 2 ? h("code", {}, part) : part.replace(/\s+/g, " ")));

function table(heads, rows) {
  const head = h("tr", {}, heads.map((word) => h("th", { scope: "col" }, word)));
  const body = rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell))));
  return h("div", { class: "wide" }, h("table", {}, h("thead", {}, head), h("tbody", {}, body)));
}
