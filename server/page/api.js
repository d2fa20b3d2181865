// REST: one function that speaks JSON and turns every failure into a Problem.

import { Problem } from "./problem.js";

const TIMEOUT_MS = 15_000;

export async function request(method, path, { body, token } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token) headers.Authorization = `Bearer ${token}`;
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new Problem({ code: "not_connected", title: "The server cannot be reached just now.", retryable: true });
  }
  if (answer.status === 204) return null;
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content;
  throw new Problem({
    code: "unexpected",
    title: `The server answered ${answer.status}.`,
    retryable: answer.status >= 500,
    ...content,
    status: answer.status,
  });
}
