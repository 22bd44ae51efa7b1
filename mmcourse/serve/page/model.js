// The service's model, run in this page by onnxruntime-web. No thread and no worker: one message is little work.
import { channelsFirst, voiceFrames, wordNumbers } from "./features.js";
import { Problem } from "./voice.js";
import { text } from "./texts.js";

let ort, session;

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
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// {logits, probabilities} of a message; `face` (32, 32, 3), `wave` at 16 kHz, `words` a sentence, each may be null.
export async function run({ face, wave, words }, settings) {
  const numbers = words ? wordNumbers(words, settings.words) : [];
  if (words && !numbers.length) throw new Problem("words", text("js_no_word"));
  const size = settings.face.size, bands = settings.voice.n_mels;
  const frames = wave ? voiceFrames(wave, settings.voice) : { data: new Float32Array(bands), frames: 1 };
  const ids = numbers.length ? numbers : [0];
  const feeds = {
    face: new ort.Tensor("float32", face ? channelsFirst(face, size) : new Float32Array(3 * size * size), [1, 3, size, size]),
    voice: new ort.Tensor("float32", frames.data, [1, frames.frames, bands]),
    words: new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), [1, ids.length]),
    present: new ort.Tensor("float32", Float32Array.of(face ? 1 : 0, wave ? 1 : 0, words ? 1 : 0), [1, 3]),
  };
  const outputs = await session.run(feeds);
  const logits = Array.from(outputs[session.outputNames[0]].data);
  return { logits, probabilities: softmax(logits) };
}

function softmax(logits) {
  const highest = Math.max(...logits), powers = logits.map((x) => Math.exp(x - highest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((x) => x / sum);
}
