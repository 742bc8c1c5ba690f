/** Small help with elements. */

/** @param {string} id @returns {any} the element, which must be there */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element #${id}`);
  return found;
}

/**
 * Make an element.
 * @param {string} tag
 * @param {Record<string, any>} [props] `class`, `text`, `on…`, properties of the element, else attributes
 * @param {...(Node|string|null)} children
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/**
 * Call a function before the next paint, once, however often it was asked for.
 * @param {() => void} draw
 * @returns {() => void} ask
 */
export function once(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}

/** @param {number} ms @returns {string} such as "640 ms" or "1.24 s" */
export function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** Whether a key press belongs to the element that has the focus. @param {KeyboardEvent} event */
export function isForField({ target }) {
  return target instanceof HTMLElement && Boolean(target.closest("input, textarea, select, button, a, summary, canvas"));
}
