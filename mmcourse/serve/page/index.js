// The page whose questions the service answers.
import { element } from "./texts.js";
import { prepareForm, smallFace } from "./form.js";
import { showAnswer, showMap } from "./answer.js";
import { askService } from "./service.js";

prepareForm(async (words) => {
  const face = await smallFace(), explain = face && element("explain").checked;
  const answer = await askService(explain ? "/v1/explain" : "/v1/predict", words);
  showAnswer(answer);
  if (explain && answer.face_map?.length) showMap(answer.face_map, face);
});
