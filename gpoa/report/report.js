"use strict";
// Sorting is a convenience: without scripts the page shows everything.
const value = (row, column) => row.children[column].textContent.trim();
const amount = (shown) => parseFloat(shown.replace("\u2212", "-").replace("+", ""));
for (const head of document.querySelectorAll("table.sortable thead th")) {
  head.classList.add("sorts");
  head.tabIndex = 0;
  const sort = () => {
    const column = head.cellIndex;
    const body = head.closest("table").tBodies[0];
    const down = head.getAttribute("aria-sort") !== "descending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows].sort((a, b) => {
      const [one, two] = [value(a, column), value(b, column)];
      const [x, y] = [amount(one), amount(two)];
      if (head.classList.contains("number")) return (isNaN(x) ? 1 : isNaN(y) ? -1 : down ? y - x : x - y) || 0;
      return down ? two.localeCompare(one) : one.localeCompare(two);
    });
    body.append(...rows);
  };
  head.addEventListener("click", sort);
  head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
}
addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details")) part.open = true; });
