"use strict";
// Sorts and filters the table of runs. Without it the table stands there all the same, the newest run first.
for (const table of document.querySelectorAll("[data-sortable]")) {
  const body = table.tBodies[0], rows = [...body.rows];
  const key = (row, column) => row.cells[column].dataset.sort || "";
  const isNumber = (column) => rows.every((row) => key(row, column) !== "" && Number.isFinite(Number(key(row, column))));
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button"), numeric = isNumber(column);
    button.type = "button";
    button.className = "ix-sort";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const sorted = [...rows].sort((a, b) => numeric ? key(a, column) - key(b, column) : key(a, column).localeCompare(key(b, column)));
      body.append(...(descending ? sorted.reverse() : sorted));
    });
  });
  const label = document.createElement("label"), field = document.createElement("input"), shown = document.createElement("span");
  label.className = "ix-find";
  field.type = "search";
  shown.setAttribute("role", "status");
  label.append("Only runs with ", field, shown);
  table.closest(".scroll").before(label);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      count += row.hidden ? 0 : 1;
    }
    shown.textContent = words.length ? `${count} of ${rows.length}` : "";
  });
}
