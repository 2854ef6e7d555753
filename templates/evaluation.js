"use strict";
(() => {
  const value = cell => cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  const text = cell => cell.textContent.trim();
  // What has no value stands last, whichever way the column is sorted.
  const compare = (a, b, up) => {
    const [x, y] = [value(a), value(b)];
    if (x !== null && y !== null) return up ? x - y : y - x;
    if (x !== null || y !== null) return x === null ? 1 : -1;
    return (up ? 1 : -1) * text(a).localeCompare(text(b));
  };
  for (const button of document.querySelectorAll("thead button")) {
    button.addEventListener("click", () => {
      const head = button.closest("th"), body = head.closest("table").tBodies[0];
      const before = head.getAttribute("aria-sort");
      const up = before === "none" ? !head.classList.contains("n") : before === "descending";
      for (const other of head.parentElement.cells) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows].map((row, place) => ({ row, place }));
      rows.sort((a, b) => compare(a.row.cells[head.cellIndex], b.row.cells[head.cellIndex], up) || a.place - b.place);
      body.append(...rows.map(({ row }) => row));
    });
  }
  for (const box of document.querySelectorAll(".search")) {
    const rows = [...document.getElementById(box.dataset.table).tBodies[0].rows];
    const names = rows.map(row => text(row).toLowerCase()), found = box.parentElement.querySelector(".found");
    box.addEventListener("input", () => {
      const wanted = box.value.trim().toLowerCase();
      let shown = 0;
      rows.forEach((row, i) => {
        row.hidden = !names[i].includes(wanted);
        if (!row.hidden) shown++;
      });
      found.textContent = wanted === "" ? "" : shown + " of " + rows.length;
    });
  }
})();
