"""Hidden tests of lesson tune."""

from mmcourse.classroom.hidden import hidden


def _search(g, settings, seeds, luck=0.08):
    level = g.uniform(0.5, 0.8, (settings, 1))
    return level + luck * g.normal(size=(settings, seeds)), level + luck * g.normal(size=(settings, seeds))


@hidden("tune.1")
def _(g):
    yield "several seeds", 2, lambda: _search(g, *g.integers(2, 7, 2))
    yield "much luck", 1, lambda: _search(g, 8, 3, 0.3)
    yield "one seed", 1, lambda: _search(g, g.integers(3, 7), 1)
    yield "one setting", 1, lambda: _search(g, 1, g.integers(2, 5))
