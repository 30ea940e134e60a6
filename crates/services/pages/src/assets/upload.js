// Films come in by being dropped anywhere on the page, or chosen.

import { element, say } from "./api.js";

const largest = Number(document.querySelector("main").dataset.largestUpload);

/** Takes files for as long as the page is open; `arrived` is told of each film that is kept. */
export function takeFiles(arrived) {
  const zone = element("drop");
  const input = element("files");
  let line = Promise.resolve();
  const take = (files) => {
    // One after the other: the first is there sooner.
    for (const file of files) line = line.then(() => send(file, arrived));
  };
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = "";
  });
  let depth = 0;
  const over = (step) => {
    depth = Math.max(0, depth + step);
    zone.classList.toggle("over", depth > 0);
  };
  addEventListener("dragenter", () => over(1));
  addEventListener("dragleave", () => over(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault();
    over(-depth);
    take(await dropped(event.dataTransfer));
  });
}

/** The files that were dropped, those in folders too. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const files = [];
  const visit = async (entry) => {
    if (entry.isFile) {
      files.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      // A reader gives a hundred at a time.
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (some.length === 0) return;
      for (const inner of some) if (!inner.name.startsWith(".")) await visit(inner);
    }
  };
  for (const entry of entries) await visit(entry);
  return files;
}

/** Sends one file and shows how far it is; never throws. */
function send(file, arrived) {
  const item = document.createElement("li");
  item.className = "card upload";
  const name = document.createElement("span");
  name.textContent = file.name;
  const bar = document.createElement("progress");
  bar.max = 100;
  bar.value = 0;
  bar.setAttribute("aria-label", `Upload of ${file.name}`);
  const stop = document.createElement("button");
  stop.type = "button";
  stop.textContent = "Cancel";
  item.append(name, bar, stop);
  element("uploads").append(item);
  return new Promise((resolve) => {
    const failed = (why) => {
      const words = document.createElement("span");
      words.className = "note";
      words.textContent = why;
      bar.replaceWith(words);
      stop.textContent = "Dismiss";
      stop.onclick = () => item.remove();
      resolve();
    };
    if (file.size > largest) {
      failed(`It has ${(file.size / 1e9).toFixed(1)} GB; films of up to ${(largest / 1e9).toFixed(0)} GB are taken.`);
      return;
    }
    // fetch does not tell how much is sent.
    const request = new XMLHttpRequest();
    request.open("POST", `/api/films?name=${encodeURIComponent(file.name)}`);
    request.responseType = "json";
    request.upload.onprogress = ({ loaded, total }) => (bar.value = (loaded / total) * 100);
    // What is left is looking at it.
    request.upload.onload = () => bar.removeAttribute("value");
    request.onerror = () => failed("It did not arrive: the server took no more of it.");
    request.onload = () => {
      if (request.status !== 201) {
        failed(request.response?.error ?? `The server answered ${request.status}.`);
        return;
      }
      item.remove();
      say(`${file.name} is here`);
      arrived(request.response);
      resolve();
    };
    stop.onclick = () => {
      request.abort();
      item.remove();
      resolve();
    };
    request.send(file);
  });
}
