// What a plot's points say, for the pointer and for the keyboard: one stop a plot, arrow keys go from point to point.

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

let tipped = null; // the marker that the tip is of

function markersOf(plot) {
  return [...plot.querySelectorAll("[id]")].filter((element) => Object.hasOwn(data.tips, element.id));
}

function makeReachable() {
  for (const plot of document.querySelectorAll("figure.plot")) {
    markersOf(plot).forEach((marker, place) => {
      const { text, record } = data.tips[marker.id];
      marker.setAttribute("tabindex", place ? "-1" : "0");
      marker.setAttribute("role", record ? "button" : "img");
      marker.setAttribute("aria-label", text);
    });
  }
}

function markerAt(event) {
  const marker = event.target.closest && event.target.closest("figure.plot [tabindex]");
  return marker && Object.hasOwn(data.tips, marker.id) ? marker : null;
}

function showTip(event) {
  tipped = markerAt(event);
  const tip = document.getElementById("tip");
  tip.hidden = !tipped;
  if (!tipped) return;
  tip.textContent = data.tips[tipped.id].text;
  placeTip();
}

// Above the marker, else below it, and within the window.
function placeTip() {
  if (!tipped) return;
  const tip = document.getElementById("tip");
  const at = tipped.getBoundingClientRect();
  const left = at.left + at.width / 2 - tip.offsetWidth / 2;
  const above = at.top - tip.offsetHeight - 8;
  tip.style.left = `${Math.max(8, Math.min(left, document.documentElement.clientWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${above > 0 ? above : at.bottom + 8}px`;
}

function hideTip() {
  tipped = null;
  document.getElementById("tip").hidden = true;
}

function openMarker(event) {
  const marker = markerAt(event);
  const record = marker && data.tips[marker.id].record;
  if (!record) return;
  event.preventDefault();
  hideTip();
  openRecord(marker, "", record);
}

function moveMarker(event) {
  if (event.key === "Escape") return hideTip();
  const marker = markerAt(event);
  if (!marker) return;
  if (event.key === "Enter" || event.key === " ") return openMarker(event);
  if (!STEPS[event.key]) return;
  event.preventDefault();
  const all = markersOf(marker.closest("figure.plot"));
  const next = all[(all.indexOf(marker) + STEPS[event.key] + all.length) % all.length];
  marker.setAttribute("tabindex", "-1");
  next.setAttribute("tabindex", "0");
  next.focus();
}

function startPlots() {
  document.addEventListener("pointerover", (event) => { if (markerAt(event)) showTip(event); });
  document.addEventListener("pointerout", (event) => { if (markerAt(event)) hideTip(); });
  document.addEventListener("focusin", showTip);
  document.addEventListener("keydown", moveMarker);
  document.addEventListener("click", openMarker);
  document.addEventListener("scroll", placeTip, { capture: true, passive: true });
}
