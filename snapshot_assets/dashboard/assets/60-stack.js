// The stacked chart of users and commands: its tooltip, and the order of the table below it.
"use strict";

(() => {
  const ours = (window.snapshot = window.snapshot || {});
  const { installation, current, number, spanText, element, tooltip, tableOf, painted } = ours;

  const stack = { meta: null, attached: null, ordered: false };

  // Sorts the table as the link says, as soon as the table exists.
  async function orderTable() {
    const table = await window.dash_ag_grid.getApiAsync("consumers-table");
    const order = current().get("order") || installation.defaults.order;
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
      const covered = meta.covered_hosts[i];
      const lines = [heading];
      if (!covered) lines.push(element("p", "", "No data: a gap, or the data has not arrived yet."));
      else {
        const machine = meta.machine[i], nobodys = meta.nobodys[i];
        const sums = [["together", number(total)], ...(machine === null ? [] : [[meta.machine_name, number(machine)]])];
        lines.push(tableOf(["", meta.unit], [...rows.reverse(), ...sums]));
        if (nobodys !== null) lines.push(element("p", "", `${number(nobodys)} ${meta.unit} in no user's figures: ${meta.nobodys_why}`));
        if (covered < meta.hosts) lines.push(element("p", "quiet", `${covered} of ${meta.hosts} hosts have data`));
      }
      tooltip.show(lines, event.event.clientX, event.event.clientY);
    });
    chart.on("plotly_unhover", () => tooltip.hide());
    painted("consumers", chart.layout.xaxis.range);
  }

  Object.assign(ours, { stack, attachStack, orderTable });
})();
