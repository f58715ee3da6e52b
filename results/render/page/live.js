// A served page follows the runs folder: where the server's digest changes, the report is put in the old one's place.

const LOOK_MS = 3000;
const ANSWER_MS = 30000; // a large report takes seconds to make
let shownState = "";

async function look() {
  try {
    const { answer, text } = await ask("/state");
    if (!answer.ok) pulse(text.trim());
    else if (text.trim() !== shownState) await takeOver();
    else pulse("Live: up to date.");
  } catch {
    pulse("The server does not answer; this is the report as it last was.");
  }
  setTimeout(look, LOOK_MS);
}

// A server that takes the question and says no more is as good as gone.
async function ask(path) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), ANSWER_MS);
  try {
    const answer = await fetch(path, { cache: "no-store", signal: late.signal });
    return { answer, text: await answer.text() };
  } finally {
    clearTimeout(timer);
  }
}

async function takeOver() {
  const { answer, text } = await ask("/");
  if (!answer.ok) return pulse(text.trim());
  const page = new DOMParser().parseFromString(text, "text/html");
  const before = remember();
  const values = valuesOf(data);
  data = readData(page);
  shownState = stateOf(page);
  document.getElementById("data").textContent = page.getElementById("data").textContent;
  document.getElementById("main").replaceWith(document.importNode(page.getElementById("main"), true));
  prepare();
  hideTip();
  restore(before);
  if (values !== valuesOf(data)) announce(`Updated. ${document.querySelector("#summary .lead").textContent.split(".")[0]}.`);
  pulse(`Live: updated ${new Date().toLocaleTimeString("en-GB")}.`);
}

// What is worth to be told of: that a job has come a little further is not.
function valuesOf({ cells }) {
  return JSON.stringify(Object.entries(cells).map(([key, cell]) => [key, cell.value, cell.change, cell.status]));
}

function stateOf(page) {
  return page.querySelector('meta[name="state"]').content;
}

function pulse(text) {
  const place = document.getElementById("pulse");
  if (place && place.textContent !== text) place.textContent = text;
}

// By a name that lasts: what the reader has set, sorted, unfolded, scrolled to.
function remember() {
  return {
    top: window.scrollY,
    focus: selectorOf(document.activeElement),
    sorted: keep("table.results", (table) => table.dataset.table, sortedBy),
    boxes: keep(".scroll", (box) => box.getAttribute("aria-label"), (box) => box.scrollLeft),
    unfolded: keep("details[open]", foldName, () => true),
    figures: keep("figure.tokens", figureName, (figure) => (figure.querySelector(".mode") ? chosen(figure) : null)),
  };
}

function keep(selector, name, value) {
  const found = [...document.querySelectorAll(selector)].map((element) => [name(element), value(element)]);
  return new Map(found.filter(([, one]) => one));
}

function restore(before) {
  again("table.results", (table) => table.dataset.table, before.sorted, sortAgain);
  again(".scroll", (box) => box.getAttribute("aria-label"), before.boxes, (box, left) => { box.scrollLeft = left; });
  again("details", foldName, before.unfolded, (fold) => { fold.open = true; });
  again("figure.tokens", figureName, before.figures, setFigure);
  if (opened) fillDialog();
  const focused = before.focus && document.querySelector(before.focus);
  if (focused) focused.focus({ preventScroll: true });
  window.scrollTo({ top: before.top, behavior: "instant" });
}

function again(selector, name, kept, set) {
  for (const element of document.querySelectorAll(selector)) {
    if (kept.has(name(element))) set(element, kept.get(name(element)));
  }
}

function foldName(fold) {
  const figure = fold.parentElement.querySelector("figure.plot");
  return figure ? figure.dataset.plot : fold.textContent;
}

function figureName(figure) {
  return `${figure.dataset.record} ${figure.querySelector("figcaption").textContent}`;
}

function setFigure(figure, { stage, slot, mode }) {
  if (!figure.querySelector(".mode")) return;
  figure.querySelector(".stage").value = stage + 1;
  figure.querySelector(".slot").value = slot + 1;
  figure.querySelector(".mode").selectedIndex = mode;
  drawFigure(figure);
}

// Of a cell or a copy button by what it is about, of a marker by its id, of others by their place.
function selectorOf(element) {
  const main = document.getElementById("main");
  if (!element || !main.contains(element)) return "";
  const named = ["cell", "record", "format", "table"].filter((name) => element.dataset[name]);
  if (named.length) return named.map((name) => `[data-${name}="${CSS.escape(element.dataset[name])}"]`).join("");
  if (element.id) return `#${CSS.escape(element.id)}`;
  const steps = [];
  for (let at = element; at !== main; at = at.parentElement) {
    steps.unshift(`:nth-child(${1 + [...at.parentElement.children].indexOf(at)})`);
  }
  return ["#main", ...steps].join(" > ");
}

function startLive() {
  if (!data.live) return;
  shownState = stateOf(document);
  setTimeout(look, LOOK_MS);
}
