// Tables sorted by a column: rising, falling, then as the paper has them. A cell without a value is last either way.

const NEXT = { none: "ascending", ascending: "descending", descending: "none" };
const collator = new Intl.Collator("en", { numeric: true });

function sortBy(heading) {
  const table = heading.closest("table");
  const order = NEXT[heading.getAttribute("aria-sort")];
  for (const other of table.querySelectorAll("th[aria-sort]")) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", order);
  putInOrder(table, Number(heading.dataset.column), order);
}

function putInOrder(table, column, order) {
  const body = table.tBodies[0];
  const rows = [...body.rows].sort((one, other) => one.dataset.row - other.dataset.row);
  if (order !== "none") rows.sort((one, other) => compare(one.cells[column], other.cells[column], column, order));
  body.append(...rows);
}

function compare(one, other, column, order) {
  const sign = order === "ascending" ? 1 : -1;
  if (column === 0) return sign * collator.compare(one.textContent, other.textContent);
  const [left, right] = [one.dataset.value, other.dataset.value];
  if (left === undefined || right === undefined) return (left === undefined) - (right === undefined);
  return sign * (Number(left) - Number(right));
}

function sortedBy(table) {
  const heading = table.querySelector('th[aria-sort="ascending"], th[aria-sort="descending"]');
  return heading && { column: heading.dataset.column, order: heading.getAttribute("aria-sort") };
}

function markSortable() {
  for (const button of document.querySelectorAll("button.sort")) button.closest("th").setAttribute("aria-sort", "none");
}

function sortAgain(table, { column, order }) {
  const heading = table.querySelector(`th[data-column="${column}"]`);
  if (!heading) return;
  heading.setAttribute("aria-sort", order);
  putInOrder(table, Number(column), order);
}

function startSorting() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.sort");
    if (button) sortBy(button.closest("th"));
  });
}
