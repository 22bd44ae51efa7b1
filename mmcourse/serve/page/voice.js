// The voice: a file, or recorded in the page as plain samples. A browser's own recorder would give compressed sound
// at 48 kHz, which is neither what the model was trained on nor what the service takes.
import { element, problem, text } from "./texts.js";
import { resample } from "./resample.js";
import { readWav, writeWav } from "./wav.js";

export const RATE = 16000, SECONDS = 15;
const SHORTEST = 0.1, LARGEST = 1_400_000; // seconds; bytes that are sent as they are

let recorded = null; // {file, wave}
let stopRecording = null;

// Record until `stop()` is called or the time is over: Float32Array at the microphone's own rate.
async function microphone(onLevel) {
  const plain = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
  const context = new AudioContext();
  await context.audioWorklet.addModule("/static/recorder.js");
  const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  const parts = [];
  let length = 0;
  const finished = new Promise((resolve) => {
    node.port.onmessage = ({ data }) => {
      parts.push(data);
      length += data.length;
      if (parts.length % 8 === 0) onLevel(Math.sqrt(data.reduce((sum, x) => sum + x * x, 0) / data.length));
      if (length >= SECONDS * context.sampleRate) resolve();
    };
    stopRecording = resolve;
  });
  context.createMediaStreamSource(stream).connect(node);
  await context.resume();
  await finished;
  stream.getTracks().forEach((track) => track.stop());
  node.port.onmessage = null;
  await context.close();
  const wave = new Float32Array(Math.min(length, Math.floor(SECONDS * context.sampleRate)));
  let at = 0;
  for (const part of parts) {
    wave.set(part.subarray(0, wave.length - at), at);
    at = Math.min(wave.length, at + part.length);
  }
  return { wave, rate: context.sampleRate };
}

async function record() {
  const button = element("record"), level = element("level");
  if (stopRecording) return stopRecording();
  clear();
  element("voice").value = "";
  try {
    const running = microphone((loudness) => { level.value = Math.min(1, 3 * loudness); });
    button.setAttribute("aria-pressed", "true");
    button.textContent = button.dataset.stop;
    level.parentElement.hidden = false;
    element("recording").textContent = text("js_recording", { seconds: SECONDS });
    const { wave, rate } = await running;
    keep(resample(wave, rate, RATE));
  } catch (error) {
    element("recording").textContent = "";
    problem("voice", text("js_no_microphone"));
  } finally {
    stopRecording = null;
    button.setAttribute("aria-pressed", "false");
    button.textContent = button.dataset.record;
    level.parentElement.hidden = true;
  }
}

function keep(wave) {
  if (wave.length < SHORTEST * RATE) {
    element("recording").textContent = "";
    return problem("voice", text("js_too_short"));
  }
  const bytes = writeWav(wave, RATE);
  recorded = { file: new File([bytes], "voice.wav", { type: "audio/wav" }), wave };
  element("recording").textContent = text("js_recorded", { seconds: (wave.length / RATE).toFixed(1) });
  element("recorded").hidden = false;
}

function clear() {
  recorded = null;
  problem("voice", "");
  element("recording").textContent = "";
  element("recorded").hidden = true;
}

function play() {
  const context = new AudioContext();
  const buffer = context.createBuffer(1, recorded.wave.length, RATE);
  buffer.copyToChannel(Float32Array.from(recorded.wave), 0);
  const source = context.createBufferSource();
  source.buffer = buffer;
  source.connect(context.destination);
  source.onended = () => context.close();
  source.start();
}

// The file to send, or null. A large WAV file is brought to 16 kHz here, so that it fits into a request.
export async function voiceFile() {
  const file = recorded?.file ?? element("voice").files[0] ?? null;
  if (!file || file.size <= LARGEST) return file;
  const sound = readWav(await file.arrayBuffer());
  if (!sound) return file;
  if (sound.wave.length > SECONDS * sound.rate) throw new Problem("voice", text("js_too_long"));
  return new File([writeWav(resample(sound.wave, sound.rate, RATE), RATE)], "voice.wav", { type: "audio/wav" });
}

// Samples at 16 kHz, as the service reads them from the same file; null where there is no voice.
export async function voiceWave() {
  const file = await voiceFile();
  if (!file) return null;
  const sound = readWav(await file.arrayBuffer());
  if (!sound) throw new Problem("voice", text("js_not_a_sound"));
  if (sound.wave.length > SECONDS * sound.rate) throw new Problem("voice", text("js_too_long"));
  const wave = resample(sound.wave, sound.rate, RATE);
  if (wave.length < SHORTEST * RATE) throw new Problem("voice", text("js_too_short"));
  return wave;
}

export class Problem extends Error {
  constructor(field, words) {
    super(words);
    this.field = field;
  }
}

export function prepareVoice() {
  element("record").addEventListener("click", record);
  element("play").addEventListener("click", play);
  element("remove-voice").addEventListener("click", () => { clear(); element("record").focus(); });
  element("voice").addEventListener("change", clear);
}
