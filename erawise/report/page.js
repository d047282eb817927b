"use strict";
const page = JSON.parse(document.getElementById("page-data").textContent);
const root = document.documentElement;
const state = { ...page.state };
const views = new Map();
const SETTINGS = { mode: "vega", renderer: "svg", actions: false, tooltip: { theme: "custom" }, logLevel: 1 };

const rows = [];
for (const [name, splits] of Object.entries(page.scores))
  for (const [split, part] of Object.entries(splits))
    part.era.forEach((era, k) => rows.push({ era, split, prediction: name, corr: part.corr[k] }));

async function draw(place) {
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
  Object.assign(state, part);
  for (const { view, names } of views.values()) {
    let touched = false;
    for (const name of names)
      if (name in part) {
        view.signal(name, state[name]);
        touched = true;
      }
    if (touched) view.runAsync();
  }
  show();
}

function show() {
  first.value = state.first;
  last.value = state.last;
  const whole = state.first === page.state.first && state.last === page.state.last;
  range.textContent = whole ? `all ${state.last - state.first + 1} weeks` : `${state.last - state.first + 1} weeks; headlines are of all`;
  for (const pair of document.querySelectorAll("[data-pair]"))
    pair.textContent = page.pairs[`${pair.dataset.pair}/${state.a}/${state.b}`] || "";
}

function zoom(one, other) {
  const low = Math.max(page.state.first, Math.round(Math.min(one, other)));
  const high = Math.min(page.state.last, Math.round(Math.max(one, other)));
  if (high - low >= 2) change({ first: low, last: high });
  else show();
}

function brush(place, view) {
  const band = document.createElement("div");
  band.className = "band";
  let start = null;
  const from = (event) => event.clientX - place.getBoundingClientRect().left;
  const era = (x) => view.scale("x").invert(x - view.origin()[0]);
  place.addEventListener("pointerdown", (event) => {
    start = from(event);
  });
  window.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const end = from(event);
    if (!band.isConnected && Math.abs(end - start) > 8) place.append(band);
    band.style.left = `${Math.min(start, end)}px`;
    band.style.width = `${Math.abs(end - start)}px`;
  });
  window.addEventListener("pointerup", (event) => {
    if (start !== null && band.isConnected) zoom(era(start), era(from(event)));
    start = null;
    band.remove();
  });
  place.addEventListener("dblclick", () => change({ first: page.state.first, last: page.state.last }));
}

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => {
        const cell = row.cells[column];
        return "order" in cell.dataset ? Number(cell.dataset.order) : cell.textContent.trim().toLowerCase();
      };
      const sorted = [...table.tBodies[0].rows].sort((a, b) => {
        const [one, other] = [key(a), key(b)];
        const order = typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other));
        return down ? -order : order;
      });
      table.tBodies[0].append(...sorted);
    });
  });
}

const [first, last, range] = ["first", "last", "range"].map((name) => document.getElementById(name));
for (const input of [first, last]) input.addEventListener("change", () => zoom(Number(first.value), Number(last.value)));
document.getElementById("reset").addEventListener("click", () => {
  for (const box of document.querySelectorAll("input[name=shown]")) box.checked = true;
  change({ first: page.state.first, last: page.state.last, shown: page.state.shown });
});
for (const box of document.querySelectorAll("input[name=shown]"))
  box.addEventListener("change", () => {
    const on = [...document.querySelectorAll("input[name=shown]:checked")].map((one) => one.value);
    change({ shown: on });
  });
for (const select of document.querySelectorAll("select[data-state]"))
  select.addEventListener("change", () => {
    for (const twin of document.querySelectorAll(`select[data-state="${select.dataset.state}"]`)) twin.value = select.value;
    change({ [select.dataset.state]: select.value });
  });

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const theme = document.getElementById("theme");
function paint(name) {
  root.dataset.theme = name;
  theme.textContent = name === "dark" ? "light" : "dark";
  theme.setAttribute("aria-label", `switch to the ${theme.textContent} theme`);
}
paint(dark.matches ? "dark" : "light");
dark.addEventListener("change", (event) => paint(event.matches ? "dark" : "light"));
theme.addEventListener("click", () => paint(root.dataset.theme === "dark" ? "light" : "dark"));

for (const table of document.querySelectorAll("table.sortable")) sortable(table);
for (const hidden of document.querySelectorAll("[data-needs-script]")) hidden.hidden = false;
show();

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
for (const place of document.querySelectorAll(".plot[data-figure]")) near.observe(place);
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
