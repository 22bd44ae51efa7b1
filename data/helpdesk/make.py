"""Render the words that only helpdesk has, with espeak-ng 1.51 (`apt-get install espeak-ng`), by scenes' voices.

    python data/helpdesk/make.py          # writes voices/*.flac and voices.json beside this file
    python data/helpdesk/make.py --check  # renders again and compares every sample with the files

Learners never need this. It is done as in `data/scenes/make.py`, whose functions it uses: one FLAC file per voice,
16 kHz mono, 11 bits deep, as loud as that voice's other words.
"""

import hashlib
import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from mmcourse.datasets.helpdesk.grammar import NEW_WORDS

HERE = Path(__file__).resolve().parent


def main() -> None:
    spec = importlib.util.spec_from_file_location("scenes_make", HERE.parent / "scenes" / "make.py")
    scenes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scenes)
    check = "--check" in sys.argv[1:]
    version = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True).stdout.split()[3]
    index = {"sample_rate": scenes.SAMPLE_RATE, "espeak_ng": version, "words": NEW_WORDS, "voices": []}
    (HERE / "voices").mkdir(exist_ok=True)
    for split, voices in scenes.VOICES.items():
        for voice in voices.split():
            sound, starts = scenes.render_voice(voice, NEW_WORDS)
            path = HERE / "voices" / f"{voice.replace('+', '_').lower()}.flac"
            if check:
                assert np.array_equal(soundfile.read(path, dtype="int16")[0], sound), f"{path.name} differs"
                continue
            data = io.BytesIO()
            soundfile.write(data, sound, scenes.SAMPLE_RATE, format="FLAC", subtype="PCM_16")
            path.write_bytes(data.getvalue())
            digest = hashlib.sha256(data.getvalue()).hexdigest()
            entry = {"name": voice, "split": split, "file": path.name, "sha256": digest, "starts": starts}
            index["voices"].append(entry)
    if not check:
        (HERE / "voices.json").write_text(json.dumps(index, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
