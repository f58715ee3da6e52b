// The data of the page, and how the other parts make elements of it. Text reaches the page as text only.

let data = readData(document);

function readData(page) {
  return JSON.parse(page.getElementById("data").textContent);
}

function lookUp(table, key) {
  return key && Object.hasOwn(table, key) ? table[key] : undefined;
}

function make(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function announce(text) {
  const live = document.getElementById("live");
  live.textContent = text;
  clearTimeout(announce.timer);
  announce.timer = setTimeout(() => { live.textContent = ""; }, 6000);
}

// A value of which the records hold the number only.
function part(number) {
  return data.parts[number];
}

function shared(numbers) {
  return Object.fromEntries(Object.entries(numbers).map(([name, number]) => [name, part(number)]));
}

// A record as its file has it.
function recordOf(id) {
  const numbers = lookUp(data.records, id);
  if (!numbers) return undefined;
  const record = { id, ...shared(numbers) };
  for (const name of ["settings", "samples", "provenance"]) record[name] = shared(record[name]);
  return record;
}

function jobOf(id) {
  const job = lookUp(data.jobs, id);
  return job && { ...job, logs: job.logs.map(part) };
}
