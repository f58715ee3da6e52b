// All of it, once the page is there.

function prepare() {
  markSortable();
  makeReachable();
  startFigures();
}

// On paper nothing can be unfolded.
function startPrinting() {
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const fold of folded) fold.open = true;
  });
  window.addEventListener("afterprint", () => { for (const fold of folded) fold.open = false; });
}

document.documentElement.classList.add("js");
prepare();
startDialog();
startSorting();
startCopying();
startPlots();
startDrawing();
startPrinting();
startLive();
