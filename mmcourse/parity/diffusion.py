"""Noise put in and taken away, in three backends."""

from .case import ParityCase

SIGNAL, LEVEL = 0.6, 0.8


def plain(f, inputs, p, options):
    """These functions of NumPy have no weights."""
    return f(**inputs)


def pair(first, second, **others):
    """Two arrays of one shape, and settings."""

    def draw(rng):
        return {first: rng.normal(size=(3, 4)), second: rng.normal(size=(3, 4)), **others}

    return draw


def noisy_and_data(rng):
    """Noisy points and a small training set."""
    return {"x": rng.normal(size=(3, 4)), "data": rng.normal(size=(5, 4)), "signal": SIGNAL, "noise_level": LEVEL}


def with_fresh(**others):
    """A noisy sample, its noise, and new noise."""

    def draw(rng):
        return {name: rng.normal(size=(3, 4)) for name in ("x", "noise", "fresh")} | others

    return draw


def case(title, name, draw, call=None, tags=frozenset()):
    """One function; `call` picks an output where there are several."""
    numpy_call = plain if call is None else lambda f, inputs, p, options: call(f(**inputs))
    if call is None:
        return ParityCase(
            title, f"diffusion.{name}", f"diffusion.{name}", draw, count=0, numpy_call=numpy_call, tags=tags
        )
    framework = lambda layer, inputs: call(layer(**inputs))  # noqa: E731
    return ParityCase(
        title,
        f"diffusion.{name}",
        f"diffusion.{name}",
        draw,
        count=0,
        numpy_call=numpy_call,
        torch_call=framework,
        keras_call=framework,
        tags=tags,
    )


BOTH = {"signal": SIGNAL, "noise_level": LEVEL}
STEP = {"alpha_bar": 0.3, "alpha_bar_next": 0.7}
FORMULAS = [
    case("noise added", "add_noise", pair("clean", "noise", **BOTH)),
    case("what v is", "training_target", pair("clean", "noise", **BOTH, target="v")),
    case(
        "the clean sample of a velocity", "clean_and_noise", pair("x", "prediction", **BOTH, target="velocity"),
        lambda found: found[0],
    ),
    case(
        "the noise of a v-prediction", "clean_and_noise", pair("x", "prediction", **BOTH, target="v"),
        lambda found: found[1],
    ),
    case("optimal denoiser", "optimal_denoiser", noisy_and_data, tags=frozenset({"mixes"})),
    case("DDIM step", "ddim_step", pair("x", "noise", **STEP)),
    case("DDIM step with new noise", "ddim_step", with_fresh(**STEP, eta=0.7)),
    case("DDPM step", "ddpm_step", with_fresh(**STEP)),
    case("Euler step of a flow", "euler_step", pair("x", "velocity", t=0.2, t_next=0.25)),
    case("classifier-free guidance", "guide", pair("unconditional", "conditional", weight=2.5)),
    case("embedding of times", "time_embedding", lambda rng: {"t": rng.uniform(0.1, 0.9, 3), "dim": 8, "fastest": 9.0}),
]  # fmt: skip
