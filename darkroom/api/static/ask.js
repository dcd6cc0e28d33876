/** Requests to the API; errors come as problems (RFC 9457), a server that cannot be reached as one of our own. */

import { lost, found } from "./connection.js";
import { at } from "./root.js";

export class Problem extends Error {
  /** @param {{status: number, code: string, detail: string, field?: string, retryable?: boolean}} problem */
  constructor(problem) {
    super(problem.detail);
    this.status = problem.status;
    this.code = problem.code;
    this.field = problem.field ?? null;
    this.retryable = problem.retryable ?? false;
  }
}

/** Whether an error says that the server cannot be reached. */
export const isOffline = (error) => error instanceof Problem && error.code === "offline";

/**
 * @param {string} address
 * @param {{method?: string, json?: unknown, form?: FormData|Blob, headers?: Record<string, string>, signal?: AbortSignal}} [wish]
 * @returns {Promise<any>}
 * @throws {Problem}
 */
export async function ask(address, { method = "GET", json, form, headers = {}, signal } = {}) {
  const body = json === undefined ? form : JSON.stringify(json);
  const sent = json === undefined ? headers : { "Content-Type": "application/json", ...headers };
  let response;
  try {
    response = await fetch(address, { method, body, headers: { Accept: "application/json", ...sent }, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    lost();
    throw new Problem({ status: 0, code: "offline", detail: "Darkroom is unreachable", retryable: true });
  }
  found();
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  if (response.status === 401) {
    location.assign(at(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`));
  }
  throw new Problem(answer?.detail ? answer : { status: response.status, code: "error", detail: `the server returned HTTP ${response.status}` });
}
