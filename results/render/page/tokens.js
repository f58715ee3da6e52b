// Figures of pruned tokens: the frame of a slot, and which of its patches are left after a stage.

const SIDE = 336; // pixels of a frame's longer side, about
const SCALE = "; from the lowest of the slot in dark blue to the highest in yellow, white without a value";
const images = new Map();

function startFigures() {
  for (const figure of document.querySelectorAll("figure.tokens")) {
    const content = data.figures[figure.dataset.figure];
    if (!content) continue;
    dropModes(figure, content);
    drawFigure(figure);
  }
}

function dropModes(figure, content) {
  for (const option of [...figure.querySelector(".mode").options]) {
    const known = option.value === "kept" || content.stages.some((stage) => stage.maps && stage.maps[option.value]);
    if (!known) option.remove();
  }
}

function chosen(figure) {
  const number = (name) => Number(figure.querySelector(`.${name}`).value) - 1;
  return { stage: number("stage"), slot: number("slot"), mode: figure.querySelector(".mode").value };
}

async function drawFigure(figure) {
  const content = data.figures[figure.dataset.figure];
  const { stage, slot, mode } = chosen(figure);
  figure.querySelector("output").textContent = sayFigure(content, stage, slot) + (mode === "kept" ? "" : SCALE);
  const image = await imageOf(content.slots[slot].jpeg);
  const now = chosen(figure);
  if (now.stage !== stage || now.slot !== slot || now.mode !== mode) return;
  const canvas = figure.querySelector("canvas");
  const size = Math.round(SIDE / Math.max(content.columns, content.rows));
  canvas.width = size * content.columns;
  canvas.height = size * content.rows;
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  drawPatches(pen, content, size, content.stages[stage], slot, mode);
}

function drawPatches(pen, content, size, stage, slot, mode) {
  if (!stage) return; // nothing drops any
  const kept = stage.kept[slot];
  const map = mode === "kept" ? null : stage.maps && stage.maps[mode] && stage.maps[mode][slot];
  for (let patch = 0; patch < content.rows * content.columns; patch += 1) {
    const colour = map ? shade(map[patch]) : kept[patch] === "1" ? "" : "#ffffff";
    if (!colour) continue;
    pen.fillStyle = colour;
    pen.fillRect((patch % content.columns) * size, Math.floor(patch / content.columns) * size, size, size);
  }
}

// 0 to 99 from dark blue to yellow over the frame; white where there is no value.
function shade(value) {
  if (value === null || value === undefined) return "#ffffff";
  const share = value / 99;
  const [red, green, blue] = [[20, 253], [40, 220], [120, 40]].map(([from, to]) => Math.round(from + share * (to - from)));
  return `rgb(${red} ${green} ${blue} / .72)`;
}

function sayFigure(content, stage, slot) {
  const all = content.rows * content.columns;
  const where = `slot ${slot + 1} of ${content.slots.length} (frame ${content.slots[slot].frame})`;
  if (!content.stages.length) return `no stage, ${where}: ${all} of ${all} patches kept`;
  const { block, kept } = content.stages[stage];
  const left = [...kept[slot]].filter((one) => one === "1").length;
  return `stage ${stage + 1} after block ${block}, ${where}: ${left} of ${all} patches kept`;
}

async function imageOf(jpeg) {
  if (!images.has(jpeg)) {
    const image = new Image();
    image.src = `data:image/jpeg;base64,${jpeg}`;
    images.set(jpeg, image.decode().then(() => image));
  }
  return images.get(jpeg);
}

function startDrawing() {
  document.addEventListener("input", (event) => {
    const figure = event.target.closest("figure.tokens");
    if (figure) drawFigure(figure);
  });
}
