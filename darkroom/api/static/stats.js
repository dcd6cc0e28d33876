/** Charts of what the tables below them say. */

import { lastDays, roundUp, slowest, sums } from "./charts.js";
import { el } from "./dom.js";
import { number } from "./words.js";

const SPACE = "http://www.w3.org/2000/svg";
const WIDTH = 480;
const HEIGHT = 176;
const LEFT = 44;
const BOTTOM = 24;
const TOP = 12;

const OUTCOMES = ["generated", "missed", "refused", "faults", "unknown"];
const ENDS = ["completed", "failed", "cancelled"];

const root = document.querySelector("[data-charts]");
if (root) draw(JSON.parse(document.getElementById("statistics").textContent), Number(root.dataset.days));

function draw({ providers, jobs }, count) {
  const days = lastDays(count);
  root.append(
    bars("Calls per day", days, sums(days, providers, OUTCOMES), OUTCOMES),
    shares("Share of calls without a picture", days, sums(days, providers, OUTCOMES)),
    lines("Seconds per picture", days, [slowest(days, providers, "seconds_p50"), slowest(days, providers, "seconds_p95")],
      ["median", "95th percentile"]),
    bars("Jobs per day, by final status", days, sums(days, jobs, ENDS), ENDS),
  );
}

function chart(title, days, top, unit, kinds) {
  const svg = svgElement("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" });
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
  for (const value of [0, top / 2, top]) {
    svg.append(svgElement("line", { class: "rule", x1: LEFT, x2: WIDTH, y1: y(value), y2: y(value) }));
    svg.append(svgText(LEFT - 8, y(value) + 4, `${number(value)}${unit}`, "end"));
  }
  const step = (WIDTH - LEFT) / days.length;
  svg.append(svgText(LEFT, HEIGHT - 4, days[0].slice(5), "start"), svgText(WIDTH, HEIGHT - 4, "today", "end"));
  const legend = el("ul", { class: "legend", "aria-hidden": "true" });
  kinds.forEach((name, kind) => legend.append(el("li", { class: `kind-${kind}` }, el("span", {}, name))));
  const figure = el("figure", { class: "chart" }, el("h2", {}, title), legend, svg);
  return { figure, svg, y, step, x: (at) => LEFT + at * step };
}

function bars(title, days, values, kinds) {
  const top = Math.max(2, roundUp(Math.max(...values.map((day) => day.reduce((a, b) => a + b, 0)))));
  const { figure, svg, x, y, step } = chart(title, days, top, "", kinds);
  values.forEach((day, at) => {
    let below = 0;
    day.forEach((value, kind) => {
      if (!value) return;
      const bar = svgElement("rect", {
        class: `kind-${kind}`, x: x(at) + step * 0.14, width: step * 0.72, y: y(below + value), height: Math.max(1, y(below) - y(below + value)),
      });
      const says = svgElement("title");
      says.textContent = `${days[at]}: ${number(value)} ${kinds[kind]}`;
      bar.append(says);
      svg.append(bar);
      below += value;
    });
  });
  return figure;
}

function shares(title, days, values) {
  const share = values.map((day) => {
    const calls = day.reduce((a, b) => a + b, 0);
    return calls ? ((calls - day[0]) * 100) / calls : null;
  });
  return lines(title, days, [share], ["missed, refused, faults or unknown"], " %");
}

function lines(title, days, series, kinds, unit = " s") {
  const top = Math.max(1, roundUp(Math.max(0, ...series.flat().filter((value) => value !== null))));
  const { figure, svg, x, y, step } = chart(title, days, top, unit, kinds);
  series.forEach((values, kind) => {
    const points = values.map((value, at) => (value === null ? null : [x(at) + step / 2, y(value)]));
    // A day without a value is no zero: the line leaves it out.
    const path = points.map((point, at) => point && `${at && points[at - 1] ? "L" : "M"}${point[0]} ${point[1]}`);
    svg.append(svgElement("path", { class: `path kind-${kind}`, d: path.filter(Boolean).join("") }));
    points.forEach((point, at) => {
      if (!point) return;
      const dot = svgElement("circle", { class: `dot kind-${kind}`, cx: point[0], cy: point[1], r: 4 });
      const says = svgElement("title");
      says.textContent = `${days[at]}: ${values[at].toFixed(1)}${unit} ${kinds[kind]}`;
      dot.append(says);
      svg.append(dot);
    });
  });
  return figure;
}

function svgElement(name, attributes = {}) {
  const element = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

function svgText(x, y, words, anchor) {
  const text = svgElement("text", { x, y, "text-anchor": anchor });
  text.textContent = words;
  return text;
}
