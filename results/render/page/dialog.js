// The dialog that shows a record. It remembers by name what opened it, as a live page may put another in its place.

let opened = null;

function dialogBox() {
  return document.getElementById("record");
}

function openRecord(key, id) {
  opened = { key, id };
  fillDialog();
  if (!dialogBox().open) dialogBox().showModal();
  document.getElementById("record-body").scrollTop = 0;
}

// What has not changed stays, with the place that was read and the words that were marked.
function fillDialog() {
  const body = document.getElementById("record-body");
  const parts = make("div");
  parts.append(...describe(opened.key, opened.id));
  document.getElementById("record-title").textContent = titleOf(opened.key, opened.id);
  if (body.textContent !== parts.textContent) body.replaceChildren(parts);
}

function openerOf({ key, id, marker }) {
  if (marker) return document.getElementById(marker);
  const [name, value] = key ? ["cell", key] : ["record", id];
  return document.querySelector(`button.record[data-${name}="${CSS.escape(value)}"]`);
}

function closed() {
  const opener = opened && openerOf(opened);
  opened = null;
  if (opener) opener.focus();
}

function startDialog() {
  const box = dialogBox();
  document.getElementById("record-close").addEventListener("click", () => box.close());
  box.addEventListener("close", closed);
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.record");
    if (button) openRecord(button.dataset.cell, button.dataset.record);
  });
}
