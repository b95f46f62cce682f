// HTML elements: the tooltip and its tables. Names from the data are only ever set as text.
"use strict";

(() => {
  const ours = (window.snapshot = window.snapshot || {});

  function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  const tooltip = {
    show(rows, x, y) {
      const box = document.getElementById("tooltip");
      box.replaceChildren(...rows);
      box.hidden = false;
      const left = Math.min(x + 14, window.innerWidth - box.offsetWidth - 8);
      const below = y + 18 + box.offsetHeight < window.innerHeight;
      box.style.left = `${Math.max(8, left)}px`;
      box.style.top = `${below ? y + 18 : Math.max(8, y - box.offsetHeight - 14)}px`;
    },
    hide() {
      const box = document.getElementById("tooltip");
      if (box) box.hidden = true;
    },
  };

  function tableOf(heading, rows) {
    const table = element("table");
    const head = element("tr");
    heading.forEach((text, i) => head.append(element("th", i ? "right" : "", text)));
    table.append(head);
    for (const row of rows) {
      const line = element("tr");
      row.forEach((cell, i) => {
        const data = element("td", i ? "right" : "");
        if (i === 0 && cell.colour) {
          const mark = element("span", "mark");
          mark.style.background = cell.colour;
          data.append(mark);
        }
        const shown = element("bdi", "", cell.text ?? cell);
        data.append(shown);
        line.append(data);
      });
      table.append(line);
    }
    return table;
  }

  // For measuring, and for tests that wait: which page and range has been painted, and when.
  function painted(page, range) {
    requestAnimationFrame(() => {
      performance.mark(`painted-${page}`);
      document.body.dataset.paintedPage = page;
      document.body.dataset.paintedRange = `${page} ${range.join(" ")}`;
    });
  }

  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tooltip.hide(); });
  document.addEventListener("scroll", () => tooltip.hide(), { passive: true });

  Object.assign(ours, { element, tooltip, tableOf, painted });
})();
