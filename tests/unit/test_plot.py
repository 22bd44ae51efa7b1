"""Figures and sounds: words for all, small files, nothing cut off, the same bytes each time."""

import base64
import io
import wave

import IPython
import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from mmcourse import plot

plt.switch_backend("Agg")  # chosen before a test puts a false IPython in its place

g = np.random.default_rng(0)
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16000)
FIGURES = {
    "bar_with_ceiling": lambda: plot.bar_with_ceiling(
        ["words", "voice and a longer name"], [0.7, 0.88], [0.74, None], [0.01, 0.02], chance=1 / 3
    ),
    "curves": lambda: plot.curves(
        {"train": [1.0, 0.5, 0.30], "validation": [1.0, 0.6, 0.31], "seeds": g.random((3, 3))},
        title="Does it still improve?",
        levels={"chance": 1.1},
    ),
    "curves_log": lambda: plot.curves({"loss": [1, 0.1, 0.01]}, title="How fast?", log=True, x=[10, 20, 30]),
    "matrix": lambda: plot.matrix(g.normal(size=(2, 3)), "A title longer than the matrix is wide?", "ab", "cde"),
    "matrix_bool": lambda: plot.matrix(np.eye(3, dtype=bool), "Who may look at whom?"),
    "matrix_flat": lambda: plot.matrix(np.ones((2, 2)), "All the same?"),
    "confusion": lambda: plot.confusion(np.arange(9).reshape(3, 3), ("negative", "neutral", "positive")),
    "images": lambda: plot.images(g.random((5, 8, 8, 3)), ["a", "b\nc", "d", "e", "f"], title="Who smiles?"),
    "image": lambda: plot.images([g.integers(0, 255, (8, 8, 1), dtype=np.uint8)]),
    "sound": lambda: plot.sound(TONE, 16000),
}


@pytest.fixture
def sent(monkeypatch):
    """What a notebook would have received."""
    received = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr(
        "IPython.display.publish_display_data", lambda data, metadata: received.append((data, metadata))
    )
    return received


@pytest.mark.parametrize("name", FIGURES)
def test_every_helper_draws_a_small_deterministic_figure(name):
    global g
    pngs = []
    for _ in range(2):
        g = np.random.default_rng(0)
        fig = FIGURES[name]()
        pngs.append(plot.to_png(fig))
        plt.close(fig)
    assert pngs[0] == pngs[1]
    assert len(pngs[0]) < plot.MAX_PNG_BYTES
    assert 250 <= Image.open(io.BytesIO(pngs[0])).width <= 820


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_cut_off(name):
    """The outermost pixels are background: nothing touches the edge of the picture."""
    fig = FIGURES[name]()
    pixels = np.asarray(Image.open(io.BytesIO(plot.to_png(fig))).convert("L"))
    plt.close(fig)
    assert min(pixels[0].min(), pixels[-1].min(), pixels[:, 0].min(), pixels[:, -1].min()) > 250


def _overlaps(ax):
    """Pairs of texts inside the axes that overlap."""
    renderer = ax.figure.canvas.get_renderer()
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in ax.texts if t.get_text()]
    return [(a, b) for i, (a, p) in enumerate(boxes) for b, q in boxes[i + 1 :] if p.overlaps(q)]


def test_names_at_the_ends_of_close_curves_do_not_overlap():
    lines = {f"curve {k}": [1.0, 0.5 + k / 1000] for k in range(6)} | {"above": [1.0, 1.2]}
    fig = plot.curves(lines, title="Which is best?", levels={"chance": 1.2})
    fig.canvas.draw()
    assert not _overlaps(fig.axes[0])
    plt.close(fig)


def test_show_sends_alt_text_and_closes(sent):
    fig, _ = plt.subplots()
    plot.show(fig, alt="  Loss falls\n from 1.1 to 0.2. ")
    data, metadata = sent[0]
    assert metadata == {"image/png": {"alt": "Loss falls from 1.1 to 0.2."}}
    assert data["text/plain"] == "[figure: Loss falls from 1.1 to 0.2.]"
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert not plt.fignum_exists(fig.number)


@pytest.mark.parametrize("alt", ["", "  \n", None])
def test_a_figure_without_words_is_refused(alt):
    fig, _ = plt.subplots()
    with pytest.raises(ValueError, match="needs words"):
        plot.show(fig, alt=alt)
    plt.close(fig)


def test_busy_pictures_stay_small():
    fig = plot.images(g.random((6, 128, 128, 3)), size=2.4)
    assert len(plot.to_png(fig)) < 350_000
    plt.close(fig)


def test_plain_python_prints_the_words(capsys, monkeypatch):
    monkeypatch.setattr(IPython, "get_ipython", lambda: None)
    fig, _ = plt.subplots()
    plot.show(fig, alt="A line.")
    plot.audio(TONE, 16000, "A tone")
    assert capsys.readouterr().out == "[figure: A line.]\n[sound: A tone, 0.5 s]\n"


# ---------------------------------------------------------------- sound
def test_audio_is_a_small_mono_wav_with_a_label(sent):
    plot.audio(TONE, 16000, label="A 440 Hz <tone>")
    html = sent[0][0]["text/html"]
    assert "A 440 Hz &lt;tone&gt; (0.5 s)" in html and "aria-label" in html
    data = base64.b64decode(html.split("base64,")[1].split('"')[0])
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16000)
        back = np.frombuffer(file.readframes(8000), "<i2") / 32767
    assert np.abs(back - TONE).max() < 1e-4


def test_loud_sound_is_scaled_not_clipped():
    with wave.open(io.BytesIO(plot.to_wav(4 * TONE, 16000))) as file:
        back = np.frombuffer(file.readframes(8000), "<i2")
    assert back.max() == 32767 and (back == 32767).sum() < 300


@pytest.mark.parametrize(
    ("sound", "label", "message"),
    [
        (TONE, "", "needs words"),
        (np.zeros((2, 10)), "stereo", r"got shape \(2, 10\)"),
        ([np.nan], "nan", "finite"),
        ([], "nothing", "finite"),
        (np.zeros(600_000), "long", "play at most"),
    ],
)
def test_sound_that_cannot_be_played_is_refused(sound, label, message):
    with pytest.raises(ValueError, match=message):
        plot.audio(sound, 16000, label)


def test_matrix_refuses_what_is_not_one():
    with pytest.raises(ValueError, match="rows, columns"):
        plot.matrix([1, 2], "?")
