// What happens in the browser: controls and URL kept equal, polling, cards, tooltips.
//
// The functions under `snapshot` are Dash's clientside callbacks; shell.py says what they are given
// and what they return. Names from the data are only ever set as text. Nothing is computed here
// that the server could not have said; times are only formatted, in the zone that the server used.
"use strict";

(() => {
  const PAGES = { "": "overview", users: "users", commands: "commands", statement: "statement", now: "now" };
  const SECTIONS = ["overview", "consumers", "statement", "now"];
  const SECTION_OF = { overview: "overview", users: "consumers", commands: "consumers", statement: "statement", now: "now" };
  // Of no concern to the server: the browser sorts, finds and pins by itself.
  const LOCAL = ["sort", "find", "pin", "search", "order"];
  const DEFAULTS = { quick: "24h", measure: "cpu", sort: "load", order: "-core_hours" };
  const BUCKET = 300;
  // A range that ended longer ago does not change from one poll to the next.
  const RECENT = 7200;
  const SHORTEST_ZOOM = 4 * BUCKET;
  const none = () => window.dash_clientside.no_update;
  const browserZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const touch = () => window.matchMedia("(pointer: coarse)").matches;

  let prefix = "/";

  // --- the URL --------------------------------------------------------------------------------

  const current = () => new URLSearchParams(window.location.search);
  const query = (params) => { const text = params.toString(); return text ? `?${text}` : ""; };
  const pageOf = (pathname) => PAGES[(pathname || "").slice(prefix.length).replace(/\/+$/, "")] || "overview";
  const go = (change) => window.dash_clientside.set_props("url", change);

  function put(params, name, value, usual) {
    if (value === null || value === undefined || value === "" || value === usual) params.delete(name);
    else params.set(name, value);
  }

  // Without a step to go back to.
  function replaceQuery(params) {
    window.history.replaceState(window.history.state, "", window.location.pathname + query(params));
  }

  function setRange(start, end) {
    const params = current();
    const text = (moment) => new Date(moment * 1000).toISOString().slice(0, 16) + "Z";
    params.delete("range");
    params.set("from", text(start));
    params.set("to", text(end));
    go({ search: query(params) });
  }

  // A user is looked at on the page of users, a command on that of commands.
  function filterBy(field, name) {
    const params = current();
    params.delete("user");
    params.delete("command");
    params.set(field === "username" ? "user" : "command", name);
    go({ pathname: prefix + (field === "username" ? "users" : "commands"), search: query(params) });
  }

  function chip(text, label, name, value) {
    return {
      type: "Button",
      namespace: "dash_html_components",
      props: { type: "button", className: "chip", children: text, title: label, "data-drop": name, "data-value": value },
    };
  }

  function chipsOf(params) {
    const chips = params.getAll("host").map((host) => chip(`${host} ✕`, "Show all hosts again", "host", host));
    for (const [name, what] of [["user", "user"], ["command", "command"]]) {
      if (params.get(name)) chips.push(chip(`${what} ${params.get(name)} ✕`, "Remove this filter", name, params.get(name)));
    }
    return chips;
  }

  document.addEventListener("click", (event) => {
    const dropped = event.target.closest("[data-drop]");
    if (dropped) {
      const params = current();
      const kept = params.getAll(dropped.dataset.drop).filter((value) => value !== dropped.dataset.value);
      params.delete(dropped.dataset.drop);
      kept.forEach((value) => params.append(dropped.dataset.drop, value));
      go({ search: query(params) });
    }
    const named = event.target.closest("[data-name]");
    if (named) filterBy(named.dataset.field, named.dataset.name);
  });

  // --- numbers and times ----------------------------------------------------------------------

  function number(value) {
    if (value === null || value === undefined) return "–";
    if (value === 0) return "0";
    if (Math.abs(value) < 0.005) return value > 0 ? "<0.01" : "0";
    if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en");
    return String(Number(value.toPrecision(3)));
  }

  function formats(zone) {
    const shared = { timeZone: zone, hourCycle: "h23", hour: "2-digit", minute: "2-digit" };
    return {
      day: new Intl.DateTimeFormat("en-GB", { ...shared, weekday: "short", day: "numeric", month: "short" }),
      time: new Intl.DateTimeFormat("en-GB", { ...shared, timeZoneName: "short" }),
    };
  }

  function spanText(start, step, zone) {
    const { day, time } = formats(zone);
    const first = new Date(start * 1000), last = new Date((start + step) * 1000);
    return `${day.format(first)} – ${time.format(last)}`;
  }

  // As it is typed: with the offset in the hour that comes twice.
  function typed(moment, zone) {
    const parts = { dateStyle: "short", timeStyle: "short", timeZone: zone };
    const wall = (at) => new Intl.DateTimeFormat("sv-SE", parts).format(new Date(at));
    const twice = [-1, 1].some((hour) => wall(moment + hour * 3_600_000) === wall(moment));
    if (!twice) return wall(moment);
    const named = new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "longOffset" });
    const offset = named.formatToParts(new Date(moment)).find((part) => part.type === "timeZoneName").value;
    return wall(moment) + (offset.slice(3) || "Z");
  }

  function ageText(seconds) {
    const minutes = Math.round(seconds / 60);
    if (minutes < 1) return "just now";
    if (minutes < 60) return `${minutes} min ago`;
    const hours = Math.floor(minutes / 60);
    return hours < 48 ? `${hours} h ${minutes % 60} min ago` : `${Math.floor(hours / 24)} days ago`;
  }

  // --- elements -------------------------------------------------------------------------------

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

  // --- the overview's cards -------------------------------------------------------------------

  const cards = {
    data: null,
    made: new Map(),
    visible: new Set(),
    observer: null,
    asked: 0,

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
        .sort(comparison(params.get("sort") || DEFAULTS.sort, pins));
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
      return shown.length === all ? `${all} ${hosts}, ${this.data.told}` : `${shown.length} of ${all} ${hosts}, ${this.data.told}`;
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
      if (!data.cpu.limit || !data.mem.limit) card.numbers.title = "The capacity of this host is not known; charts end at the highest value.";
      const told = `${data.host}: ${cpu} cores, ${mem} GB; mean ${number(data.cpu.mean)} cores, peak ${number(data.cpu.peak)}`;
      card.chart.setAttribute("aria-label", `${told}. Arrow keys move through time.`);
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
    // Shares of a capacity and bare numbers do not compare; those without come after.
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
      go({ pathname: `${prefix}users`, search: query(usersOf(host)) });
    });
    link.addEventListener("pointerenter", () => { link.href = `${prefix}users${query(usersOf(host))}`; });
    link.href = `${prefix}users${query(usersOf(host))}`;
    link.title = "Who is on it";
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
    pointAt(card);
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
    const first = change["xaxis.range[0]"] ?? change["xaxis.range"]?.[0];
    const last = change["xaxis.range[1]"] ?? change["xaxis.range"]?.[1];
    if (first === undefined || last === undefined) return;
    const moment = (value) => (typeof value === "number" ? value : Date.parse(`${value.replace(" ", "T")}Z`)) / 1000;
    const start = Math.floor(moment(first) / BUCKET) * BUCKET;
    const end = Math.max(Math.ceil(moment(last) / BUCKET) * BUCKET, start + SHORTEST_ZOOM);
    setRange(start, end);
  }

  // --- what is under the pointer --------------------------------------------------------------

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
      tell(card.host, at, box.left + x, box.top + box.height / 2);
    };
    const leave = () => { at = null; card.cursor.hidden = true; cards.asked += 1; tooltip.hide(); };
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

  const told = new Map();

  async function tell(host, start, x, y) {
    cards.asked += 1;
    const mine = cards.asked;
    const { step, zone } = cards.data;
    const heading = element("strong", "", spanText(start, step, zone));
    const key = `${host} ${start} ${step} ${cards.data.range[1]}`;
    if (!told.has(key)) {
      // A pointer that passes by asks nothing.
      await new Promise((done) => setTimeout(done, 50));
      if (mine !== cards.asked) return;
      try {
        const answer = await fetch(`${prefix}bucket?${new URLSearchParams({ host, at: start, step })}`, { credentials: "same-origin" });
        const found = await answer.json();
        if (found.error) throw new Error(found.error);
        if (told.size > 500) told.clear();
        told.set(key, found);
      } catch (error) {
        if (mine === cards.asked) tooltip.show([heading, element("p", "", "No answer; the data store may be down.")], x, y);
        return;
      }
    }
    if (mine !== cards.asked) return;
    const found = told.get(key);
    if (!found.covered) {
      tooltip.show([heading, element("p", "", "Nobody looked: a gap, or not there yet.")], x, y);
      return;
    }
    const rows = [heading, element("p", "", `${number(found.cores)} cores, ${number(found.gb)} GB`)];
    const list = (title, shares) => {
      if (shares.length) rows.push(tableOf([title, "cores", "GB"], shares.map((s) => [s.name, number(s.cores), number(s.gb)])));
    };
    list("User", found.users);
    list("Command", found.commands);
    if (!found.users.length) rows.push(element("p", "quiet", "Nobody above the thresholds."));
    const remarks = [];
    if (found.coverage < 0.9995) remarks.push(`looked at ${Math.max(1, Math.floor(found.coverage * 100))} % of this time`);
    if (!found.settled) remarks.push("provisional");
    if (remarks.length) rows.push(element("p", "quiet", remarks.join("; ")));
    tooltip.show(rows, x, y);
  }

  const stack = { meta: null, attached: null, ordered: false };

  // The table's order is the link's, once the table is there.
  async function orderTable() {
    const table = await window.dash_ag_grid.getApiAsync("consumers-table");
    const order = current().get("order") || DEFAULTS.order;
    const state = [{ colId: order.replace(/^-/, ""), sort: order.startsWith("-") ? "desc" : "asc" }];
    table.applyColumnState({ state, defaultState: { sort: null } });
    stack.ordered = true;
  }

  function attachStack() {
    const chart = document.querySelector("#consumers-chart .js-plotly-plot");
    if (!chart || !chart.on) { requestAnimationFrame(attachStack); return; }
    if (stack.attached === chart) return;
    stack.attached = chart;
    chart.on("plotly_afterplot", () => painted("consumers", chart.layout.xaxis.range));
    chart.on("plotly_hover", (event) => {
      const { meta } = stack;
      const i = event.points[0].pointIndex ?? event.points[0].pointNumber;
      const layers = chart.data.filter((trace) => trace.stackgroup);
      const heading = element("strong", "", spanText(meta.start + i * meta.step, meta.step, meta.zone));
      const total = layers.reduce((sum, trace) => sum + (trace.y[i] || 0), 0);
      const rows = layers
        .map((trace, layer) => [{ text: trace.meta ?? "other", colour: meta.swatches[layer] }, number(trace.y[i]), trace.y[i]])
        .filter((row) => row[2]).map((row) => row.slice(0, 2));
      const seen = meta.hosts[i];
      const told = [heading];
      if (!seen) told.push(element("p", "", "Nobody looked: a gap, or not there yet."));
      else {
        told.push(tableOf(["", meta.unit], [...rows.reverse(), ["together", number(total)]]));
        if (seen < meta.of) told.push(element("p", "quiet", `${seen} of ${meta.of} hosts were looked at`));
      }
      tooltip.show(told, event.event.clientX, event.event.clientY);
    });
    chart.on("plotly_unhover", () => tooltip.hide());
    painted("consumers", chart.layout.xaxis.range);
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

  // Whoever comes back to the page need not wait for the next poll.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) window.dash_clientside.set_props("poll", { n_intervals: Date.now() });
  });

  // --- light and dark -------------------------------------------------------------------------

  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const stored = () => { try { return window.localStorage.getItem("snapshot-theme"); } catch { return null; } };
  const isDark = () => (stored() ? stored() === "dark" : prefersDark.matches);
  function applyTheme() {
    document.documentElement.dataset.theme = isDark() ? "dark" : "light";
    document.documentElement.dataset.agThemeMode = isDark() ? "dark" : "light";
  }
  applyTheme();
  prefersDark.addEventListener("change", applyTheme);

  // --- Dash's callbacks -----------------------------------------------------------------------

  let revision = 0;
  let serverNow = Date.now() / 1000;

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    snapshot: {
      link(pathname, search, quick, zone, measure, sort, find, search_, user, host, submitted, site) {
        prefix = site.prefix;
        const triggered = window.dash_clientside.callback_context.triggered.map((one) => one.prop_id.split(".")[0]);
        const params = current();
        const before = query(params);
        const touched = triggered.filter((id) => id !== "url");
        if (!touched.length) window.dash_clientside.set_props("zone", { placeholder: browserZone() });
        for (const id of touched) {
          if (id === "quick" && quick) { params.delete("from"); params.delete("to"); put(params, "range", quick, DEFAULTS.quick); }
          if (id === "zone") put(params, "tz", (zone || "").trim());
          if (id === "measure") put(params, "measure", measure, DEFAULTS.measure);
          if (id === "sort") put(params, "sort", sort, DEFAULTS.sort);
          if (id === "find") put(params, "find", find);
          if (id === "table-find") put(params, "search", search_);
          if (id === "statement-user" && pageOf(pathname) === "statement") put(params, "user", (user || "").trim());
          if (id === "add-host" && host && host.trim() && !params.getAll("host").includes(host.trim())) params.append("host", host.trim());
        }
        const after = query(params);
        let written = none();
        if (after !== before) {
          // Each letter typed is no step to go back to.
          if (touched.every((id) => id === "find" || id === "table-find")) replaceQuery(params);
          else written = after;
        }
        const unless = (id, value) => (touched.includes(id) && id !== "add-host" ? none() : value);
        const values = [
          unless("quick", params.get("from") || params.get("to") ? null : params.get("range") || DEFAULTS.quick),
          unless("zone", params.get("tz") || ""),
          unless("measure", params.get("measure") || DEFAULTS.measure),
          unless("sort", params.get("sort") || DEFAULTS.sort),
          unless("find", params.get("find") || ""),
          unless("table-find", params.get("search") || ""),
          unless("statement-user", params.get("user") || ""),
          touched.includes("add-host") ? "" : none(),
        ];
        const custom = ["from", "to"].map((name) => {
          const moment = Date.parse(params.get(name) || "");
          if (touched.length) return none();
          try { return Number.isNaN(moment) ? "" : typed(moment, params.get("tz") || browserZone()); } catch { return ""; }
        });
        return [written, ...values, ...custom, chipsOf(params)];
      },

      open(pathname, search, news, site, viewer, ...asked) {
        prefix = site.prefix;
        tooltip.hide();
        if (window.dash_clientside.callback_context.triggered.some((one) => one.prop_id.startsWith("url."))) {
          document.getElementById("custom").open = false;
        }
        const zone = browserZone();
        const page = pageOf(pathname);
        const section = SECTION_OF[page];
        const params = new URLSearchParams(search || "");
        const follows = !params.get("to") || page === "statement" || page === "now"
          || Date.parse(params.get("to")) / 1000 > serverNow - RECENT;
        LOCAL.forEach((name) => params.delete(name));
        const request = { pathname: pathname || prefix, search: query(params), zone, narrow: window.innerWidth < 640, revision };
        const requests = SECTIONS.map((name, i) => {
          if (name !== section) return none();
          const last = asked[i];
          const same = last && last.pathname === request.pathname && last.search === request.search && last.zone === zone;
          if (same && (last.revision === revision || (!follows && !news?.failed))) return none();
          return request;
        });
        const links = Object.entries(PAGES).map(([path, name]) => {
          const kept = current();
          LOCAL.forEach((local) => name !== "overview" && kept.delete(local));
          // A user's filter stays where it means something.
          if (name !== "users" && name !== "statement") kept.delete("user");
          if (name !== "commands") kept.delete("command");
          if (name !== "statement") kept.delete("month");
          if (name === "overview") kept.delete("host");
          return prefix + path + query(kept);
        });
        for (const [path, name] of Object.entries(PAGES)) {
          const tab = document.getElementById(`tab-${name}`);
          if (tab) { if (name === page) tab.setAttribute("aria-current", "page"); else tab.removeAttribute("aria-current"); }
        }
        document.body.dataset.page = page;
        const hidden = SECTIONS.map((name) => name !== section);
        return [viewer?.zone === zone ? none() : { zone }, ...requests, ...links, ...hidden, page === "statement" || page === "now"];
      },

      async poll(_, news, site, ...outcomes) {
        prefix = site.prefix;
        if (document.hidden && news) return [none(), none(), none(), none()];
        const last = news || { revision: 0, down: false };
        let pulse, trouble = null;
        try {
          const answer = await fetch(`${prefix}pulse`, { credentials: "same-origin", cache: "no-store" });
          if (answer.status === 401) trouble = "You are no longer logged in; load the page again.";
          else {
            pulse = await answer.json();
            if (!answer.ok) trouble = "The data store does not answer. What is shown may be old; this page tries again by itself.";
          }
        } catch {
          trouble = "The dashboard does not answer. What is shown may be old; this page tries again by itself.";
        }
        if (trouble) {
          return [last.down ? none() : { ...last, down: true }, trouble, false, none()];
        }
        serverNow = pulse.now;
        const failed = outcomes.some((outcome) => outcome && outcome.failed && outcome.revision === revision);
        const changed = ["newest", "hosts", "live_until"].some((name) => news && news[name] !== pulse[name]);
        if (news && (changed || last.down || failed)) revision += 1;
        const next = { newest: pulse.newest, hosts: pulse.hosts, live_until: pulse.live_until, revision, failed, down: false };
        const age = pulse.newest === null ? null : pulse.now - pulse.newest - BUCKET;
        const zone = current().get("tz") || browserZone();
        let at = "";
        try { at = pulse.newest === null ? "" : formats(zone).time.format(new Date((pulse.newest + BUCKET) * 1000)); }
        catch { at = new Date((pulse.newest + BUCKET) * 1000).toISOString().slice(11, 16) + " UTC"; }
        const fresh = pulse.newest === null ? "no data yet" : `data up to ${at}`;
        const stale = age !== null && age > site.stale_seconds
          ? `Nothing new for ${ageText(age).replace(" ago", "")}: the collector or the pipeline has stopped.` : "";
        const same = news && JSON.stringify(news) === JSON.stringify(next);
        return [same ? none() : next, stale, !stale, fresh];
      },

      cards(data) { return [data ? cards.draw(data) : ""]; },

      chart(meta) {
        if (meta) { stack.meta = meta; attachStack(); orderTable(); }
        return [none()];
      },

      ordered(columns) {
        const sorted = (columns || []).find((column) => column.sort);
        const params = current();
        if (sorted && stack.ordered) {
          put(params, "order", `${sorted.sort === "desc" ? "-" : ""}${sorted.colId}`, DEFAULTS.order);
          if (query(params) !== query(current())) replaceQuery(params);
        }
        return [none()];
      },

      zoom(change) { if (change) zoomed(change); return [none()]; },

      pick(click, meta) {
        if (click && meta) {
          const chart = document.querySelector("#consumers-chart .js-plotly-plot");
          const name = chart?.data[click.points[0].curveNumber]?.meta;
          if (name) { tooltip.hide(); filterBy(meta.field, name); }
        }
        return [click ? null : none()];
      },

      theme(clicks) {
        if (clicks) {
          try { window.localStorage.setItem("snapshot-theme", isDark() ? "light" : "dark"); } catch { /* private window */ }
          applyTheme();
        }
        return [isDark() ? "Light" : "Dark"];
      },

      download(clicks, params, meta) {
        if (!clicks) return [none(), none()];
        return [true, { ...params, fileName: `${(meta?.file || "table").replace(/[^\w.-]+/g, "_")}.csv` }];
      },

      find_in_table(text, options) { return [{ ...options, quickFilterText: text || "" }]; },
    },
  });

  window.snapshotFilter = filterBy;
  window.snapshotNumber = number;
})();
