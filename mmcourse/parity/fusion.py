"""The fusion methods: what goes in, and how many parameters the formula has."""

from .formula import Formula

DIMS, WIDTH, BATCH = [3, 4, 2], 5, 4
TOTAL = sum(DIMS)


def vectors(dims=DIMS, absent=False):
    """Inputs (b, d_m) for each width; with `absent` two of them are missing."""

    def draw(rng):
        inputs = {"xs": [rng.normal(size=(BATCH, d)) for d in dims]}
        if absent:
            inputs["present"] = rng.random((BATCH, len(dims))) > 0.4
            inputs["present"][0] = False
        return inputs

    return draw


def method(name, numpy, layer, count, dims=DIMS, inputs=None, **config):
    """A formula, and the same with missing modalities."""
    config = {"dims": dims, "width": WIDTH, **config}
    for end, absent in (("", False), (", some absent", True)):
        draw = (inputs or vectors)(dims, absent)
        yield Formula(name + end, f"fusion.{numpy}", f"fusion.{layer}", draw, count, config)


FORMULAS = [
    *method("concatenate", "concatenate", "Concatenate", TOTAL * WIDTH + WIDTH),
    *method("sum gate", "sum_gate", "SumGate", TOTAL * WIDTH + 3 * WIDTH + WIDTH**2 + WIDTH),
    *method("weighted sum", "weighted_sum", "WeightedSum", 3 + TOTAL * WIDTH),
    *method("late, mean", "late_mean", "LateMean", 3 + TOTAL * WIDTH + 3 * WIDTH),
    *method(
        "late, product", "late_product", "LateProduct", TOTAL * WIDTH + 3 * WIDTH, prior=[0.1, 0.3, 0.2, 0.25, 0.15]
    ),
    *method("gated unit of two", "gated_unit", "GatedUnit", 7 * WIDTH + 7 * WIDTH, dims=[3, 4]),
    *method("gated unit of three", "gated_unit", "GatedUnit", TOTAL * WIDTH + 3 * TOTAL * WIDTH),
    *method("FiLM", "film", "FiLM", 3 * WIDTH + 2 * (6 * WIDTH + WIDTH)),
]
