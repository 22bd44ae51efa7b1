// The answer: what it is, how sure, what was missing, and where in the picture the model looked.
import { element, text } from "./texts.js";

const CLASSES = ["negative", "neutral", "positive"];
const percent = (p) => `${(100 * p).toFixed(1)} %`;
const list = (names) => names.map((name) => text(`js_${name}`)).join(text("js_comma"));

export function showAnswer(answer) {
  const best = answer.label;
  element("verdict").textContent = text("js_answer", { label: text(best), percent: percent(answer.probabilities[best]) });
  for (const name of CLASSES) {
    const row = element(`row-${name}`), p = answer.probabilities[name];
    row.className = name === best ? "best" : "";
    row.querySelector("meter").value = p;
    row.querySelector("meter").textContent = percent(p);
    row.querySelector("span").textContent = percent(p);
  }
  const there = Object.keys(answer.present).filter((name) => answer.present[name]);
  const missing = Object.keys(answer.present).filter((name) => !answer.present[name]);
  element("used").textContent = text("js_used", { list: list(there) });
  element("missing").textContent = missing.length ? text("js_missing", { list: list(missing) }) : text("js_nothing_missing");
  element("model").textContent = answer.model?.name ?? "";
  element("fingerprint").textContent = answer.model?.sha256 ?? "";
  element("request").textContent = answer.request_id ?? "–";
  element("comparison").hidden = true;
  element("map").hidden = true;
  element("answer").hidden = false;
  element("verdict").focus();
}

// The picture in gray, and the map over it in one color: told by brightness alone, too.
export function showMap(map, face) {
  const canvas = element("heat"), context = canvas.getContext("2d");
  const rows = map.length, columns = map[0].length, size = 32, cell = canvas.width / size;
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const at = 3 * (y * size + x);
      const gray = 0.299 * face[at] + 0.587 * face[at + 1] + 0.114 * face[at + 2];
      const heat = map[Math.floor((y * rows) / size)][Math.floor((x * columns) / size)];
      const mix = (color) => Math.round(0.55 * gray * (1 - heat) + color * heat);
      context.fillStyle = `rgb(${mix(255)} ${mix(190)} ${mix(40)})`;
      context.fillRect(x * cell, y * cell, cell, cell);
    }
  }
  const words = text("js_map", { place: text("js_place").split("|")[strongest(map)] });
  canvas.setAttribute("aria-label", words);
  element("heat-text").textContent = words;
  element("map").hidden = false;
}

// Which of the nine fields, three by three, holds most of the map.
function strongest(map) {
  const sums = new Array(9).fill(0);
  map.forEach((row, y) => row.forEach((value, x) => {
    sums[3 * Math.floor((3 * y) / map.length) + Math.floor((3 * x) / row.length)] += value;
  }));
  return sums.indexOf(Math.max(...sums));
}
