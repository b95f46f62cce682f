// What dash-ag-grid looks up by name: number formats, exported cells, a cell with a link.
"use strict";

(() => {
  const functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
  const components = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

  functions.snapshotNumber = (value) => window.snapshot.number(value);

  // Hours add up, so they keep a decimal.
  functions.snapshotHours = (value) =>
    value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

  // A spreadsheet would run a name such as =HYPERLINK(…) as a formula.
  functions.snapshotCell = (params) =>
    typeof params.value === "string" && /^[=+\-@\t\r]/.test(params.value) ? `'${params.value}` : params.value;

  components.SnapshotName = (props) => {
    const name = props.value;
    if (name === "(other)") return React.createElement("span", { className: "quiet" }, "not listed by name");
    const { field, prefix } = props.colDef.cellRendererParams;
    const shown = name.replace(unseen, "\uFFFD");
    const params = new URLSearchParams(window.location.search);
    ["user", "command"].forEach((one) => params.delete(one));
    params.set(field === "username" ? "user" : "command", name);
    const href = `${prefix}${field === "username" ? "users" : "commands"}?${params}`;
    return React.createElement("a", {
      href,
      onClick: (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        window.snapshot.filterBy(field, name);
      },
    }, React.createElement("bdi", null, shown));
  };
})();
