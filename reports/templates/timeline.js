// Hover, zoom and keys for the timeline. Everything that is shown was drawn before this ran; zooming
// only moves --t0 and --span, from which the style sheet places all that stands on the axis.
(() => {
  "use strict";
  const root = document.getElementById("timeline");
  const source = document.getElementById("timeline-columns");
  if (!root || !source) return;
  const told = JSON.parse(source.textContent);
  const { span, zero, wall, columns } = told;
  const chart = root.querySelector(".chart");
  const overlay = root.querySelector(".overlay");
  const cursor = root.querySelector(".cursor");
  const selection = root.querySelector(".selection");
  const view = { from: 0, span };
  const LEAST = Math.min(100, span);
  let at = null;

  const number = (element, name) => Number(element.style.getPropertyValue(name));
  const seconds = (ms, digits) => {
    const boxes = [...root.querySelectorAll(".seg, .window")].map((box) => ({
    a: number(box, "--a"), b: number(box, "--b"), text: box.firstElementChild,
  }));
  const value = (ms - zero) / 1000;
    return (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(digits) + " s";
  };
  const duration = (ms) => (ms < 100 ? +ms.toPrecision(3) + " ms" : +(ms / 1000).toPrecision(4) + " s");
  const clock = (ms, digits) => new Date(wall + ms).toISOString().slice(11, 19 + (digits ? digits + 1 : 0));

  // ---- what lies under the cursor
  const column = (edges, ms) => {
    let low = 0, high = edges.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (edges[middle] <= ms) low = middle; else high = middle;
    }
    return low;
  };
  const rates = (key, ms) => {
    const edges = columns.rates, n = column(edges, ms), series = columns[key];
    const said = ["ok", "late", "unknown", "failed"]
      .filter((name) => series[name] && series[name][n])
      .map((name) => series[name][n] + " " + name);
    return said.length ? said.join(", ") + " in " + duration(edges[n + 1] - edges[n]) : "nothing recorded";
  };
  const latency = (key, ms) => {
    const n = column(columns.latencies, ms), series = columns[key], said = [];
    if (series.p50[n] !== null) said.push(duration(series.p50[n]) + ", max " + duration(series.max[n]));
    if (series.error[n] !== null) said.push("error after " + duration(series.error[n]));
    return said.join("; ") || "no operation";
  };
  const connections = (key, ms) => {
    const n = column(columns.connections, ms), series = columns[key] || {};
    const said = Object.keys(series).filter((name) => series[name][n]).map((name) => series[name][n] + " " + name);
    return said.join(", ") || "none open";
  };
  const segment = (lane, ms) => {
    const found = [...lane.querySelectorAll(".seg")].find((s) => number(s, "--a") <= ms && ms < number(s, "--b"));
    return found ? found.textContent : "";
  };
  const rows = (lane, ms) => {
    const names = [...lane.querySelectorAll(".rowname")].map((name) => name.textContent);
    return [...lane.querySelectorAll("svg path")]
      .map((path, n) => {
        for (const [, a, width] of path.getAttribute("d").matchAll(/M(-?\d+) [\d.]+h(\d+)/g))
          if (+a <= ms && ms <= +a + +width) return names[n];
        return null;
      })
      .filter(Boolean)
      .join(", ");
  };
  const nearest = (lane, ms) => {
    let best = null, distance = view.span / 40;
    for (const mark of lane.querySelectorAll(".mark")) {
      const off = Math.abs(number(mark, "--a") - ms);
      if (off <= distance) { best = mark; distance = off; }
    }
    return best ? best.dataset.text : "";
  };
  const lanes = [...root.querySelectorAll(".lane")].map((lane) => ({
    lane, output: lane.querySelector("output"), key: lane.dataset.key, kind: lane.dataset.kind,
  }));
  const boxes = [...root.querySelectorAll(".seg, .window")].map((box) => ({
    a: number(box, "--a"), b: number(box, "--b"), text: box.firstElementChild,
  }));
  const value = ({ lane, key, kind }, ms) => {
    if (kind === "rates" || kind === "strip") return rates(key, ms);
    if (kind === "latency") return latency(key, ms);
    if (kind === "rows") return rows(lane, ms);
    if (kind === "connections") return connections(key, ms);
    return kind === "marks" ? nearest(lane, ms) : segment(lane, ms);
  };
  const show = (ms) => {
    at = ms === null ? null : Math.max(0, Math.min(span, ms));
    cursor.hidden = at === null;
    if (at !== null) cursor.style.setProperty("--a", at);
    for (const entry of lanes) entry.output.textContent = at === null ? "" : value(entry, at);
    const [above, below] = root.querySelectorAll(".when");
    above.textContent = at === null ? "" : seconds(at, 3);
    below.textContent = at === null ? "" : clock(at, 3) + " UTC";
  };

  // ---- the part in view
  const step = (least) => {
    const power = 10 ** Math.floor(Math.log10(least));
    return Math.max(1, [1, 2, 5, 10].find((n) => n * power >= least * (1 - 1e-9)) * power);
  };
  const retick = () => {
    const size = step(view.span / 8), digits = size % 1000 === 0 ? 0 : size % 100 === 0 ? 1 : size % 10 === 0 ? 2 : 3;
    const places = [];
    for (let n = Math.ceil((view.from - zero) / size); zero + n * size <= view.from + view.span; n++) places.push(zero + n * size);
    const fill = (parent, make) => parent.replaceChildren(...places.map(make));
    const label = (text) => (ms) => {
      const tick = document.createElement("span");
      tick.style.setProperty("--a", ms);
      tick.textContent = text(ms);
      return tick;
    };
    const [above, below] = root.querySelectorAll(".ticks");
    fill(above, label((ms) => (ms === zero ? "0" : seconds(ms, digits))));
    fill(below, label((ms) => clock(ms, Math.min(digits, 3))));
    fill(root.querySelector(".grid"), (ms) => {
      const rule = document.createElement("i");
      rule.style.setProperty("--a", ms);
      if (ms === zero) rule.className = "zero";
      return rule;
    });
  };
  const declutter = () => {
    const pixels = overlay.clientWidth / view.span;
    if (!pixels) return;
    for (const lane of root.querySelectorAll(".lane.marks")) {
      let free = -Infinity;
      const marks = [...lane.querySelectorAll(".mark")].sort((a, b) => number(a, "--a") - number(b, "--a"));
      for (const mark of marks) {
        const x = number(mark, "--a") * pixels;
        mark.classList.toggle("bare", x < free);
        if (x >= free) free = x + 22;
      }
    }
    for (const pattern of document.querySelectorAll("pattern.stretch"))
      pattern.setAttribute("width", +pattern.getAttribute("viewBox").split(" ")[2] / pixels);
  };
  // What began before the part in view keeps its text in view.
  const keep = () => {
    const pixels = overlay.clientWidth / view.span;
    for (const box of boxes) {
      const hidden = box.a < view.from && view.from < box.b ? (view.from - box.a) * pixels : 0;
      box.text.style.marginLeft = hidden ? hidden + "px" : "";
    }
  };
  const look = (from, width) => {
    view.span = Math.max(LEAST, Math.min(span, width));
    view.from = Math.max(0, Math.min(span - view.span, from));
    root.style.setProperty("--t0", view.from);
    root.style.setProperty("--span", view.span);
    for (const svg of root.querySelectorAll(".plot svg")) svg.setAttribute("viewBox", `${view.from} 0 ${view.span} 100`);
    const whole = view.span === span;
    root.querySelector(".range").textContent = whole ? "" : seconds(view.from, 2) + " to " + seconds(view.from + view.span, 2);
    retick();
    declutter();
    keep();
  };
  const zoom = (factor, around) => {
    const centre = around ?? at ?? view.from + view.span / 2;
    const width = Math.max(LEAST, Math.min(span, view.span * factor));
    look(centre - ((centre - view.from) / view.span) * width, width);
  };
  const reset = () => look(0, span);
  const fault = () => {
    const band = root.querySelector(".band");
    if (!band) return;
    const a = number(band, "--a"), length = Math.max(number(band, "--b") - a, 1000);
    look(a - length * 0.25, length * 1.5);
  };

  // ---- pointer, wheel, keys, buttons
  const instant = (event) => {
    const box = overlay.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    return share < 0 || share > 1 ? null : view.from + share * view.span;
  };
  let grip = null;
  chart.addEventListener("pointermove", (event) => {
    const ms = instant(event);
    if (ms !== null || grip === null) show(ms);
    if (grip === null || ms === null) return;
    selection.hidden = false;
    selection.style.setProperty("--a", Math.min(grip, ms));
    selection.style.setProperty("--b", Math.max(grip, ms));
  });
  chart.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest("summary")) return;
    grip = instant(event);
  });
  const release = () => {
    if (grip !== null && !selection.hidden) {
      const a = number(selection, "--a"), b = number(selection, "--b");
      if ((b - a) * (overlay.clientWidth / view.span) > 6) look(a, b - a);
    }
    grip = null;
    selection.hidden = true;
  };
  window.addEventListener("pointerup", release);
  window.addEventListener("pointercancel", () => { selection.hidden = true; grip = null; });
  chart.addEventListener("pointerleave", () => { if (grip === null) show(null); });
  chart.addEventListener("dblclick", (event) => { if (!event.target.closest("summary")) reset(); });
  chart.addEventListener("wheel", (event) => {
    const ms = instant(event);
    if (ms === null || !(event.ctrlKey || event.metaKey || event.altKey || event.target.closest(".axis"))) return;
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, ms);
  }, { passive: false });
  const actions = { in: () => zoom(0.5), out: () => zoom(2), reset, fault };
  const keys = { "+": actions.in, "=": actions.in, "-": actions.out, 0: reset, f: fault, Escape: () => { show(null); reset(); } };
  chart.addEventListener("keydown", (event) => {
    if (event.target !== chart || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const way = event.key === "ArrowLeft" ? -1 : 1, by = (view.span / (event.shiftKey ? 10 : 200)) * way;
      show((at ?? view.from + view.span / 2) + by);
      if (at < view.from || at > view.from + view.span) look(view.from + by, view.span);
    } else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
  });
  for (const button of root.querySelectorAll("button[data-do]"))
    button.addEventListener("click", () => actions[button.dataset.do]());
  if (!root.querySelector(".band")) root.querySelector('[data-do="fault"]').remove();
  root.querySelector(".tools").hidden = false;
  window.addEventListener("resize", declutter);
  window.addEventListener("beforeprint", () => { show(null); reset(); });
  // Measuring lays the timeline out, so it waits until somebody looks.
  new IntersectionObserver((seen, observer) => {
    if (!seen.some((entry) => entry.isIntersecting)) return;
    declutter();
    observer.disconnect();
  }).observe(root);
})();
