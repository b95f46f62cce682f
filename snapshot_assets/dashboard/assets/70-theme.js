// Light and dark.
"use strict";

(() => {
  const ours = (window.snapshot = window.snapshot || {});

  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const stored = () => { try { return window.localStorage.getItem("snapshot-theme"); } catch { return null; } };
  const isDark = () => (stored() ? stored() === "dark" : prefersDark.matches);
  function applyTheme() {
    document.documentElement.dataset.theme = isDark() ? "dark" : "light";
    document.documentElement.dataset.agThemeMode = isDark() ? "dark" : "light";
  }
  function switchTheme() {
    try { window.localStorage.setItem("snapshot-theme", isDark() ? "light" : "dark"); } catch { /* private window */ }
    applyTheme();
  }

  applyTheme();
  prefersDark.addEventListener("change", applyTheme);

  Object.assign(ours, { isDark, switchTheme });
})();
