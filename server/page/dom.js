// The few lines that make and refresh elements. Text only ever becomes a text node: nothing a person writes is HTML.

export const find = (selector, within = document) => within.querySelector(selector);

/** h("p", {class: "note", onclick: f, "data-id": 7}, "text", element, null, false) */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child || child === 0));
  return element;
}

/** An icon from the sprite at the top of index.html. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

export const show = (element, visible) => element.toggleAttribute("hidden", !visible);

/**
 * Make the children of `parent` those of `items`, in order. Elements are kept by `key`, and made anew only when their
 * `look` (everything they show) is another one; so focus, selection and animation survive a refresh.
 */
export function fill(parent, items, { key, look, make }) {
  const kept = new Map(Array.from(parent.children, (child) => [child.itemKey, child]));
  const keys = new Set(items.map(key));
  for (const [itemKey, child] of kept) if (!keys.has(itemKey)) child.remove();
  let place = parent.firstElementChild;
  for (const item of items) {
    const [itemKey, itemLook] = [key(item), look(item)];
    const old = kept.get(itemKey);
    if (old && old === place) place = place.nextElementSibling;
    if (old?.itemLook === itemLook) {
      if (old.nextElementSibling !== place) parent.insertBefore(old, place);
      continue;
    }
    const focused = old?.contains(document.activeElement);
    const element = Object.assign(make(item, !old), { itemKey, itemLook });
    old?.remove();
    parent.insertBefore(element, place);
    if (focused) (element.matches("button, a") ? element : find("button, a", element))?.focus();
  }
}

const LINK = /\bhttps?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]}]/gi;

/** Text with its web addresses as links. Only http and https become one, so "javascript:" never can. */
export function linked(text) {
  const parts = [];
  let end = 0;
  for (const { 0: address, index } of text.matchAll(LINK)) {
    parts.push(text.slice(end, index));
    parts.push(h("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow ugc" }, address));
    end = index + address.length;
  }
  return [...parts, text.slice(end)];
}
