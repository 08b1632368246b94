"""Why something is not believed, on its way from where it was noticed to the verdict."""


class Refusal(Exception):  # noqa: N818 - an outcome, not an error of ours
    """A bundle or archive that is not believed; whoever catches it writes a problem down.

    Args:
        message: one line, what is wrong with it.
        rule: id of the rule that it breaks (`mlbom.verify.rules`).
    """

    def __init__(self, message: str, rule: str) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message
