// The page's words in its own language, and how to fill in their {blanks}.
const all = JSON.parse(document.getElementById("texts").textContent);

export function text(key, values = {}) {
  return all[key].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export const element = (id) => document.getElementById(id);

// A problem is said beside the field that has it; an empty text takes it away.
export function problem(field, words) {
  const place = element(field ? `${field}-problem` : "problem") ?? element("problem");
  place.textContent = words;
  if (place !== element("problem")) place.hidden = !words;
  const input = element(field);
  if (input) words ? input.setAttribute("aria-invalid", "true") : input.removeAttribute("aria-invalid");
}
