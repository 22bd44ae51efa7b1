// The service's model, run in this page by onnxruntime-web. No thread and no worker: one message is little work.
import { voiceFrames, wordNumbers } from "./features.js";
import { Problem } from "./voice.js";
import { text } from "./texts.js";

let ort, session, standIns;

export async function loadModel() {
  try {
    ort = await import("/static/ort.wasm.min.mjs");
  } catch {
    throw new Problem(null, text("js_no_runtime"));
  }
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { mjs: "/static/ort-wasm-simd-threaded.mjs", wasm: "/static/ort-wasm-simd-threaded.wasm" };
  const reply = await fetch("/v1/model.onnx");
  if (!reply.ok) throw new Problem(null, text("js_failed", { status: reply.status }));
  const bytes = await reply.arrayBuffer();
  session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  standIns = (await (await fetch("/static/stand_ins.json")).json()).map(readStandIn);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// {logits, probabilities} of a message; `face` (32, 32, 3), `wave` at 16 kHz, `words` a sentence, each may be null.
//
// The model was trained on whole messages. Where a part is missing, those of some training messages take its place, one
// after the other, and the probabilities are averaged: as in the service.
export async function run({ face, wave, words }, settings) {
  const message = {};
  if (face) message.face = Float32Array.from(face, (value) => value / 255);
  if (wave) message.voice = voiceFrames(wave, settings.voice);
  if (words) {
    message.words = wordNumbers(words, settings.words);
    if (!message.words.length) throw new Problem("words", text("js_no_word"));
  }
  const filled = Object.keys(message).length < 3 ? standIns.map((other) => ({ ...other, ...message })) : [];
  const logits = await logitsOf(filled.length ? filled : [message], settings);
  if (!filled.length) return { logits: logits[0], probabilities: softmax(logits[0]) };
  const probabilities = mean(logits.map(softmax));
  return { logits: probabilities.map(Math.log), probabilities };
}

// One run of the model for all rows: short voices and sentences are filled up, and the masks say with what.
async function logitsOf(rows, { face: { size }, voice: { n_mels } }) {
  const steps = (row, name, width = 1) => (row[name]?.length ?? 0) / width;
  const n = rows.length, pixels = size * size * 3;
  const frames = Math.max(1, ...rows.map((row) => steps(row, "voice", n_mels)));
  const length = Math.max(1, ...rows.map((row) => steps(row, "words")));
  const face = new Float32Array(n * pixels), voice = new Float32Array(n * frames * n_mels), words = new BigInt64Array(n * length);
  const voiceMask = new Uint8Array(n * frames), wordsMask = new Uint8Array(n * length), presence = new Uint8Array(n * 3);
  rows.forEach((row, i) => {
    face.set(row.face ?? [], i * pixels);
    voice.set(row.voice ?? [], i * frames * n_mels);
    words.set((row.words ?? []).map(BigInt), i * length);
    voiceMask.fill(1, i * frames, i * frames + steps(row, "voice", n_mels));
    wordsMask.fill(1, i * length, i * length + steps(row, "words"));
    presence.set(["face", "voice", "words"].map((name) => Number(name in row)), 3 * i);
  });
  const { logits } = await session.run({
    face: new ort.Tensor("float32", face, [n, size, size, 3]),
    voice: new ort.Tensor("float32", voice, [n, frames, n_mels]),
    voice_mask: new ort.Tensor("bool", voiceMask, [n, frames]),
    words: new ort.Tensor("int64", words, [n, length]),
    words_mask: new ort.Tensor("bool", wordsMask, [n, length]),
    presence: new ort.Tensor("bool", presence, [n, 3]),
  });
  const classes = logits.dims[1];
  return rows.map((_, i) => Array.from(logits.data.subarray(i * classes, (i + 1) * classes)));
}

// A training message's features, as they are stored: bytes in base64; the voice in half precision.
function readStandIn({ face, voice, words }) {
  const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return {
    face: Float32Array.from(bytes(face), (value) => value / 255),
    voice: Float32Array.from(new Uint16Array(bytes(voice).buffer), fromHalf),
    words,
  };
}

// A 16-bit float: sign, 5 bits of exponent, 10 bits of fraction.
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

function softmax(logits) {
  const highest = Math.max(...logits), powers = logits.map((x) => Math.exp(x - highest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((x) => x / sum);
}

function mean(rows) {
  return rows[0].map((_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length);
}
