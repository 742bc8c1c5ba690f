/** Where the server is: beside this page, under whatever prefix it is mounted. */

/**
 * @param {string} path relative, such as `v1/realtime`
 * @param {Record<string, string|undefined>} [query]
 * @param {string} [base] address of the page
 * @returns {URL}
 */
export function endpoint(path, query = {}, base = document.baseURI) {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value);
  return url;
}

/** @param {URL} url @returns {URL} the same over a WebSocket */
export function socketUrl(url) {
  const socket = new URL(url);
  socket.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return socket;
}

/**
 * Why a WebSocket didn't open: a browser doesn't say, so the server is asked.
 * @param {string} key
 * @param {(status: number) => string|null} judge
 * @returns {Promise<string>} a kind of failure
 */
export async function askWhy(key, judge) {
  const { failure } = await askModels(key, judge);
  if (failure) return failure;
  const ready = await fetch(endpoint("readyz")).catch(() => null);
  if (ready?.status !== 503) return "turned_down";
  const { status } = await ready.json().catch(() => ({}));
  return status === "full" ? "full" : "not_ready";
}

/**
 * What the server serves, with the voices that it names, and whether it wants a key.
 * @param {string} key
 * @param {(status: number) => string|null} judge what an HTTP status means
 * @returns {Promise<{models: {id: string, voices: string[]}[], failure: string|null}>}
 */
export async function askModels(key, judge) {
  let response;
  try {
    response = await fetch(endpoint("v1/models"), { headers: key ? { authorization: `Bearer ${key}` } : {} });
  } catch {
    return { models: [], failure: "unreachable" };
  }
  if (!response.ok) return { models: [], failure: judge(response.status) };
  const { data = [] } = await response.json().catch(() => ({}));
  return { models: data.map(({ id, voices = [] }) => ({ id: String(id), voices })), failure: null };
}
