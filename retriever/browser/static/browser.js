// Keys on all pages, and light curves that zoom on those that have them. Pages work without this file too.
"use strict";

// ---- keys ----------------------------------------------------------------------------------------------------------

const KEYS = {
  j: () => document.querySelector("a[rel=next]"),
  k: () => document.querySelector("a[rel=prev]"),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=checkbox]), textarea, select");
  if (typing) {
    if (event.key === "Escape") typing.blur();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const button = [...document.querySelectorAll("button[data-key]")].find((each) => each.dataset.key === event.key);
  const note = event.key === "n" ? document.querySelector("input[name=note]") : null;
  const target = button || (KEYS[event.key] && KEYS[event.key]());
  if (note) note.focus();
  else if (target) target.click();
  if (note || target) event.preventDefault();
});

// ---- light curves --------------------------------------------------------------------------------------------------

const LABELS = { mag: "magnitude", flux: "flux", relative: "flux / median" };
const SHADE = "rgba(194, 65, 12, 0.18)";

class Curves {
  constructor(section) {
    this.section = section;
    this.controls = section.querySelector("#controls");
    this.told = section.querySelector("#told");
    this.place = section.querySelector("#charts");
    this.row = section.dataset.row === undefined ? null : Number(section.dataset.row);
    this.charts = [];
    this.plots = [];
    this.folded = false;
    this.near = this.row !== null;
    this.controls.hidden = false;
    this.controls.addEventListener("submit", (event) => { event.preventDefault(); this.draw(); });
    this.controls.addEventListener("change", (event) => {
      if (event.target.name === "level") this.load();
      else this.draw();
    });
    const fold = section.querySelector("#fold");
    fold.addEventListener("click", () => {
      this.folded = !this.folded;
      fold.setAttribute("aria-pressed", String(this.folded));
      this.draw();
    });
    section.querySelector("#whole").addEventListener("click", () => { this.near = false; this.draw(); });
    let waiting = 0;
    window.addEventListener("resize", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.plots.forEach((plot) => plot.setSize(this.size())), 100);
    });
    this.load();
  }

  value(name) { return this.controls.elements[name].value; }

  checked(name) { return this.controls.elements[name].checked; }

  size() {
    return { width: Math.max(240, this.place.clientWidth - 16), height: window.innerWidth < 640 ? 240 : 320 };
  }

  async load() {
    this.told.textContent = "loading";
    const level = encodeURIComponent(this.value("level"));
    try {
      const answer = await fetch(`${this.section.dataset.address}?level=${level}`);
      const found = await answer.json();
      if (!answer.ok) throw new Error(found.error);
      this.charts = found;
    } catch (error) {
      this.charts = [];
      this.place.replaceChildren();
      this.told.textContent = String(error.message || error);
      return;
    }
    if (this.value("level") === "raw") this.controls.elements.excluded.checked = true;
    const spans = this.charts.flatMap((chart) => chart.spans);
    const own = spans.find((span) => span.row === this.row) || spans.find((span) => span.period);
    const period = this.controls.elements.period;
    if (own && own.period && !period.value) period.value = String(Number(own.period.toPrecision(8)));
    const all = this.charts.reduce((sum, chart) => sum + chart.x.length, 0);
    const every = Math.max(1, ...this.charts.map((chart) => chart.every));
    this.told.textContent = !this.charts.length ? "There are no light curves."
      : every > 1 ? `${all} epochs; of long light curves one of ${every} epochs is shown.` : `${all} epochs`;
    this.draw();
  }

  draw() {
    this.plots.forEach((plot) => plot.destroy());
    this.place.replaceChildren();
    this.plots = this.charts.filter((chart) => chart.x.length).map((chart) => this.drawn(chart));
  }

  drawn(chart) {
    const period = Number(this.value("period"));
    const folded = this.folded && period > 0;
    const asked = this.value("values");
    const values = asked !== "auto" ? asked : chart.magnitudes ? "mag" : "flux";
    const peak = (chart.spans.find((span) => span.row === this.row) || chart.spans[0] || {}).peak;
    const data = columns(chart, values, folded ? period : 0, peak === undefined ? chart.x[0] : peak, this.checked("excluded"));
    const box = document.createElement("div");
    box.className = "chart";
    const title = document.createElement("h3");
    title.textContent = chart.name;
    box.append(title);
    this.place.append(box);
    const hidden = new Set();
    const label = values === "flux" && chart.unit ? `flux (${chart.unit})` : LABELS[values];
    const height = (u, low, high) => {
      if (low === null) return [0, 1];
      const margin = 0.08 * (high - low) || 0.05 * Math.abs(high) || 0.05;
      return [low - margin, high + margin];
    };
    const plot = new uPlot({
      ...this.size(),
      cursor: { drag: { x: true, y: true, uni: 30 }, points: { show: false } },
      legend: { show: false },
      scales: { x: { time: false }, y: { dir: values === "mag" ? -1 : 1, range: height } },
      axes: [
        { label: folded ? `phase (period ${period} d)` : chart.time, stroke: "#1e293b", grid: { stroke: "#e2e8f0" }, values: numbers },
        { label, stroke: "#1e293b", size: 80, grid: { stroke: "#e2e8f0" }, values: numbers },
      ],
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: {
        drawClear: [(u) => { if (!folded) shade(u, chart.spans, this.row); }],
        draw: [(u) => points(u, data, chart.groups, hidden, this.checked("errors"))],
      },
    }, [data.x, data.y], box);
    plot.root.querySelector("canvas").setAttribute("role", "img");
    plot.root.querySelector("canvas").setAttribute("aria-label", `${label} against ${folded ? "phase" : "time"}, ${chart.name}`);
    if (chart.groups.length > 1) box.append(this.legend(chart, data, hidden, plot));
    const reasons = Object.entries(chart.dropped).map(([reason, n]) => `${n} ${reason}`);
    if (reasons.length) {
      const note = document.createElement("p");
      note.textContent = `crossed: ${reasons.join(", ")}`;
      box.append(note);
    }
    const own = chart.spans.find((span) => span.row === this.row);
    if (this.near && own && !folded) zoom(plot, data, own);
    return plot;
  }

  legend(chart, data, hidden, plot) {
    const list = document.createElement("div");
    list.className = "groups";
    chart.groups.forEach((group, k) => {
      const label = document.createElement("label");
      const box = document.createElement("input");
      const mark = document.createElement("span");
      box.type = "checkbox";
      box.checked = true;
      box.addEventListener("change", () => {
        if (box.checked) hidden.delete(k); else hidden.add(k);
        // what is hidden takes no room
        plot.setData([data.x, data.y.map((y, i) => (hidden.has(data.group[i]) ? null : y))], false);
        plot.redraw();
      });
      mark.textContent = "●";
      mark.style.color = group.color;
      label.append(box, mark, document.createTextNode(group.name));
      list.append(label);
    });
    return list;
  }
}

// As astronomers write them: MJD has no commas.
function numbers(u, splits, axis, space, step) {
  const digits = Math.min(9, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  return splits.map((value) => value === null ? "" : value.toFixed(digits));
}

// The columns of a chart as they are drawn: in the order of time or phase, excluded epochs only where they are wanted.
function columns(chart, values, period, zero, excluded) {
  const errors = chart[`${values}_err`];
  let order = [...chart.x.keys()].filter((i) => chart[values][i] !== null && (excluded || chart.usable[i]));
  let x = chart.x;
  if (period > 0) {
    x = chart.x.map((time) => { const turn = (time - zero) / period + 0.5; return turn - Math.floor(turn) - 0.5; });
    order.sort((a, b) => x[a] - x[b]);
  }
  const take = (column) => order.map((i) => column[i]);
  return { x: take(x), y: take(chart[values]), error: take(errors), group: take(chart.group), usable: take(chart.usable) };
}

function shade(u, spans, row) {
  const { left, width, top, height } = u.bbox;
  u.ctx.save();
  u.ctx.fillStyle = SHADE;
  for (const span of spans) {
    const from = u.valToPos(span.from, "x", true), to = u.valToPos(span.to, "x", true);
    const least = span.row === row ? 6 : 3;
    const low = Math.max(left, Math.min(from, (from + to - least) / 2)), high = Math.min(left + width, Math.max(to, (from + to + least) / 2));
    if (high > low) u.ctx.fillRect(low, top, high - low, height);
  }
  u.ctx.restore();
}

function points(u, data, groups, hidden, errors) {
  const { ctx, bbox } = u;
  const [first, last] = u.series[0].idxs || [0, data.x.length - 1];
  if (first === null) return;
  const bars = errors && last - first < 3000;
  const radius = (last - first > 3000 ? 1.2 : 2.4) * devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.lineWidth = devicePixelRatio;
  for (let i = first; i <= last; i++) {
    if (hidden.has(data.group[i])) continue;
    const color = data.usable[i] ? groups[data.group[i]].color : "#64748b";
    const x = u.valToPos(data.x[i], "x", true), y = u.valToPos(data.y[i], "y", true);
    ctx.strokeStyle = ctx.fillStyle = color;
    if (!data.usable[i]) {
      ctx.beginPath();
      ctx.moveTo(x - 3, y - 3); ctx.lineTo(x + 3, y + 3); ctx.moveTo(x - 3, y + 3); ctx.lineTo(x + 3, y - 3);
      ctx.stroke();
      continue;
    }
    if (bars && data.error[i] !== null) {
      ctx.globalAlpha = 0.45;
      ctx.beginPath();
      ctx.moveTo(x, u.valToPos(data.y[i] - data.error[i], "y", true));
      ctx.lineTo(x, u.valToPos(data.y[i] + data.error[i], "y", true));
      ctx.stroke();
      ctx.globalAlpha = 1;
    }
    ctx.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
  }
  ctx.restore();
}

// What is around a detection: five times its length on both sides, and at least ten epochs.
function zoom(plot, data, span) {
  const before = data.x.filter((time) => time < span.from), after = data.x.filter((time) => time > span.to);
  const reach = 5 * (span.to - span.from);
  const low = Math.min(span.from - reach, before.length ? before[Math.max(0, before.length - 10)] : span.from);
  const high = Math.max(span.to + reach, after.length ? after[Math.min(9, after.length - 1)] : span.to);
  if (high > low) plot.setScale("x", { min: low, max: high });
}

for (const section of document.querySelectorAll("#curves")) new Curves(section);
