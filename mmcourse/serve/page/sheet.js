// The drawing sheet, for pointer and keyboard alike: a line follows the pen wherever it goes while it is down.
import { element, text } from "./texts.js";

const SIZE = 256, CELL = SIZE / 32, BRUSH = 14;
const COLORS = { mouth: "#8a191e", dark: "#26201e", skin: "#f1c29b", light: "#ffffff" };

// A face as the course draws them, with everything but the mouth: that is the reader's. Lengths are pixels of the small
// face, from its middle.
function face(context) {
  const skin = "#e0ac7d", shade = "#c19369", hair = "#523422";
  context.fillStyle = "#bcc3cc";
  context.fillRect(0, 0, SIZE, SIZE);
  context.save();
  context.translate(SIZE / 2, SIZE / 2);
  context.scale(CELL, CELL);
  const disc = (color, x, y, a, b) => {
    context.fillStyle = color;
    context.beginPath();
    context.ellipse(x, y, a, b, 0, 0, 2 * Math.PI);
    context.fill();
  };
  const box = (color, x, y, width, height) => {
    context.fillStyle = color;
    context.fillRect(x, y, width, height);
  };
  disc("#7f9cc0", 0, 19, 13, 8); // shirt
  box(shade, -3.2, 7, 6.4, 6); // neck
  for (const side of [-1, 1]) disc(shade, 9.8 * side, 0.5, 1.7, 2.4); // ears
  disc(hair, 0, -1.6, 11, 12.3);
  context.save();
  context.beginPath();
  context.rect(-16, -7.5, 32, 32); // below the fringe
  context.clip();
  disc(skin, 0, 0, 9.8, 11.5);
  context.restore();
  disc("#bc9069", 0, 1.8, 0.9, 1.3); // nose
  for (const side of [-1, 1]) {
    disc("#fafaf8", 4.3 * side, -1.2, 2.2, 1.9);
    disc("#3a2d28", 4.3 * side, -1.2, 1.2, 1.5);
    disc("#e8e8e8", 4.3 * side - 0.4 * side, -1.7, 0.45, 0.45);
    box("#311f14", 4.3 * side - 2.5, -5.65, 5, 1.5); // brow
  }
  context.restore();
}

export function prepareSheet(changed) {
  const sheet = element("sheet"), context = sheet.getContext("2d", { willReadFrequently: true });
  const cross = element("cross").getContext("2d");
  const before = []; // what Undo goes back to
  let pen = { x: SIZE / 2, y: SIZE / 2 + 6.2 * CELL, down: false };
  let drawn = false;

  const color = () => COLORS[document.querySelector("input[name=color]:checked").value];
  const remember = () => {
    before.push(context.getImageData(0, 0, SIZE, SIZE));
    if (before.length > 20) before.shift();
  };
  const line = (x, y) => {
    context.strokeStyle = color();
    context.lineWidth = BRUSH;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(pen.x, pen.y);
    context.lineTo(x, y + 0.01); // a line without length leaves a dot in any browser
    context.stroke();
  };
  const move = (x, y) => {
    x = Math.max(0, Math.min(SIZE, x));
    y = Math.max(0, Math.min(SIZE, y));
    if (pen.down) line(x, y);
    pen = { ...pen, x, y };
  };
  const showPen = () => {
    cross.clearRect(0, 0, SIZE, SIZE);
    for (const [style, width] of [["#ffffff", 5], ["#000000", 2]]) { // seen on light and on dark
      cross.strokeStyle = style;
      cross.lineWidth = width;
      cross.beginPath();
      cross.arc(pen.x, pen.y, BRUSH / 2 + 2, 0, 2 * Math.PI);
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        cross.moveTo(pen.x + 9 * dx, pen.y + 9 * dy);
        cross.lineTo(pen.x + 18 * dx, pen.y + 18 * dy);
      }
      cross.stroke();
    }
    const column = Math.min(32, Math.floor(pen.x / CELL) + 1), row = Math.min(32, Math.floor(pen.y / CELL) + 1);
    element("pen").textContent = text("js_pen", { state: text(pen.down ? "js_pen_down" : "js_pen_up"), x: column, y: row });
  };
  const start = (paint) => {
    remember();
    paint();
    changed();
  };
  const blank = () => {
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, SIZE, SIZE);
  };

  sheet.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step) {
      const far = event.shiftKey ? CELL / 4 : CELL;
      move(pen.x + far * step[0], pen.y + far * step[1]);
    } else if (event.key === " " || event.key === "Enter") {
      if (!pen.down) { remember(); line(pen.x, pen.y); }
      pen.down = !pen.down;
    } else if (event.key === "Escape" && pen.down) {
      pen.down = false;
    } else {
      return;
    }
    event.preventDefault();
    showPen();
    changed();
  });
  sheet.addEventListener("blur", () => { pen.down = false; cross.clearRect(0, 0, SIZE, SIZE); });
  sheet.addEventListener("focus", () => { if (sheet.matches(":focus-visible")) showPen(); });

  const at = (event) => {
    const box = sheet.getBoundingClientRect();
    return [((event.clientX - box.left) * SIZE) / box.width, ((event.clientY - box.top) * SIZE) / box.height];
  };
  sheet.addEventListener("pointerdown", (event) => {
    sheet.setPointerCapture(event.pointerId);
    remember();
    pen.down = false;
    move(...at(event));
    pen.down = true;
    move(pen.x, pen.y);
    cross.clearRect(0, 0, SIZE, SIZE);
  });
  sheet.addEventListener("pointermove", (event) => { if (sheet.hasPointerCapture(event.pointerId)) move(...at(event)); });
  for (const name of ["pointerup", "pointercancel"]) {
    sheet.addEventListener(name, () => { pen.down = false; changed(); });
  }

  element("undo").addEventListener("click", () => {
    if (!before.length) return;
    context.putImageData(before.pop(), 0, 0);
    changed();
  });
  element("fresh-face").addEventListener("click", () => start(() => face(context)));
  element("fresh-sheet").addEventListener("click", () => start(blank));

  return {
    open() {
      if (!drawn) face(context);
      drawn = true;
      changed();
      sheet.focus();
      showPen();
    },
  };
}
