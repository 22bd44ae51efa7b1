"""Write the pages from their template and texts, and what the scripts must know of the model's inputs.

::

    python -m mmcourse.serve.page.make_pages

The files are committed, so that a service starts without making them; a test says when they are stale.
"""

from __future__ import annotations

import base64
import json
import tomllib

import jinja2
import numpy as np
from markupsafe import Markup

from mmcourse.serve.page import FOLDER

TEMPLATES = {"index": "page.html.jinja", "browser": "page.html.jinja", "ask": "ask.html.jinja"}
PAGES, LANGUAGES = tuple(TEMPLATES), ("en", "zh")


def link(page: str, lang: str) -> str:
    """Address of a page in a language."""
    if (page, lang) == ("index", "en"):
        return "/"
    return f"/static/{file_name(page, lang)}"


def file_name(page: str, lang: str) -> str:
    """`index.html`, `index.zh.html` and so on."""
    return f"{page}.html" if lang == "en" else f"{page}.{lang}.html"


def texts(lang: str) -> dict[str, str]:
    """All texts in one language, by key."""
    everything = tomllib.loads((FOLDER / "texts.toml").read_text(encoding="utf-8"))
    return {key: values[lang] for key, values in everything.items()}


def for_scripts(words: dict[str, str]) -> Markup:
    """The texts that scripts use, as JSON that cannot end its own element."""
    own = {key: value for key, value in words.items() if key.startswith("js_")}
    own |= {key: words[key] for key in ("negative", "neutral", "positive")}
    return Markup(json.dumps(own, ensure_ascii=False).replace("<", "\\u003c"))


def html(page: str, lang: str) -> str:
    """One page."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string((FOLDER / TEMPLATES[page]).read_text(encoding="utf-8"))
    words = texts(lang)
    return template.render(page=page, lang=lang, t=words, texts=for_scripts(words), link=link)


def preprocessing() -> dict:
    """Settings, vocabulary and training statistics that turn a message into the model's inputs."""
    from mmcourse.datasets import mood
    from mmcourse.datasets.mood import voices, words

    return {
        "classes": list(mood.CLASSES),
        "face": {"size": 32},
        "voice": {
            "sample_rate": mood.SAMPLE_RATE,
            "n_fft": voices.N_FFT,
            "hop_length": voices.HOP,
            "n_mels": voices.N_MELS,
            "top_db": voices.FLOOR,
            "spread": [float(f"{value:.8g}") for value in voices._spread()],
        },
        "words": list(words.vocabulary()),
    }


def stand_ins() -> list[dict]:
    """What takes the place of a missing part in the service: faces of bytes, voices of half floats, in base64."""
    path = FOLDER.parent / "stand_ins.npz"
    if not path.is_file():
        return []
    with np.load(path, allow_pickle=False) as stored:
        return [
            {
                "face": base64.b64encode(stored[f"face{k}"].astype(np.uint8).tobytes()).decode(),
                "voice": base64.b64encode(stored[f"voice{k}"].astype("<f2").tobytes()).decode(),
                "words": stored[f"words{k}"].tolist(),
            }
            for k in range(len(stored.files) // 3)
        ]


def files() -> dict[str, str]:
    """Everything this script writes: name → text."""
    made = {file_name(page, lang): html(page, lang) for page in PAGES for lang in LANGUAGES}
    made["preprocess.json"] = json.dumps(preprocessing(), indent=1) + "\n"
    made["stand_ins.json"] = json.dumps(stand_ins(), indent=1) + "\n"
    return made


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
