// Numbers and times as text. Times are formatted in the zone that the server used.
"use strict";

(() => {
  const ours = (window.snapshot = window.snapshot || {});

  const browserZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

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

  // As people type a time; in an hour that the clocks show twice, with the offset.
  function typed(time, zone) {
    const parts = { dateStyle: "short", timeStyle: "short", timeZone: zone };
    const wall = (at) => new Intl.DateTimeFormat("sv-SE", parts).format(new Date(at));
    const twice = [-1, 1].some((hour) => wall(time + hour * 3_600_000) === wall(time));
    if (!twice) return wall(time);
    const named = new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "longOffset" });
    const offset = named.formatToParts(new Date(time)).find((part) => part.type === "timeZoneName").value;
    return wall(time) + (offset.slice(3) || "Z");
  }

  function ageText(seconds) {
    const minutes = Math.round(seconds / 60);
    if (minutes < 60) return `${minutes} min`;
    const hours = Math.floor(minutes / 60);
    return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
  }

  Object.assign(ours, { browserZone, number, formats, spanText, typed, ageText });
})();
