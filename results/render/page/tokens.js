// Figures of pruned tokens: the frame of a slot, and which of its patches are left after a stage.

const SIDE = 336; // pixels of a frame's longer side, about
// Of the maps, as in the figures for print: cividis, and light grey where there is no value.
const CIVIDIS = "00224e 002e6a 1a386f 32436d 434e6c 535a6d 61656f 6f7073 7d7c78 8c8878 9b9476 aba072 bcae6c cdbb63 dec958 f0d846 fee838"
  .split(" ").map((colour) => [0, 2, 4].map((at) => parseInt(colour.slice(at, at + 2), 16)));
const ABSENT = 235;
const HIGHEST = 99; // value of a map
const images = new Map();

function startFigures() {
  const scale = CIVIDIS.map((colour) => `rgb(${colour})`);
  for (const figure of document.querySelectorAll("figure.tokens")) {
    if (!data.figures[figure.dataset.figure]) continue;
    figure.querySelector(".scale").style.background = `linear-gradient(to right, ${scale})`;
    drawFigure(figure);
  }
}

// `map` is the name of the one that is shown; undefined where it is the frame.
function chosen(figure) {
  const number = (name) => Number(figure.querySelector(`.${name}`).value) - 1;
  const { selectedIndex: mode, selectedOptions: [{ dataset: { map } }] } = figure.querySelector(".mode");
  return { stage: number("stage"), slot: number("slot"), mode, map };
}

async function drawFigure(figure) {
  const content = data.figures[figure.dataset.figure];
  const { stage, slot, mode, map } = chosen(figure);
  const values = map === undefined ? undefined : valuesOfMap(content.stages[stage], map, slot);
  const output = figure.querySelector("output");
  output.textContent = sayFigure(content, stage, slot) + (values ? `; ${sayMap(content.stages[stage].kept[slot], map, values)}` : "");
  figure.querySelector(".key").hidden = !values;
  const image = await imageOf(figure.querySelectorAll(".strip image")[slot].getAttribute("href"));
  const now = chosen(figure);
  if (now.stage !== stage || now.slot !== slot || now.mode !== mode) return;
  if (!image) output.textContent += "; the picture of this frame is damaged";
  const canvas = figure.querySelector("canvas");
  const size = Math.round(SIDE / Math.max(content.columns, content.rows));
  canvas.width = size * content.columns;
  canvas.height = size * content.rows;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#808080";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  if (image) pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  const { span = 1 } = content.stages[stage] || {};
  const columns = Math.ceil(content.columns / span);
  paintPatches(pen, columns, span * size, values ? values.map(colourOf) : coversOf(content.stages[stage], slot));
  if (!values) drawEdges(pen, columns, span * size, groupsOf(content.stages[stage], slot));
}

function valuesOfMap(stage, map, slot) {
  const slots = lookUp(stage.maps || {}, map);
  return slots ? slots[slot] : [...stage.kept[slot]].map(() => null);
}

// Patches without a colour show the frame.
function paintPatches(pen, columns, size, colours) {
  for (const [patch, colour] of colours.entries()) {
    if (!colour) continue;
    pen.fillStyle = colour;
    pen.fillRect((patch % columns) * size, Math.floor(patch / columns) * size, size, size);
  }
}

function coversOf(stage, slot) {
  // Without a stage nothing drops any.
  if (!stage) return [];
  const groups = groupsOf(stage, slot);
  return [...stage.kept[slot]].map((one, patch) => (one !== "1" ? "#ffffff" : groups[patch] ? `#${stage.colours[groups[patch] - 1]}` : ""));
}

// For each patch the number of the merged token that holds it, 0 of all others; empty where none was merged.
function groupsOf(stage, slot) {
  return stage && stage.groups ? stage.groups[slot] : [];
}

// Lines where another token begins.
function drawEdges(pen, columns, size, groups) {
  pen.fillStyle = "#141414";
  for (const [patch, group] of groups.entries()) {
    const [left, top] = [(patch % columns) * size, Math.floor(patch / columns) * size];
    const right = (patch + 1) % columns ? groups[patch + 1] : group;
    const below = patch + columns < groups.length ? groups[patch + columns] : group;
    if (right !== group) pen.fillRect(left + size - 1, top, 2, size);
    if (below !== group) pen.fillRect(left, top + size - 1, size, 2);
  }
}

function colourOf(value) {
  if (value === null) return `rgb(${ABSENT} ${ABSENT} ${ABSENT})`;
  const place = (value / HIGHEST) * (CIVIDIS.length - 1);
  const low = Math.min(Math.floor(place), CIVIDIS.length - 2);
  const parts = CIVIDIS[low].map((from, part) => from + (place - low) * (CIVIDIS[low + 1][part] - from));
  return `rgb(${parts.map(Math.round).join(" ")})`;
}

function sayFigure(content, stage, slot) {
  const all = content.rows * content.columns;
  const where = `slot ${slot + 1} of ${content.slots.length} (frame ${content.slots[slot].frame})`;
  if (!content.stages.length) return `no stage, ${where}: ${all} of ${all} patches kept`;
  const { block, kept, groups, left, number = stage + 1, span = 1, where: place = `after block ${block}` } = content.stages[stage];
  const whole = [...kept[slot]].filter((one) => one === "1").length;
  const merged = groups ? `, those of the clip merged into ${left} tokens` : "";
  return `stage ${number} ${place}, ${where}: ${whole} of ${kept[slot].length} ${span === 1 ? "patches" : "tokens"} kept${merged}`;
}

function sayMap(kept, map, values) {
  if (values.every((value) => value === null)) return `${map}: no patch of this slot has a value`;
  return `${map} from the lowest in dark blue to the highest in yellow, grey without a value${sayWhich(kept, values)}`;
}

// What the choice went by shows in what it chose.
function sayWhich(kept, values) {
  const those = (flag) => values.filter((value, patch) => value !== null && kept[patch] === flag);
  const [left, dropped] = [those("1"), those("0")];
  if (!left.length || !dropped.length) return "";
  if (Math.max(...left) <= Math.min(...dropped)) return "; the higher ones are dropped";
  return Math.min(...left) >= Math.max(...dropped) ? "; the lower ones are dropped" : "";
}

// Null where what should be one is damaged.
async function imageOf(address) {
  if (!images.has(address)) {
    const image = new Image();
    image.src = address;
    images.set(address, image.decode().then(() => image, () => null));
  }
  return images.get(address);
}

function startDrawing() {
  document.addEventListener("input", (event) => {
    const figure = event.target.closest("figure.tokens");
    if (figure) drawFigure(figure);
  });
}
