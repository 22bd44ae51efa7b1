// The page whose questions the browser answers by itself.
import { element, text } from "./texts.js";
import { prepareForm, settings, smallFace } from "./form.js";
import { showAnswer } from "./answer.js";
import { askService } from "./service.js";
import { loadModel, run } from "./model.js";
import { voiceWave } from "./voice.js";

let loading = null; // the model comes with the first question, not before: it is 14 MB with what runs it

prepareForm(async (words) => {
  element("status").textContent = text("js_loading");
  loading ??= loadModel();
  const sha256 = await loading.catch((error) => { loading = null; throw error; });
  element("status").textContent = text("js_asking");
  const message = { words: words || null, face: await smallFace(), wave: await voiceWave() };
  const { logits, probabilities } = await run(message, settings);
  const present = { words: !!message.words, face: !!message.face, voice: !!message.wave };
  showAnswer({
    label: settings.classes[logits.indexOf(Math.max(...logits))],
    probabilities: Object.fromEntries(settings.classes.map((name, i) => [name, probabilities[i]])),
    present,
    model: { name: "model.onnx", sha256 },
  });
  element("answer").dataset.logits = JSON.stringify(logits);
  if (element("compare").checked) compare(logits, (await askService("/v1/predict", words)).logits);
});

function compare(here, there) {
  const difference = Math.max(...here.map((x, i) => Math.abs(x - there[i])));
  const place = element("comparison");
  place.textContent = text(difference <= 1e-4 ? "js_same" : "js_different", { difference: difference.toExponential(1) });
  place.hidden = false;
}
