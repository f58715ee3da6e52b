// The dialog that shows a record. It remembers what opened it, also by name, as a live page may put another in its place.

let opened = null;

function dialogBox() {
  return document.getElementById("record");
}

function openRecord(opener, key, id) {
  const within = dialogBox().open;
  opened = { from: within ? opened.from : { opener, key, id }, key, id };
  fillDialog();
  const body = document.getElementById("record-body");
  if (within) body.focus(); // what opened it is no longer there
  else dialogBox().showModal();
  body.scrollTop = 0;
}

// What has not changed stays, with the place that was read and the words that were marked.
function fillDialog() {
  const body = document.getElementById("record-body");
  const parts = make("div");
  parts.append(...describe(opened.key, opened.id));
  document.getElementById("record-title").textContent = titleOf(opened.key, opened.id);
  if (body.textContent === parts.textContent) return;
  const focused = body.contains(document.activeElement) && document.activeElement.dataset.record;
  body.replaceChildren(parts);
  const again = focused && body.querySelector(`button.record[data-record="${CSS.escape(focused)}"]`);
  if (again) again.focus({ preventScroll: true });
}

function openerOf({ opener, key, id }) {
  if (opener.isConnected) return opener;
  if (opener.id) return document.getElementById(opener.id);
  const [name, value] = key ? ["cell", key] : ["record", id];
  return document.querySelector(`button.record[data-${name}="${CSS.escape(value)}"]`);
}

function closed() {
  const opener = opened && openerOf(opened.from);
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
    if (button) openRecord(button, button.dataset.cell, button.dataset.record);
  });
}
