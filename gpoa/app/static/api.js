// Requests to the server. Every request that changes something carries the session's token and this window's name.

const token = document.querySelector('meta[name="gpoa-token"]').content;
export const windowName = crypto.getRandomValues(new Uint32Array(2)).join("-");

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("gpoa app does not answer any more. Start it again; everything accepted is kept.", 0);
  }
  if (answer.ok) return answer;
  let said = `${answer.status} ${answer.statusText}`;
  try {
    said = (await answer.json()).error || said;
  } catch { /* no JSON: the status has to do */ }
  throw new Refused(said, answer.status);
}

export async function get(path, signal) {
  return (await ask(path, { signal })).json();
}

export async function picture(path, signal) {
  return createImageBitmap(await (await ask(path, { signal })).blob());
}

function post(path, payload) {
  const headers = { "content-type": "application/json", "x-gpoa-token": token };
  return ask(path, { method: "POST", headers, body: JSON.stringify({ window: windowName, ...payload }) });
}

export async function send(path, payload = {}) {
  return (await post(path, payload)).json();
}

// A step of a correction: the mask and what is known of the edit. Steps reach the server in the order they were made.
let last = Promise.resolve();
export function step(index, what, payload = {}) {
  const mine = last.then(async () => {
    const answer = await post(`/api/images/${index}/edit/${what}`, payload);
    if (!answer.headers.has("x-gpoa-edit")) return { json: await answer.json() };
    const facts = JSON.parse(answer.headers.get("x-gpoa-edit"));
    return { facts, mask: await createImageBitmap(await answer.blob()) };
  });
  last = mine.catch(() => {});
  return mine;
}
