// Dash's clientside callbacks: they keep the controls, the link, the pages and the news in step.
//
// snapshot_assets/dashboard/browser.py declares for each function here which properties it reads
// and writes. A function takes an object with the values it reads and the ids of the components
// that triggered it, and returns an object with new values; properties that it leaves out stay.
"use strict";

(() => {
  const ours = window.snapshot;
  const { LOCAL, installation, current, query, pageOf, put, replaceQuery, filterBy, chipsOf } = ours;
  const { browserZone, formats, typed, ageText, tooltip, BUCKET, cards, zoomed, stack, attachStack, orderTable } = ours;

  // A range that ended longer ago does not change from one poll to the next.
  const RECENT = 7200;

  let revision = 0;
  let serverNow = Date.now() / 1000;

  // --- by name --------------------------------------------------------------------------------

  const declared = (values) => new Proxy(values, {
    get(target, name) {
      if (!(name in target)) throw new Error(`browser.py does not declare that this function reads ${name}`);
      return target[name];
    },
  });

  // From Dash's lists of arguments to objects and back.
  function named(run) {
    return () => {
      const { inputs, states, outputs_list: outputs, triggered } = window.dash_clientside.callback_context;
      const names = (outputs || []).map(({ id, property }) => `${id}.${property}`);
      const listed = (written = {}) => {
        const unknown = Object.keys(written).filter((name) => !names.includes(name));
        if (unknown.length) throw new Error(`browser.py does not declare that this function writes ${unknown}`);
        return names.map((name) => (name in written ? written[name] : window.dash_clientside.no_update));
      };
      const ids = triggered.map((one) => one.prop_id.split(".")[0]);
      const result = run(declared({ ...inputs, ...states }), ids);
      return result instanceof Promise ? result.then(listed) : listed(result);
    };
  }

  // --- the link and the controls --------------------------------------------------------------

  function link(values, triggered) {
    Object.assign(installation, values["installation.data"]);
    const { defaults } = installation;
    const params = current();
    const before = query(params);
    const touched = triggered.filter((id) => id !== "url");
    if (!touched.length) window.dash_clientside.set_props("zone", { placeholder: browserZone() });
    const trimmed = (name) => (values[name] || "").trim();
    const change = {
      quick() {
        if (!values["quick.value"]) return;
        params.delete("from");
        params.delete("to");
        put(params, "range", values["quick.value"], defaults.range);
      },
      zone() { put(params, "tz", trimmed("zone.value")); },
      measure() { put(params, "measure", values["measure.value"], defaults.measure); },
      sort() { put(params, "sort", values["sort.value"], defaults.sort); },
      find() { put(params, "find", values["find.value"]); },
      "table-find"() { put(params, "search", values["table-find.value"]); },
      "statement-user"() {
        if (pageOf(values["url.pathname"]) === "statement") put(params, "user", trimmed("statement-user.value"));
      },
      "add-host"() {
        const host = trimmed("add-host.value");
        if (host && !params.getAll("host").includes(host)) params.append("host", host);
      },
    };
    for (const id of touched) change[id]();
    const written = { "chips.children": chipsOf(params) };
    const after = query(params);
    if (after !== before) {
      // Each letter typed is no step to go back to.
      if (touched.every((id) => id === "find" || id === "table-find")) replaceQuery(params);
      else written["url.search"] = after;
    }
    const shown = {
      quick: params.get("from") || params.get("to") ? null : params.get("range") || defaults.range,
      zone: params.get("tz") || "",
      measure: params.get("measure") || defaults.measure,
      sort: params.get("sort") || defaults.sort,
      find: params.get("find") || "",
      "table-find": params.get("search") || "",
      "statement-user": params.get("user") || "",
    };
    for (const [id, value] of Object.entries(shown)) if (!touched.includes(id)) written[`${id}.value`] = value;
    if (touched.includes("add-host")) written["add-host.value"] = "";
    if (!touched.length) {
      for (const name of ["from", "to"]) written[`custom-${name}.value`] = typedTime(params, name);
    }
    return written;
  }

  function typedTime(params, name) {
    const time = Date.parse(params.get(name) || "");
    try { return Number.isNaN(time) ? "" : typed(time, params.get("tz") || browserZone()); } catch { return ""; }
  }

  // --- the open page --------------------------------------------------------------------------

  function open(values, triggered) {
    Object.assign(installation, values["installation.data"]);
    const { prefix, pages, sections } = installation;
    tooltip.hide();
    if (triggered.includes("url")) document.getElementById("custom").open = false;
    const zone = browserZone();
    const page = pageOf(values["url.pathname"]);
    const params = new URLSearchParams(values["url.search"] || "");
    const follows = !params.get("to") || page === "statement" || page === "now"
      || Date.parse(params.get("to")) / 1000 > serverNow - RECENT;
    LOCAL.forEach((name) => params.delete(name));
    const request = {
      pathname: values["url.pathname"] || prefix,
      search: query(params),
      zone,
      narrow: window.innerWidth < 640,
      revision,
    };
    const written = { "controls.hidden": page === "statement" || page === "now" };
    if (values["viewer.data"]?.zone !== zone) written["viewer.data"] = { zone };
    const last = values[`request-${sections[page]}.data`];
    const same = last && last.pathname === request.pathname && last.search === request.search && last.zone === zone;
    const known = same && (last.revision === revision || (!follows && !values["news.data"]?.failed));
    if (!known) written[`request-${sections[page]}.data`] = request;
    for (const [path, name] of Object.entries(pages)) {
      written[`tab-${name}.href`] = prefix + path + query(keptOn(name));
      const tab = document.getElementById(`tab-${name}`);
      if (tab) { if (name === page) tab.setAttribute("aria-current", "page"); else tab.removeAttribute("aria-current"); }
    }
    for (const section of Object.values(sections)) written[`page-${section}.hidden`] = section !== sections[page];
    return written;
  }

  // The parameters that still mean something on another page.
  function keptOn(page) {
    const kept = current();
    LOCAL.forEach((local) => page !== "overview" && kept.delete(local));
    if (page !== "users" && page !== "statement") kept.delete("user");
    if (page !== "commands") kept.delete("command");
    if (page !== "statement") kept.delete("month");
    if (page === "overview") kept.delete("host");
    return kept;
  }

  // --- news -----------------------------------------------------------------------------------

  async function poll(values) {
    Object.assign(installation, values["installation.data"]);
    const news = values["news.data"];
    if (document.hidden && news) return {};
    const last = news || { revision: 0, down: false };
    const { pulse, trouble } = await fetchPulse();
    if (trouble) {
      return {
        ...(last.down ? {} : { "news.data": { ...last, down: true } }),
        "banner.children": trouble,
        "banner.hidden": false,
      };
    }
    serverNow = pulse.now;
    const failed = Object.values(installation.sections).some((section) => {
      const outcome = values[`outcome-${section}.data`];
      return outcome && outcome.failed && outcome.revision === revision;
    });
    const changed = ["newest", "hosts", "live_until"].some((name) => news && news[name] !== pulse[name]);
    if (news && (changed || last.down || failed)) revision += 1;
    const next = { newest: pulse.newest, hosts: pulse.hosts, live_until: pulse.live_until, revision, failed, down: false };
    const age = pulse.newest === null ? null : pulse.now - pulse.newest - BUCKET;
    const stale = age !== null && age > installation.stale_seconds
      ? `No new data for ${ageText(age)}: the collector or the pipeline has stopped.` : "";
    return {
      ...(news && Object.keys(next).every((name) => news[name] === next[name]) ? {} : { "news.data": next }),
      "banner.children": stale,
      "banner.hidden": !stale,
      "freshness.children": pulse.newest === null ? "no data yet" : `data up to ${clockTime(pulse.newest + BUCKET)}`,
    };
  }

  async function fetchPulse() {
    try {
      const answer = await fetch(`${installation.prefix}pulse`, { credentials: "same-origin", cache: "no-store" });
      if (answer.status === 401) return { trouble: "You are no longer logged in; load the page again." };
      const pulse = await answer.json();
      if (answer.ok) return { pulse };
      return { trouble: "The data store does not answer. The page may show old data; it tries again by itself." };
    } catch {
      return { trouble: "The dashboard does not answer. The page may show old data; it tries again by itself." };
    }
  }

  function clockTime(seconds) {
    const time = new Date(seconds * 1000);
    try { return formats(current().get("tz") || browserZone()).time.format(time); } catch { return `${time.toISOString().slice(11, 16)} UTC`; }
  }

  // Who comes back to the page need not wait for the next poll.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) window.dash_clientside.set_props("poll", { n_intervals: Date.now() });
  });

  // --- charts and tables ----------------------------------------------------------------------

  function chart(values) {
    const meta = values["consumers-meta.data"];
    if (meta) { stack.meta = meta; attachStack(); orderTable(); }
  }

  function ordered(values) {
    const sorted = (values["consumers-table.columnState"] || []).find((column) => column.sort);
    if (!sorted || !stack.ordered) return;
    const params = current();
    put(params, "order", `${sorted.sort === "desc" ? "-" : ""}${sorted.colId}`, installation.defaults.order);
    if (query(params) !== query(current())) replaceQuery(params);
  }

  function pick(values) {
    const click = values["consumers-chart.clickData"];
    const meta = values["consumers-meta.data"];
    if (!click) return {};
    const layers = document.querySelector("#consumers-chart .js-plotly-plot")?.data;
    const name = layers?.[click.points[0].curveNumber]?.meta;
    if (meta && name) { tooltip.hide(); filterBy(meta.field, name); }
    // Without a value here, Dash would not notice a second click on the same layer.
    return { "consumers-chart.clickData": null };
  }

  const download = (page) => (values) => {
    const file = values[`${page}-meta.data`]?.file || "table";
    const params = values[`${page}-table.csvExportParams`];
    return {
      [`${page}-table.exportDataAsCsv`]: true,
      [`${page}-table.csvExportParams`]: { ...params, fileName: `${file.replace(/[^\w.-]+/g, "_")}.csv` },
    };
  };

  function theme(values) {
    if (values["theme.n_clicks"]) ours.switchTheme();
    return { "theme.children": ours.isDark() ? "Light" : "Dark" };
  }

  const functions = {
    link,
    open,
    poll,
    chart,
    ordered,
    pick,
    theme,
    cards(values) { return { "overview-count.children": cards.draw(values["overview-data.data"]) }; },
    zoom(values) { zoomed(values["consumers-chart.relayoutData"]); },
    download_consumers: download("consumers"),
    download_statement: download("statement"),
    find_in_table(values) {
      const options = { ...values["consumers-table.dashGridOptions"], quickFilterText: values["table-find.value"] || "" };
      return { "consumers-table.dashGridOptions": options };
    },
  };

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    snapshot: Object.fromEntries(Object.entries(functions).map(([name, run]) => [name, named(run)])),
  });
})();
