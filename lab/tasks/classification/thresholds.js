"use strict";
// A slider for a classifier's threshold; curves, confusion matrix and costs follow. Uses no network.
for (const box of document.querySelectorAll(".thresholds")) {
  const data = JSON.parse(box.querySelector("script").textContent);
  const [negative, positive] = data.classes;
  const colours = { precision: "#0072b2", recall: "#d55e00", F1: "#009e73" };
  const share = (part, total) => (total ? part / total : NaN);
  const rows = data.counts.map(([tn, fp, fn, tp]) => ({
    precision: share(tp, tp + fp), recall: share(tp, tp + fn), F1: share(2 * tp, 2 * tp + fp + fn),
  }));

  const make = (name, text = "", attributes = {}) => {
    const element = document.createElement(name);
    element.textContent = text;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const draw = (parent, name, attributes, text = "") => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    return parent.appendChild(element);
  };

  const last = data.thresholds.length - 1;
  const nearest = (wanted) => data.thresholds.reduce(
    (best, value, place) => (Math.abs(value - wanted) < Math.abs(data.thresholds[best] - wanted) ? place : best), 0);
  const slider = make("input", "", { type: "range", min: 0, max: last, step: 1, value: nearest(data.start) });
  const chosen = make("output");
  const label = make("label", `Predict ${positive} from a probability of `);
  label.append(chosen, slider);
  box.append(make("p", data.caption), label);

  // A square plot: shares from `low` up to 1 on y, x from 0 to 1.
  const plot = (title, x, low) => {
    const frame = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    frame.setAttribute("viewBox", "0 0 360 260");
    frame.setAttribute("role", "img");
    frame.setAttribute("aria-label", title);
    const at = { x: (value) => 40 + 305 * value, y: (value) => 225 - 205 * (value - low) / (1 - low) };
    for (let step = 0; step <= 5; step++) {
      const value = low + (1 - low) * step / 5;
      draw(frame, "line", { x1: 40, x2: 345, y1: at.y(value), y2: at.y(value), stroke: "var(--line)" });
      draw(frame, "text", { x: 34, y: at.y(value) + 4, "text-anchor": "end" }, value.toFixed(2));
      draw(frame, "text", { x: at.x(step / 5), y: 241, "text-anchor": "middle" }, (step / 5).toFixed(1));
    }
    draw(frame, "text", { x: 192, y: 256, "text-anchor": "middle" }, x);
    draw(frame, "text", { x: 40, y: 12 }, title);
    const line = (points, colour) => draw(frame, "polyline", {
      points: points.filter(([a, b]) => Number.isFinite(a) && Number.isFinite(b) && b >= low)
        .map(([a, b]) => `${at.x(a).toFixed(1)},${at.y(b).toFixed(1)}`).join(" "),
      fill: "none", stroke: colour, "stroke-width": 2,
    });
    return { frame, at, line };
  };
  const finite = rows.flatMap((row) => [row.precision]).filter(Number.isFinite);
  const floor = Math.floor(Math.min(...finite) * 10) / 10;
  const curve = plot("Precision against recall", "recall", Math.min(floor, 0.9));
  curve.line(rows.map((row) => [row.recall, row.precision]), colours.precision);
  const dot = draw(curve.frame, "circle", { r: 6, fill: colours.recall });
  const each = plot("", "threshold", 0);
  Object.keys(colours).forEach((name, place) => {
    each.line(rows.map((row, index) => [data.thresholds[index], row[name]]), colours[name]);
    const key = draw(each.frame, "text", { x: 40 + 75 * place, y: 12 }, name);
    key.style.fill = colours[name];
  });
  const rule = draw(each.frame, "line", { y1: 20, y2: 225, stroke: "var(--ink)", "stroke-dasharray": "4 3" });

  const matrix = make("table");
  const cell = {};
  const line = (...cells) => { const row = make("tr"); row.append(...cells); matrix.append(row); };
  const number = (name) => (cell[name] = make("td", "", { class: "n" }));
  line(make("th"), make("th", `predicted ${negative}`, { class: "n" }), make("th", `predicted ${positive}`, { class: "n" }));
  line(make("th", `actual ${negative}`), number("tn"), number("fp"));
  line(make("th", `actual ${positive}`), number("fn"), number("tp"));
  for (const name of ["precision", "recall", "F1", "accuracy"]) line(make("th", name), number(name));

  const costs = make("div", "", { class: "costs" });
  const price = (text, value) => {
    const field = make("input", "", { type: "number", min: 0, step: "any", value });
    const about = make("label", `One ${text} costs `);
    about.append(field);
    costs.append(about);
    return field;
  };
  const prices = [
    price(`${negative} predicted as ${positive}`, data.costs[0]), price(`${positive} predicted as ${negative}`, data.costs[1]),
  ];
  const total = make("output");
  const sum = make("label", "Total cost: ");
  sum.append(total);
  const cheapest = make("button", "Lowest cost", { type: "button" });
  const back = make("button", "Reset", { type: "button" });
  costs.append(sum, cheapest, back);

  const parts = make("div", "", { class: "parts" });
  parts.append(curve.frame, each.frame, matrix, costs);
  box.append(parts);

  const cost = (place) => {
    const [, fp, fn] = data.counts[place];
    return (Number(prices[0].value) || 0) * fp + (Number(prices[1].value) || 0) * fn;
  };
  const show = () => {
    const place = Number(slider.value);
    const [tn, fp, fn, tp] = data.counts[place];
    const row = { ...rows[place], accuracy: (tn + tp) / (tn + fp + fn + tp) };
    const percent = (value) => (Number.isFinite(value) ? `${(100 * value).toFixed(1)} %` : "–");
    chosen.textContent = data.thresholds[place].toFixed(3);
    Object.entries({ tn, fp, fn, tp }).forEach(([name, value]) => { cell[name].textContent = value.toLocaleString("en"); });
    for (const name of ["precision", "recall", "F1", "accuracy"]) cell[name].textContent = percent(row[name]);
    total.textContent = cost(place).toLocaleString("en", { maximumFractionDigits: 1 });
    const seen = Number.isFinite(row.precision);
    dot.setAttribute("visibility", seen ? "visible" : "hidden");
    if (seen) { dot.setAttribute("cx", curve.at.x(row.recall)); dot.setAttribute("cy", curve.at.y(row.precision)); }
    for (const end of ["x1", "x2"]) rule.setAttribute(end, each.at.x(data.thresholds[place]));
    slider.setAttribute("aria-valuetext", `${chosen.textContent}: precision ${percent(row.precision)}, recall ${percent(row.recall)}`);
  };
  cheapest.addEventListener("click", () => {
    let best = 0;
    for (let place = 1; place <= last; place++) if (cost(place) < cost(best)) best = place;
    slider.value = best;
    show();
  });
  back.addEventListener("click", () => { slider.value = nearest(data.start); show(); });
  for (const field of [slider, ...prices]) field.addEventListener("input", show);
  show();
}
