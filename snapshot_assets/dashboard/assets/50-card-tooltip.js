// The tooltip of a card: pointer and arrow keys choose an interval, the server says who used it.
"use strict";

(() => {
  const ours = (window.snapshot = window.snapshot || {});
  const { installation, cards, number, spanText, element, tooltip, tableOf } = ours;

  function pointAt(card) {
    let at = null;
    const area = () => {
      const { l, r } = cards.data.base.margin;
      return { left: l, width: card.chart.clientWidth - l - r };
    };
    const place = (start) => {
      const { left, width } = area();
      const [first, last] = cards.data.range;
      const middle = start + cards.data.step / 2;
      return left + (Math.min(Math.max(middle, first), last) - first) / (last - first) * width;
    };
    const point = (start) => {
      const { step, start: origin, range } = cards.data;
      const aligned = origin + Math.floor((start - origin) / step) * step;
      const latest = origin + Math.floor((range[1] - 1 - origin) / step) * step;
      const kept = Math.min(Math.max(aligned, origin), latest);
      if (kept === at) return;
      at = kept;
      const x = place(at);
      card.cursor.hidden = false;
      card.cursor.style.left = `${x}px`;
      const box = card.chart.getBoundingClientRect();
      showInterval(card.host, at, box.left + x, box.top + box.height / 2);
    };
    const leave = () => { at = null; card.cursor.hidden = true; cards.tooltips += 1; tooltip.hide(); };
    card.chart.addEventListener("pointermove", (event) => {
      if (!cards.data || event.buttons) return;
      const { left, width } = area();
      const share = (event.clientX - card.chart.getBoundingClientRect().left - left) / width;
      if (share < 0 || share > 1) { leave(); return; }
      const [first, last] = cards.data.range;
      point(first + share * (last - first));
    });
    card.chart.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "touch") { tooltip.hide(); return; }
      const { left, width } = area();
      const share = (event.clientX - card.chart.getBoundingClientRect().left - left) / width;
      const [first, last] = cards.data.range;
      point(first + share * (last - first));
    });
    card.chart.addEventListener("pointerleave", leave);
    card.chart.addEventListener("blur", leave);
    card.chart.addEventListener("keydown", (event) => {
      const { step, range } = cards.data;
      const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -12, PageDown: 12 };
      if (event.key in moves) point((at ?? lastKnown(card)) + moves[event.key] * step);
      else if (event.key === "Home") point(range[0]);
      else if (event.key === "End") point(range[1] - 1);
      else if (event.key === "Escape") leave();
      else return;
      event.preventDefault();
    });
  }

  function lastKnown(card) {
    const { step, start } = cards.data;
    const { y } = card.data.figure.data[0];
    let i = y.length - 1;
    while (i > 0 && y[i] === null) i -= 1;
    return start + (i + 1) * step;
  }

  const answers = new Map();

  async function showInterval(host, start, x, y) {
    cards.tooltips += 1;
    const mine = cards.tooltips;
    const { step, zone } = cards.data;
    const heading = element("strong", "", spanText(start, step, zone));
    const key = `${host} ${start} ${step} ${cards.data.range[1]}`;
    if (!answers.has(key)) {
      // A pointer that only passes by sends no request.
      await new Promise((done) => setTimeout(done, 50));
      if (mine !== cards.tooltips) return;
      try {
        const answer = await fetch(`${installation.prefix}bucket?${new URLSearchParams({ host, at: start, step })}`, { credentials: "same-origin" });
        const found = await answer.json();
        if (found.error) throw new Error(found.error);
        if (answers.size > 500) answers.clear();
        answers.set(key, found);
      } catch (error) {
        if (mine === cards.tooltips) tooltip.show([heading, element("p", "", "The data store does not answer.")], x, y);
        return;
      }
    }
    if (mine !== cards.tooltips) return;
    const found = answers.get(key);
    if (!found.covered) {
      tooltip.show([heading, element("p", "", "No data: a gap, or the data has not arrived yet.")], x, y);
      return;
    }
    const rows = [heading, element("p", "", `${number(found.cores)} cores, ${number(found.gb)} GB`)];
    rows.push(...found.machine.map((text) => element("p", "", text)));
    const list = (title, shares) => {
      if (shares.length) rows.push(tableOf([title, "cores", "GB"], shares.map((s) => [s.name, number(s.cores), number(s.gb)])));
    };
    list("User", found.users);
    list("Command", found.commands);
    if (!found.users.length) rows.push(element("p", "quiet", "No user is above the thresholds."));
    const remarks = [];
    if (found.coverage < 0.9995) remarks.push(`${Math.max(1, Math.floor(found.coverage * 100))} % of this time is covered`);
    if (!found.settled) remarks.push("live, not settled yet");
    if (remarks.length) rows.push(element("p", "quiet", remarks.join("; ")));
    tooltip.show(rows, x, y);
  }

  Object.assign(ours, { pointAt });
})();
