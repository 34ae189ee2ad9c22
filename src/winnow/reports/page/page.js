for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const of = (row) => {
        const cell = row.cells[place];
        return "v" in cell.dataset ? Number(cell.dataset.v) : cell.textContent;
      };
      const before = (a, b) => {
        if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1; // what is not known stays last
        return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
      };
      body.append(...[...body.rows].sort((a, b) => before(of(a), of(b))));
    });
  });
}
