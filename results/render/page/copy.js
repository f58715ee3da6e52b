// Copying a table as text, also from a page that was opened as a file, where the clipboard may be closed to scripts.

async function copyTable(button) {
  const { table, format } = button.dataset;
  const done = await putOnClipboard(data.copies[table][format]);
  const what = `${data.tables[table].title} as ${button.textContent}`;
  announce(done ? `Copied ${what}.` : `This browser does not let the page copy ${what}.`);
}

async function putOnClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelected(text);
  }
}

function copySelected(text) {
  const before = document.activeElement;
  const area = make("textarea", undefined, { class: "unseen", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (before) before.focus();
  return done;
}

function startCopying() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.copy");
    if (button) copyTable(button);
  });
}
