// The overview's cards: which are shown, in which order, and the charts of the visible ones.
"use strict";

(() => {
  const ours = (window.snapshot = window.snapshot || {});
  const { LOCAL, installation, current, query, go, setRange, number, element, painted } = ours;

  const BUCKET = 300;
  const SHORTEST_ZOOM = 4 * BUCKET;
  const touch = () => window.matchMedia("(pointer: coarse)").matches;

  const cards = {
    data: null,
    made: new Map(),
    visible: new Set(),
    observer: null,
    // Counts tooltips; only the answer for the newest is shown.
    tooltips: 0,

    draw(data) {
      this.observe();
      const first = data && data !== this.data;
      if (first) {
        this.data = data;
        for (const card of this.made.values()) card.stale = true;
      }
      if (!this.data) return "";
      const params = current();
      const pins = new Set(params.getAll("pin"));
      const found = (params.get("find") || "").toLowerCase();
      const shown = this.data.cards
        .filter((card) => card.host.toLowerCase().includes(found))
        .sort(comparison(params.get("sort") || installation.defaults.sort, pins));
      const grid = document.getElementById("cards");
      const names = new Set(this.data.cards.map((card) => card.host));
      for (const [host, card] of this.made) {
        if (!names.has(host)) { this.observer.unobserve(card.root); Plotly.purge(card.chart); this.made.delete(host); }
      }
      const roots = shown.map((card) => this.card(card, pins.has(card.host)).root);
      const unchanged = grid.children.length === roots.length && roots.every((root, i) => grid.children[i] === root);
      // Moving an element takes the focus from it.
      if (!unchanged) {
        const focused = document.activeElement;
        grid.replaceChildren(...roots);
        if (focused && grid.contains(focused)) focused.focus({ preventScroll: true });
      }
      this.paint();
      const all = this.data.cards.length;
      const hosts = all === 1 ? "host" : "hosts";
      return shown.length === all ? `${all} ${hosts}, ${this.data.range_text}` : `${shown.length} of ${all} ${hosts}, ${this.data.range_text}`;
    },

    observe() {
      if (this.observer) return;
      this.observer = new IntersectionObserver((entries) => {
        for (const entry of entries) {
          if (entry.isIntersecting) this.visible.add(entry.target);
          else this.visible.delete(entry.target);
        }
        this.paint();
      }, { rootMargin: "150px" });
      new ResizeObserver(() => {
        for (const card of this.made.values()) card.stale = true;
        this.paint();
      }).observe(document.getElementById("cards"));
    },

    card(data, pinned) {
      let card = this.made.get(data.host);
      if (!card) {
        card = newCard(data.host);
        this.made.set(data.host, card);
        this.observer.observe(card.root);
      }
      card.data = data;
      card.root.classList.toggle("pinned", pinned);
      card.pin.setAttribute("aria-pressed", String(pinned));
      const [cpu, mem] = [data.cpu, data.mem].map((use) => number(use.now) + (use.limit ? ` / ${number(use.limit)}` : ""));
      card.numbers.replaceChildren(
        element("span", "cpu", `${cpu} cores`),
        element("span", "mem", `${mem} GB`),
      );
      if (!data.cpu.limit || !data.mem.limit) card.numbers.title = "The capacity of this host is unknown; its charts end at the highest value.";
      const machine = data.cpu.machine === null ? "" : `; whole machine ${number(data.cpu.machine)} cores`;
      const label = `${data.host}: ${cpu} cores, ${mem} GB; mean ${number(data.cpu.mean)} cores, peak ${number(data.cpu.peak)}${machine}`;
      card.chart.setAttribute("aria-label", `${label}. Arrow keys move through time.`);
      return card;
    },

    paint() {
      if (this.planned) return;
      this.planned = true;
      requestAnimationFrame(() => {
        this.planned = false;
        for (const root of this.visible) {
          const card = root.card;
          if (!card.stale || !root.isConnected || !root.offsetWidth) continue;
          card.stale = false;
          drawCard(card, this.data);
        }
        const waiting = [...this.visible].some((root) => root.card.stale && root.isConnected && root.offsetWidth);
        if (this.visible.size && !waiting) painted("overview", this.data.range);
      });
    },
  };

  function comparison(sort, pins) {
    const load = (use) => use.mean / (use.limit || 1);
    // Shares of a capacity and plain numbers do not compare: hosts without a capacity come last.
    const by = (key) => (a, b) => (!!b[key].limit - !!a[key].limit) || load(b[key]) - load(a[key]);
    const orders = { load: by("cpu"), memory: by("mem"), name: () => 0 };
    const order = orders[sort] || orders.load;
    return (a, b) => pins.has(b.host) - pins.has(a.host) || order(a, b) || a.host.localeCompare(b.host, "en", { numeric: true });
  }

  function newCard(host) {
    const root = element("article", "card");
    const header = element("header");
    const title = element("h2");
    const link = element("a", "", "");
    link.append(element("bdi", "", host));
    title.append(link);
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      go({ pathname: `${installation.prefix}users`, search: query(usersOf(host)) });
    });
    link.addEventListener("pointerenter", () => { link.href = `${installation.prefix}users${query(usersOf(host))}`; });
    link.href = `${installation.prefix}users${query(usersOf(host))}`;
    link.title = "Show the users of this host";
    const numbers = element("span", "numbers");
    const pin = element("button", "pin", "★");
    pin.type = "button";
    pin.title = "Pin: always first";
    pin.setAttribute("aria-label", `Pin ${host}`);
    pin.addEventListener("click", () => togglePin(host));
    header.append(title, numbers, pin);
    const box = element("div", "plot");
    const chart = element("div", "chart");
    chart.tabIndex = 0;
    chart.setAttribute("role", "img");
    const cursor = element("div", "cursor");
    cursor.hidden = true;
    box.append(chart, cursor);
    root.append(header, box);
    const card = { root, chart, cursor, numbers, pin, host, stale: true };
    root.card = card;
    ours.pointAt(card);
    return card;
  }

  function usersOf(host) {
    const params = current();
    ["host", "user", "command", ...LOCAL].forEach((name) => params.delete(name));
    params.set("host", host);
    return params;
  }

  function togglePin(host) {
    const params = current();
    const pins = params.getAll("pin");
    params.delete("pin");
    const after = pins.includes(host) ? pins.filter((pin) => pin !== host) : [...pins, host];
    after.forEach((pin) => params.append("pin", pin));
    go({ search: query(params) });
  }

  function merged(base, own) {
    const layout = { ...base };
    for (const [name, value] of Object.entries(own)) {
      layout[name] = name.startsWith("yaxis") ? { ...base[name], ...value } : value;
    }
    return layout;
  }

  function drawCard(card, data) {
    const { figure } = card.data;
    const layout = merged(data.base, figure.layout);
    layout.xaxis = { ...layout.xaxis };
    if (touch()) layout.dragmode = false;
    Plotly.react(card.chart, figure.data, layout, { displayModeBar: false, doubleClick: false, responsive: false });
    if (!card.zooms) {
      card.zooms = true;
      card.chart.on("plotly_relayout", zoomed);
    }
  }

  function zoomed(change) {
    if (!change) return;
    const first = change["xaxis.range[0]"] ?? change["xaxis.range"]?.[0];
    const last = change["xaxis.range[1]"] ?? change["xaxis.range"]?.[1];
    if (first === undefined || last === undefined) return;
    const seconds = (value) => (typeof value === "number" ? value : Date.parse(`${value.replace(" ", "T")}Z`)) / 1000;
    const start = Math.floor(seconds(first) / BUCKET) * BUCKET;
    const end = Math.max(Math.ceil(seconds(last) / BUCKET) * BUCKET, start + SHORTEST_ZOOM);
    setRange(start, end);
  }

  Object.assign(ours, { BUCKET, cards, zoomed });
})();
