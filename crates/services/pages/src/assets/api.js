// What the page asks its server, and what it tells people of answers.

/** Asks, and gives the answer; throws what the server says of a refusal. */
export async function ask(method, path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { method, credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is parallax serve still running?");
  }
  if (!answer.ok) throw new Error(await reason(answer));
  return answer;
}

async function reason(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return `The server answered ${answer.status}.`;
  }
}

export const element = (id) => document.getElementById(id);

/** An element of the server's markup, in which everything foreign is escaped. */
export function fromMarkup(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content.firstElementChild;
}

/** Shows what went wrong, until something goes right. */
export function trouble(error) {
  const place = element("trouble");
  place.hidden = !error;
  place.textContent = error ? error.message : "";
}

/** For screen readers. */
export function say(text) {
  element("said").textContent = text;
}
