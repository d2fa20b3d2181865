// Words and times as people read them, in the reader's own language where the browser knows it.

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const dayOfYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long" });
const fullDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const shortDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });

const midnight = (moment) => new Date(moment).setHours(0, 0, 0, 0);
const daysAgo = (moment) => Math.round((midnight(Date.now()) - midnight(moment)) / 86_400_000);

export const time = (moment) => clock.format(new Date(moment));
export const exactTime = (moment) => exact.format(new Date(moment));
export const sameDay = (one, other) => midnight(one) === midnight(other);

/** "Today", "Yesterday", "Monday", "3 May", "3 May 2024" */
export function day(moment) {
  const days = daysAgo(moment);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days > 1 && days < 7) return weekday.format(new Date(moment));
  return (days < 300 ? dayOfYear : fullDay).format(new Date(moment));
}

/** As short as a list allows: "14:02", "Yesterday", "Monday", "3 May" */
export function brief(moment) {
  const days = daysAgo(moment);
  return days === 0 ? time(moment) : days < 7 ? day(moment) : shortDay.format(new Date(moment));
}

export function lastSeen(moment) {
  const minutes = Math.floor((Date.now() - Date.parse(moment)) / 60_000);
  if (minutes < 1) return "Last seen just now";
  if (minutes < 60) return `Last seen ${minutes} min ago`;
  const when = day(moment);
  return `Last seen ${/^(To|Yester)day$/.test(when) ? when.toLowerCase() : when} at ${time(moment)}`;
}

/** "Cleo", "Cleo and Carl", "Cleo, Carl and Cora" */
export const list = (words) =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;

export const firstName = (name) => name.trim().split(/\s+/)[0];

export const initials = (name) => {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : words;
  return letters.map((word) => Array.from(word)[0]).join("").toUpperCase();
};

export const role = (name) => ({ gym_owner: "Gym owner" })[name] ?? name[0].toUpperCase() + name.slice(1);
