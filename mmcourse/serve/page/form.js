// What both pages do around a question: collect, say that they are busy, show the answer or the problem.
import { element, problem, text } from "./texts.js";
import { faceFile, facePixels, preparePicture } from "./picture.js";
import { Problem, prepareVoice, voiceFile } from "./voice.js";
import { squareFace } from "./features.js";

export const settings = await (await fetch("/static/preprocess.json")).json();

// The face as the model sees it, (32, 32, 3); null where there is none.
export async function smallFace() {
  const pixels = await facePixels();
  return pixels && squareFace(pixels, settings.face.size);
}

// Run `answer(words)` on each question.
export function prepareForm(answer) {
  preparePicture();
  prepareVoice();
  document.querySelectorAll("[data-script]").forEach((part) => { part.hidden = false; });
  document.querySelectorAll("[data-no-script]").forEach((part) => { part.hidden = true; });
  const form = element("message"), button = element("ask"), status = element("status");
  form.hidden = false;
  let busy = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    for (const field of ["words", "face", "voice", null]) problem(field, "");
    const words = element("words").value.trim();
    busy = true;
    button.setAttribute("aria-disabled", "true"); // and not `disabled`, which would take the focus away
    status.textContent = text("js_asking");
    try {
      if (!words && !(await faceFile()) && !(await voiceFile())) throw new Problem(null, text("js_nothing"));
      await answer(words);
    } catch (error) {
      element("answer").hidden = true;
      if (!(error instanceof Problem)) console.error(error);
      problem(error.field, error.message);
      element(error.field ?? "words")?.focus();
    } finally {
      busy = false;
      button.removeAttribute("aria-disabled");
      status.textContent = "";
    }
  });
}
