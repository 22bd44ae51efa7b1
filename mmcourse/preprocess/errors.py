"""The one error that every loader raises for input it cannot use."""


class InputError(ValueError):
    """Raw data that cannot be used: says which, what was expected, what came, and what to do.

    Parameters
    ----------
    where : str
        The file or the argument.
    problem : str
        What was expected and what came.
    remedy : str
        What to do about it.
    """

    def __init__(self, where: object, problem: str, remedy: str) -> None:
        super().__init__(f"{where}: {problem}. {remedy[0].upper()}{remedy[1:]}.")
        self.where, self.problem, self.remedy = str(where), problem, remedy
