// Rules of accessibility that a machine can check: what breaks them, and how many texts were measured.
() => {
  const found = [];
  const all = [...document.querySelectorAll("body *")];
  const shown = (e) => e.checkVisibility({ checkVisibilityCSS: true }) && !e.closest("[aria-hidden=true]");
  const say = (rule, e) => found.push(`${rule}: ${e.outerHTML.slice(0, 120)}`);
  const byIds = (ids) => ids.split(/\s+/).map((id) => document.getElementById(id));
  const name = (e) => {
    if (e.getAttribute("aria-labelledby")) return byIds(e.getAttribute("aria-labelledby")).map((x) => x?.textContent).join(" ").trim();
    if (e.getAttribute("aria-label")) return e.getAttribute("aria-label").trim();
    if (e.labels?.length) return [...e.labels].map((x) => x.textContent).join(" ").trim();
    return (e.textContent || e.alt || "").trim();
  };

  // language, title, landmarks, headings
  if (!document.documentElement.lang) found.push("html has no lang");
  if (!document.title.trim()) found.push("no title");
  if (document.querySelectorAll("main").length !== 1) found.push("not one main");
  const levels = [...document.querySelectorAll("h1, h2, h3")].filter(shown).map((e) => +e.tagName[1]);
  if (levels.filter((level) => level === 1).length !== 1) found.push("not one h1");
  levels.forEach((level, i) => { if (level > (levels[i - 1] ?? 0) + 1) found.push(`heading level ${level} is skipped to`); });
  const navs = [...document.querySelectorAll("nav")].map(name);
  if (new Set(navs).size !== navs.length || navs.includes("")) found.push("navigations without names of their own");
  if (/user-scalable=no|maximum-scale/.test(document.querySelector("meta[name=viewport]")?.content)) found.push("no zoom");

  // ids and what refers to them
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  if (new Set(ids).size !== ids.length) found.push("an id is used twice");
  for (const e of all) {
    for (const attribute of ["aria-labelledby", "aria-describedby", "aria-controls", "for"]) {
      const value = e.getAttribute(attribute);
      if (value && byIds(value).includes(null)) say(`${attribute} leads nowhere`, e);
    }
  }

  // names and roles
  const roles = ["alert", "application", "img", "radiogroup", "status"];
  const interactive = all.filter((e) => shown(e) && e.matches("a[href], button, input:not([type=hidden]), textarea, select, summary, [tabindex='0'], video, meter, [role=img], [role=radiogroup]"));
  for (const e of interactive) if (!name(e)) say("no name", e);
  for (const e of all) {
    const role = e.getAttribute("role");
    if (role && !roles.includes(role)) say("unexpected role", e);
    if (e.tabIndex > 0) say("tabindex above 0", e);
    if (e.matches("canvas:not([aria-hidden]):not([role])")) say("canvas without a role", e);
    if (e.matches("fieldset") && !e.querySelector(":scope > legend")?.textContent.trim()) say("no legend", e);
    if (e.matches("table") && !(e.querySelector("caption") && e.querySelector("th[scope=col]") && e.querySelector("th[scope=row]"))) say("bare table", e);
    if (e.closest("[aria-hidden=true]") && e.tabIndex >= 0 && e.matches("a, button, input, [tabindex]")) say("hidden, but focused", e);
    if (e.style.length) say("inline style", e);
    for (const attribute of e.attributes) if (attribute.name.startsWith("on")) say("inline script", e);
  }

  // a finger finds it: 24 × 24 CSS pixels at least, links within text excepted
  for (const e of interactive.filter((e) => e.matches("button, input, summary, textarea"))) {
    const box = (e.labels?.[0] && e.matches("[type=radio], [type=checkbox]") ? e.labels[0] : e).getBoundingClientRect();
    if (box.width < 24 || box.height < 24) say(`only ${box.width} × ${box.height}`, e);
  }

  // contrast of text and its background: 4.5, or 3 where it is large; of a field's border: 3
  const light = (color) => {
    const [r, g, b] = color.slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const parse = (css) => { const v = css.match(/[\d.]+/g).map(Number); return v.length === 3 ? [...v, 1] : v; };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)]; return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05); };
  const behind = (e) => {
    for (let p = e; p; p = p.parentElement) { const c = parse(getComputedStyle(p).backgroundColor); if (c[3] === 1) return c; }
    return [255, 255, 255, 1];
  };
  let measured = 0;
  for (const e of all) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!shown(e) || (!own && !e.matches("textarea, input[type=file]")) || e.matches("script, noscript, option, meter")) continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700) ? 3 : 4.5;
    const r = ratio(parse(style.color), behind(e));
    measured++;
    if (r < needed) say(`contrast ${r.toFixed(2)}`, e);
  }
  for (const e of all.filter((e) => shown(e) && e.matches("textarea, button"))) {
    const r = ratio(parse(getComputedStyle(e).borderColor), behind(e.parentElement));
    if (r < 3) say(`border ${r.toFixed(2)}`, e);
  }
  return { found, measured };
}
