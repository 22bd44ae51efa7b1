// One question to the service, as a form; its answer, or its problem in the service's own words (RFC 9457).
import { text } from "./texts.js";
import { faceFile } from "./picture.js";
import { Problem, voiceFile } from "./voice.js";

export async function askService(address, words) {
  const form = new FormData(), face = await faceFile(), voice = await voiceFile();
  if (words) form.append("words", words);
  if (face) form.append("face", face);
  if (voice) form.append("voice", voice);
  let reply, body;
  try {
    reply = await fetch(address, { method: "POST", body: form, headers: { Accept: "application/json" } });
    body = await reply.json().catch(() => null);
  } catch {
    throw new Problem(null, text("js_offline"));
  }
  if (reply.ok && body) return body;
  if (reply.status === 503 || reply.status === 429) throw new Problem(null, text("js_busy"));
  const field = ["words", "face", "voice"].find((name) => String(body?.field ?? "").includes(name)) ?? null;
  throw new Problem(field, body?.detail ?? text("js_failed", { status: reply.status }));
}
