// The face: a file, the camera, or drawn by hand or by keyboard.
import { element, problem, text } from "./texts.js";
import { prepareSheet } from "./sheet.js";

const LARGEST = 1_000_000, MOST_PIXELS = 4_000_000, LONGEST = 4096, SMALLER = 512; // bytes; pixels
let chosen = null; // {file, name}
let latest = 0, working = Promise.resolve(); // pictures are read one after the other; an older one never replaces a newer
let stream = null;

const show = (id, open) => {
  element(id).hidden = !open;
  element(`open-${id}`).setAttribute("aria-expanded", String(open));
};

// Pixels exactly as they are in the file: no color management, nothing multiplied by its opacity.
export async function decode(file) {
  return createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
}

// Draw the middle square of a picture, on white where it is transparent.
function square(source, width, height, canvas) {
  const side = Math.min(width, height), context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  const left = Math.floor((width - side) / 2), top = Math.floor((height - side) / 2);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, left, top, side, side, 0, 0, canvas.width, canvas.height);
}

const toFile = (canvas, name) =>
  new Promise((resolve) => canvas.toBlob((blob) => resolve(new File([blob], name, { type: "image/png" }))));

// Show a picture and keep it for sending; `making` is its file, or a promise of it.
function choose(making, name) {
  working = read(making, name, ++latest);
  return working;
}

async function read(making, name, turn) {
  let file, bitmap;
  try {
    file = await making;
    bitmap = await decode(file);
  } catch {
    if (turn !== latest) return;
    clear();
    return problem("face", text("js_not_a_picture"));
  }
  if (turn !== latest) return bitmap.close();
  problem("face", "");
  const preview = element("preview");
  square(bitmap, bitmap.width, bitmap.height, preview);
  if (file.size > LARGEST || bitmap.width * bitmap.height > MOST_PIXELS || Math.max(bitmap.width, bitmap.height) > LONGEST) {
    const small = new OffscreenCanvas(SMALLER, SMALLER); // what is sent is what the model needs, and not more
    square(bitmap, bitmap.width, bitmap.height, small);
    file = new File([await small.convertToBlob()], "face.png", { type: "image/png" });
    if (turn !== latest) return;
  }
  chosen = { file, name };
  const words = text("js_picture", { name });
  preview.setAttribute("aria-label", words);
  element("picture-name").textContent = words;
  element("picture").hidden = false;
}

function clear() {
  latest++;
  chosen = null;
  problem("face", "");
  element("picture").hidden = true;
}

async function openCamera() {
  if (stream) return closeCamera();
  show("drawing", false);
  problem("face", "");
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: 640, height: 480 } });
  } catch {
    return problem("face", text("js_no_camera"));
  }
  const video = element("video");
  show("camera", true);
  video.srcObject = stream;
  await video.play();
  element("take").focus();
}

function closeCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  element("video").srcObject = null;
  show("camera", false);
}

async function take() {
  const video = element("video"), canvas = document.createElement("canvas");
  canvas.width = canvas.height = 256;
  square(video, video.videoWidth, video.videoHeight, canvas);
  element("face").value = "";
  await choose(toFile(canvas, "face.png"), text("js_from_camera"));
  closeCamera();
  element("remove-face").focus();
}

// The file to send, or null; waits for a picture that is still being read.
export async function faceFile() {
  await working;
  return chosen?.file ?? null;
}

// The picture's pixels (h, w, 4), as the service reads them from the same file; null where there is no face.
export async function facePixels() {
  const file = await faceFile();
  if (!file) return null;
  const bitmap = await decode(file);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height), context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

export function preparePicture() {
  element("face").addEventListener("change", ({ target }) => (target.files[0] ? choose(target.files[0], target.files[0].name) : clear()));
  if (element("face").files[0]) choose(element("face").files[0], element("face").files[0].name); // kept by the browser
  element("open-camera").addEventListener("click", openCamera);
  element("close-camera").addEventListener("click", () => { closeCamera(); element("open-camera").focus(); });
  element("take").addEventListener("click", take);
  element("remove-face").addEventListener("click", () => { element("face").value = ""; clear(); element("face").focus(); });
  const sheet = prepareSheet(() => {
    element("face").value = "";
    choose(toFile(element("sheet"), "drawing.png"), text("js_from_drawing"));
  });
  element("open-drawing").addEventListener("click", () => {
    const open = element("drawing").hidden;
    closeCamera();
    show("drawing", open);
    if (open) sheet.open();
  });
  element("close-drawing").addEventListener("click", () => { show("drawing", false); element("open-drawing").focus(); });
}
