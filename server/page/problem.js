// One kind of error for REST answers, socket acks and lost connections: they carry the same fields.

export class Problem extends Error {
  constructor({ code, title, detail, status, retryable = false, retry_after_ms = 0, errors = [] }) {
    super(title ?? code);
    Object.assign(this, { code, title, detail, status, retryable, retryAfter: retry_after_ms, errors });
  }

  /** What went wrong, in sentences for the person in front of the screen. */
  get words() {
    const fields = this.errors.map(({ pointer, detail }) => `${pointer.split("/").at(-1)}: ${detail}`);
    const parts = [this.message, this.detail, ...fields].filter(Boolean);
    return parts.map((part) => (/[.!?…]$/.test(part) ? part : `${part}.`)).join(" ");
  }
}
