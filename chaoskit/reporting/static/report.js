"use strict";
// Adds a read-out and zoom to the time lines. The page says everything without it.
for (const line of document.querySelectorAll("[data-timeline]")) {
  const data = JSON.parse(line.querySelector("[data-readout]").textContent);
  const tools = line.querySelector(".tl-tools"), out = line.querySelector(".tl-readout");
  const scroll = line.querySelector(".tl-scroll"), canvas = line.querySelector(".tl-canvas");
  const back = line.querySelector(".tl-back"), cursor = line.querySelector(".tl-cursor");
  const columns = data.clients.length ? data.clients[0].ok.length : 0;
  let column = -1;
  tools.hidden = false;

  const put = (parent, text, strong) => {
    const node = strong ? document.createElement("b") : document.createTextNode(text);
    if (strong) node.textContent = text;
    parent.append(node);
  };
  const show = (at) => {
    if (!columns) return;
    column = Math.max(0, Math.min(columns - 1, at));
    const t = data.from + column * data.step;
    cursor.hidden = false;
    cursor.style.left = Math.min(100, 100 * (t + data.step / 2 - data.from) / (data.until - data.from)) + "%";
    out.replaceChildren();
    put(out, (t < 0 ? "\u2212" : "+") + Math.abs(t).toFixed(data.step < 0.1 ? 2 : 1) + " s", true);
    for (const c of data.clients) {
      put(out, "  \u00b7  " + c.name + " ");
      const ok = c.ok[column], down = c.down[column], ms = c.ms[column];
      put(out, !ok && !down ? "\u2013" : ok + "/" + (ok + down) + " ok" + (ms === null ? "" : ", " + ms + " ms"), true);
    }
    const leaders = data.leader.filter((r) => r[1] <= t + data.step && r[2] >= t).map((r) => r[0]);
    if (data.leader.length) { put(out, "  \u00b7  leader "); put(out, leaders.length ? [...new Set(leaders)].join(" and ") : "none seen", true); }
  };
  // Marks lie in a box that is stretched to the plot: their shapes are drawn again so that they keep their proportions.
  const marks = [...line.querySelectorAll("path.mark[data-mark]")].map((path) => [path, path.getAttribute("d")]);
  const shapes = new Map();
  const reshaped = (shape, wide) => {
    if (!shapes.has(shape)) {
      shapes.set(shape, shape.replace(/([mhlva])([^mhlvaz]*)/g, (_, command, text) => {
        const numbers = (text.match(/-?\d*\.?\d+/g) || []).map(Number);
        const across = { h: () => true, v: () => false, a: (i) => i % 7 === 0 || i % 7 === 5 }[command] || ((i) => i % 2 === 0);
        return command + numbers.map((n, i) => (across(i) ? +(n * wide).toFixed(2) : n)).join(" ");
      }));
    }
    return shapes.get(shape);
  };
  const redraw = () => {
    const wide = 1000 / back.clientWidth;
    if (!Number.isFinite(wide)) return;
    shapes.clear();
    for (const [path, d] of marks) path.setAttribute("d", d.replace(/(M[\d.]+ [\d.]+)([^M]*)/g, (_, at, shape) => at + reshaped(shape, wide)));
  };
  new ResizeObserver(redraw).observe(back);
  // What scrolls out to the left must not show through between the labels.
  scroll.addEventListener("scroll", () => { back.style.clipPath = `inset(0 0 0 ${scroll.scrollLeft}px)`; });
  const columnAt = (clientX) => {
    const box = back.getBoundingClientRect();
    return Math.floor((clientX - box.left) / box.width * (data.until - data.from) / data.step);
  };
  canvas.addEventListener("pointermove", (e) => show(columnAt(e.clientX)));
  canvas.addEventListener("pointerleave", () => { cursor.hidden = true; });
  scroll.addEventListener("keydown", (e) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -25, PageDown: 25 }[e.key];
    if (step === undefined || e.target !== scroll) return;
    e.preventDefault();
    show(column < 0 ? Math.round(-data.from / data.step) : column + step);
    out.setAttribute("aria-live", "polite");
  });
  for (const button of line.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => {
      const before = back.getBoundingClientRect();
      const view = scroll.getBoundingClientRect();
      const middle = column >= 0 ? (column * data.step) / (data.until - data.from) : (view.left + view.width / 2 - before.left) / before.width;
      canvas.style.setProperty("--zoom", button.dataset.zoom);
      canvas.classList.toggle("zoomed", button.dataset.zoom !== "1");
      for (const other of line.querySelectorAll("[data-zoom]")) other.setAttribute("aria-pressed", String(other === button));
      const after = back.getBoundingClientRect();
      scroll.scrollLeft += after.left + middle * after.width - (view.left + view.width / 2);
    });
  }
}
// A link to a row inside a closed part opens that part first.
const reveal = () => {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let part = target.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
  target.scrollIntoView({ block: "nearest" });
};
addEventListener("hashchange", reveal);
// Paper has no triangles to click: print every part, and put them back afterwards.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const part of opened) part.open = true;
});
addEventListener("afterprint", () => { for (const part of opened) part.open = false; });
reveal();
