// The page's link: its parameters, and the controls that change it.
//
// All scripts share `window.snapshot`; Dash loads them in the order of their names.
"use strict";

(() => {
  const ours = (window.snapshot = window.snapshot || {});

  // The browser alone sorts, finds and pins; the server does not need these parameters.
  const LOCAL = ["sort", "find", "pin", "search", "order"];

  // What `installation` holds (browser.py); set by each callback that reads it.
  const installation = { prefix: "/", stale_seconds: Infinity, pages: {}, sections: {}, defaults: {} };

  const current = () => new URLSearchParams(window.location.search);
  const query = (params) => { const text = params.toString(); return text ? `?${text}` : ""; };
  const pageOf = (pathname) => installation.pages[(pathname || "").slice(installation.prefix.length).replace(/\/+$/, "")] || "overview";
  const go = (change) => window.dash_clientside.set_props("url", change);

  function put(params, name, value, usual) {
    if (value === null || value === undefined || value === "" || value === usual) params.delete(name);
    else params.set(name, value);
  }

  // Without a step in the browser's history.
  function replaceQuery(params) {
    window.history.replaceState(window.history.state, "", window.location.pathname + query(params));
  }

  function setRange(start, end) {
    const params = current();
    const text = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 16) + "Z";
    params.delete("range");
    params.set("from", text(start));
    params.set("to", text(end));
    go({ search: query(params) });
  }

  // The page of users shows one user, the page of commands one command.
  function filterBy(field, name) {
    const params = current();
    params.delete("user");
    params.delete("command");
    params.set(field === "username" ? "user" : "command", name);
    go({ pathname: installation.prefix + (field === "username" ? "users" : "commands"), search: query(params) });
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
    for (const name of ["user", "command"]) {
      if (params.get(name)) chips.push(chip(`${name} ${params.get(name)} ✕`, "Remove this filter", name, params.get(name)));
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

  Object.assign(ours, { LOCAL, installation, current, query, pageOf, go, put, replaceQuery, setRange, filterBy, chipsOf });
})();
