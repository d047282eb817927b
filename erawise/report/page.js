"use strict";
const page = JSON.parse(document.getElementById("page-data").textContent);
const root = document.documentElement;
const state = { ...page.state };
const views = new Map();
const LEAST_ERAS = 3;
const LEAST_DRAG = 8;

const rows = [];
for (const [prediction, splits] of Object.entries(page.scores))
  for (const [split, { era, ...scores }] of Object.entries(splits))
    era.forEach((one, k) => rows.push({ era: one, split, prediction, ...Object.fromEntries(Object.entries(scores).map(([name, values]) => [name, values[k]])) }));

const all = (selector) => [...document.querySelectorAll(selector)];
const [first, last, range, theme] = ["first", "last", "range", "theme"].map((name) => document.getElementById(name));

// predictions come in the order of their values; what is switched off has none to tell
function told(value, sanitize) {
  const cells = Object.entries(value).filter(([, text]) => text !== "NaN" && text !== "undefined" && text !== "null");
  const worth = ([key, text]) => (key in page.scores ? Number(text.replace("−", "-")) : Infinity);
  cells.sort((one, other) => (worth(one) === worth(other) ? 0 : worth(other) - worth(one)));
  const lines = cells.map(([key, text]) => `<tr><td class="key">${sanitize(key)}</td><td class="value">${sanitize(text)}</td></tr>`);
  return `<table>${lines.join("")}</table>`;
}

const SETTINGS = { mode: "vega", renderer: "svg", actions: false, logLevel: 1, tooltip: { theme: "custom", formatTooltip: told } };

async function draw(place) {
  if (place.dataset.live) return;
  place.dataset.live = "coming";
  const spec = structuredClone(page.figures[place.dataset.figure]);
  for (const data of spec.data || []) if (data.name === page.table) data.values = rows;
  const drawn = document.createElement("div");
  const { view } = await vegaEmbed(drawn, spec, SETTINGS);
  const signals = new Set((spec.signals || []).map((signal) => signal.name));
  const names = Object.keys(state).filter((name) => signals.has(name));
  for (const name of names) view.signal(name, state[name]);
  views.set(place, { view, names });
  fit(place, view);
  await view.runAsync();
  place.replaceChildren(drawn);
  place.dataset.live = "yes";
  if (place.dataset.zoom === "yes") brush(place, view);
}

function fit(place, view) {
  const room = place.clientWidth;
  view.width(place.dataset.width ? Math.min(room, Number(place.dataset.width)) : room);
}

function change(part) {
  // one picker: the prediction in focus is also the model, if it is one, and is never compared with itself
  if ("focus" in part && page.models.includes(part.focus)) part.model = part.focus;
  if ("focus" in part && part.focus === (part.against || state.against)) part.against = state.focus;
  if ("against" in part && part.against === (part.focus || state.focus)) part.focus = state.against;
  Object.assign(state, part);
  const measures = page.measures[state.model] || [];
  if (measures.length && !measures.includes(state.measure)) part.measure = state.measure = measures[0];
  for (const { view, names } of views.values()) {
    const touched = names.filter((name) => name in part);
    for (const name of touched) view.signal(name, state[name]);
    if (touched.length) view.runAsync();
  }
  // so that paper shows one state, not two
  for (const place of all(".plot[data-figure]")) draw(place);
  show();
}

// controls and sentences say what the state is
function show() {
  first.value = state.first;
  last.value = state.last;
  const weeks = state.last - state.first + 1;
  const whole = state.first === page.state.first && state.last === page.state.last;
  range.textContent = whole ? `all ${weeks} weeks` : `${weeks} weeks; headlines are of all`;
  for (const box of all("input[name=shown]")) box.checked = state.shown.includes(box.value);
  for (const radio of all("input[name=score]")) radio.checked = radio.value === state.score;
  for (const piece of all("[data-score]")) piece.hidden = piece.dataset.score !== state.score;
  for (const select of all("select[data-state]")) select.value = state[select.dataset.state];
  const measures = page.measures[state.model] || [];
  for (const option of all("select[data-state=measure] option")) option.disabled = !measures.includes(option.value);
  for (const pair of all("[data-pair]")) pair.textContent = page.pairs[`${state.score}/${pair.dataset.pair}/${state.focus}/${state.against}`] || "";
  for (const [name, { keys, titles, alt }] of Object.entries(page.titles)) {
    const title = titles[keys.map((key) => state[key]).join("/")];
    const place = document.querySelector(`.plot[data-figure="${name}"]`);
    if (title === undefined || !place) continue;
    place.closest("figure").querySelector("h3").textContent = title;
    place.setAttribute("aria-label", `${title}. ${alt}`);
  }
}

function zoom(low, high) {
  const inside = (era) => Math.max(page.state.first, Math.min(page.state.last, Math.round(era)));
  change({ first: inside(low), last: inside(high) });
}

// the field that was typed into stays, the other one makes room
function typed(input) {
  const [low, high] = [Number(first.value), Number(last.value)];
  if (!first.value || !last.value) return show();
  const least = LEAST_ERAS - 1;
  if (input === first) {
    const start = Math.min(Math.max(low, page.state.first), page.state.last - least);
    zoom(start, Math.max(high, start + least));
  } else {
    const end = Math.max(Math.min(high, page.state.last), page.state.first + least);
    zoom(Math.min(low, end - least), end);
  }
}

function brush(place, view) {
  const band = document.createElement("div");
  band.className = "band";
  let start = null;
  const from = (event) => event.clientX - place.getBoundingClientRect().left;
  const era = (x) => view.scale("x").invert(x - view.origin()[0]);
  const stop = () => {
    start = null;
    band.remove();
  };
  place.addEventListener("pointerdown", (event) => {
    stop();
    if (event.button === 0 && event.isPrimary) start = from(event);
  });
  place.addEventListener("pointermove", (event) => {
    if (start === null) return;
    if (!event.buttons) return stop();
    const end = from(event);
    if (!band.isConnected && Math.abs(end - start) > LEAST_DRAG) {
      place.setPointerCapture(event.pointerId);
      place.append(band);
    }
    band.style.left = `${Math.min(start, end)}px`;
    band.style.width = `${Math.abs(end - start)}px`;
  });
  place.addEventListener("pointerup", (event) => {
    if (start !== null && band.isConnected) {
      const [low, high] = [era(start), era(from(event))].sort((a, b) => a - b);
      zoom(low, Math.max(high, low + LEAST_ERAS - 1));
    }
    stop();
  });
  place.addEventListener("pointercancel", stop);
  place.addEventListener("dblclick", () => change({ first: page.state.first, last: page.state.last }));
}

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const key = (row, column) => {
    const cell = row.cells[column];
    if ("missing" in cell.dataset) return null;
    return "order" in cell.dataset ? Number(cell.dataset.order) : cell.textContent.trim().toLowerCase();
  };
  const compare = (one, other, down) => {
    // what is missing comes last, whichever way
    if (one === null || other === null) return (one === null) - (other === null);
    const order = typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other));
    return down ? -order : order;
  };
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sorted = [...table.tBodies[0].rows].sort((a, b) => compare(key(a, column), key(b, column), down));
      table.tBodies[0].append(...sorted);
    });
  });
}

for (const input of [first, last]) input.addEventListener("change", () => typed(input));
document.getElementById("reset").addEventListener("click", () => change({ ...page.state }));
for (const box of all("input[name=shown]"))
  box.addEventListener("change", () => {
    const on = all("input[name=shown]:checked").map((one) => one.value);
    if (on.length) change({ shown: on });
    else show();
  });
for (const radio of all("input[name=score]")) radio.addEventListener("change", () => change({ score: radio.value }));
for (const select of all("select[data-state]")) select.addEventListener("change", () => change({ [select.dataset.state]: select.value }));

const dark = window.matchMedia("(prefers-color-scheme: dark)");
function paint(name) {
  root.dataset.theme = name;
  theme.textContent = name === "dark" ? "light" : "dark";
  theme.setAttribute("aria-label", `switch to the ${theme.textContent} theme`);
}
paint(dark.matches ? "dark" : "light");
dark.addEventListener("change", (event) => paint(event.matches ? "dark" : "light"));
theme.addEventListener("click", () => paint(root.dataset.theme === "dark" ? "light" : "dark"));
// a page that was left lying may be older than the last run
const age = document.getElementById("age");
const days = Math.floor((Date.now() - Date.parse(age.dataset.made.replace(" UTC", "Z").replace(" ", "T"))) / 864e5);
if (days >= 1) age.textContent = ` This page is ${days} day${days > 1 ? "s" : ""} old: if there was a run since, write it anew.`;

all("table.sortable").forEach(sortable);
for (const hidden of all("[data-needs-script]")) hidden.hidden = false;
show();
// a browser that comes back to the page may put old values into the controls
window.addEventListener("pageshow", show);

const near = new IntersectionObserver(
  (entries) => {
    for (const entry of entries)
      if (entry.isIntersecting) {
        near.unobserve(entry.target);
        draw(entry.target);
      }
  },
  { rootMargin: "600px" },
);
for (const place of all(".plot[data-figure]")) near.observe(place);
let waiting = 0;
window.addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    for (const [place, { view }] of views) {
      fit(place, view);
      view.runAsync();
    }
  }, 150);
});
root.dataset.ready = "yes";
