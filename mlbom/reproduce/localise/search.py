"""The ladder: one question after another, the cheapest that fits the signals first."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from mlbom.reproduce.localise.doubling import double_ops
from mlbom.reproduce.localise.from_ops import suspect_of
from mlbom.reproduce.localise.host import ALL, host_culprit, host_suspects
from mlbom.reproduce.localise.lab import FREE_RUNS, Lab
from mlbom.reproduce.localise.pins import ONE_THREAD
from mlbom.reproduce.localise.suspects import find_suspects, merged, with_line
from mlbom.reproduce.localise.values import Case, Pin, Suspect
from mlbom.reproduce.localise.window import Window, look_into
from mlbom.reproduce.values import CauseKind, Culprit

# Signals of something that was there before any kernel had a say.
_BEFORE_KERNELS = ("entry", "batches", "rng", "flags")
_Rung = Callable[[], Culprit | None]


class Search:
    """Looks for the cause of one case.

    Args:
        case: what is searched.
        lab: makes the runs.
    """

    def __init__(self, case: Case, lab: Lab) -> None:
        self._case = case
        self._lab = lab
        self._suspects = find_suspects(case)
        self._tested: dict[str, bool] = {}
        self._learned: list[str] = []
        self._first: Culprit | None = None
        self._window: Window | None = None
        self._has_looked = False
        self._is_lost = False

    def cause(self) -> Culprit:
        """Return the strongest culprit found; one of kind UNKNOWN when none was."""
        for rung in self._rungs():
            if found := rung():
                return found
        return self._unexplained() if self._is_lost else self._first or self._unexplained()

    def _rungs(self) -> tuple[_Rung, ...]:
        case = self._case
        if case.has(*_BEFORE_KERNELS):
            return (self._by_witness, self._by_suspects, self._by_ops, self._by_host)
        # A program that updates by hand has one window for all that it does: too long to repeat.
        ends_only = case.divergence.step >= case.divergence.of
        kernels = (self._by_ops,) if ends_only else (self._by_doubling, self._by_ops)
        return (self._by_witness, *kernels, self._by_suspects, self._by_host, self._by_threads)

    def _by_witness(self) -> Culprit | None:
        """Test what had other values in the two runs.

        Another number of threads explains what kernels compute, and nothing that was there before.
        """
        witnessed = [suspect for suspect in self._suspects if suspect.has_witness]
        if sure := next((s.culprit for s in witnessed if s.culprit.is_sure), None):
            return sure
        if found := self._first_shown(witnessed):
            return found
        settings = [s.culprit for s in witnessed if s.culprit.kind is CauseKind.ENVIRONMENT]
        if not settings or self._case.has("entry", "batches", "rng"):
            return None
        return self._between_bases(settings[0])

    def _between_bases(self, culprit: Culprit) -> Culprit:
        """Return a culprit, shown when a run made like the first one agrees with it.

        That says something only where the two runs were not made alike.
        """
        one, other = (replace(base, label="") for base in self._case.bases)
        if one == other or not self._lab.repeats_first():
            return culprit
        shown = "a further run, made like the first one, agrees with it"
        return replace(culprit, evidence=(*culprit.evidence, shown), is_sure=True)

    def _by_suspects(self) -> Culprit | None:
        return self._first_shown([s for s in self._suspects if not s.has_witness])

    def _first_shown(self, suspects: list[Suspect]) -> Culprit | None:
        groups: dict[str, list[Suspect]] = {}
        for suspect in suspects:
            if suspect.pin:
                groups.setdefault(suspect.pin.name, []).append(suspect)
        found = (self._test(merged(group)) for group in groups.values())
        return next(filter(None, found), None)

    def _test(self, suspect: Suspect) -> Culprit | None:
        """Return the culprit of a suspect when holding its cause still shows it."""
        pin = suspect.pin
        if pin is None or not self._goes_away(pin, suspect):
            return None
        told, culprit = f"{pin.told} the runs agree at that step", suspect.culprit
        candidates = suspect.candidates if self._first is None else ()
        if self._first is not None:
            line = f" ({culprit.path}:{culprit.line})" if culprit.path else ""
            told = f"{told}: there is a second cause, {culprit.what}{line}"
            evidence: tuple[str, ...] = (*self._first.evidence, told)
            culprit = self._first
        else:
            evidence = (told, *culprit.evidence)
        shown = replace(culprit, evidence=evidence, is_sure=True)
        return shown if shown.path else self._located(shown, candidates)

    def _located(self, culprit: Culprit, candidates: Sequence[Culprit]) -> Culprit:
        """Return a culprit at the line where the ops of the two runs part.

        Of several candidates that is the one that lies there.
        """
        window = self._look()
        if window is None or window.difference is None:
            return culprit
        line = window.line
        here = [c for c in candidates if (c.path, c.line) == (line.path, line.number)]
        if here:
            culprit = replace(culprit, kind=here[0].kind, what=here[0].what, fix=here[0].fix)
        return with_line(replace(culprit, op=window.difference.op.name), line)

    def _goes_away(self, pin: Pin, suspect: Suspect) -> bool:
        """Return whether the difference goes away with something held still."""
        if pin.name in self._tested:
            return self._tested[pin.name]
        if self._is_lost and not suspect.has_witness:
            return False
        tested = self._lab.test(pin, has_witness=suspect.has_witness)
        if tested is None:
            return False
        self._tested[pin.name] = tested.is_shown
        if tested.is_shown:
            return self._is_evidence(pin, suspect, tested.count)
        if tested.is_partial and self._first is None:
            field = self._case.divergence.field
            told = f"{pin.told} the field `{field}` agrees, but others of that step still differ"
            culprit = suspect.culprit
            self._first = replace(culprit, evidence=(told, *culprit.evidence))
            self._lab.hold(pin)
        else:
            self._learned.append(f"{pin.told} the runs still differ")
        return False

    def _is_evidence(self, pin: Pin, suspect: Suspect, count: int) -> bool:
        """Return whether runs that agree say something: others, with nothing held still, differ."""
        if suspect.has_witness or self._lab.comes_back():
            return True
        self._tested[pin.name], self._is_lost = False, True
        self._learned.append(
            f"{pin.told} {count} runs agree at that step, and of {FREE_RUNS} further runs with "
            "nothing held still none was seen to differ there"
        )
        return False

    def _by_doubling(self) -> Culprit | None:
        culprit, learned = double_ops(self._case, self._lab)
        self._learned.extend(filter(None, [learned]))
        return culprit

    def _look(self) -> Window | None:
        """Return what the ops of the step say; the two runs for it are made once."""
        if not self._has_looked:
            self._has_looked = True
            self._window = look_into(self._case, self._lab)
            if self._window and self._window.note:
                self._learned.append(self._window.note)
        return self._window

    def _by_ops(self) -> Culprit | None:
        """Return the culprit that an op names; where a run can test it, it is shown or unsure."""
        window = self._look()
        suspect = suspect_of(self._case, window) if window else None
        if suspect is None or suspect.pin is None:
            return suspect.culprit if suspect else None
        return self._test(suspect) or suspect.culprit

    def _by_host(self) -> Culprit | None:
        """Return the cause of other numbers from the host: all are held still, then one by one."""
        window = self._look()
        told = tuple(s for s in self._suspects if s.pin is None)
        suspects = host_suspects(self._case, window)
        trial = Suspect(culprit=suspects[0].culprit, pin=ALL)
        if self._goes_away(ALL, trial) and (found := self._first_shown(list(suspects))):
            return found
        if self._is_lost and (window is None or window.difference is None):
            return None
        return host_culprit(self._case, window, told, self._learned)

    def _by_threads(self) -> Culprit | None:
        culprit = Culprit(
            kind=CauseKind.KERNEL,
            what="a result hangs on how threads share the work",
            fix="run with one thread, or torch.use_deterministic_algorithms(True)",
        )
        suspect = Suspect(culprit=self._case.culprit(culprit), pin=ONE_THREAD)
        found = self._test(suspect)
        # Which op it is was not seen, and a race can agree by chance.
        return replace(found, is_sure=False) if found else None

    def _unexplained(self) -> Culprit:
        findings = (f"{f.path}:{f.line}: {f.message}" for f in self._case.lint[:3])
        lost = "the difference did not come back in further runs"
        culprit = Culprit(
            kind=CauseKind.UNKNOWN,
            what=lost if self._is_lost else "what made the runs differ was not found",
            evidence=(*self._learned, *findings),
        )
        return self._case.culprit(culprit)
