"""What the first differing op of a window says about the cause, in words."""

from mlbom.reproduce.localise.doubling import KERNEL_FIX
from mlbom.reproduce.localise.flow import FLOW_FIX
from mlbom.reproduce.localise.op_difference import OpCause
from mlbom.reproduce.localise.pins import SEED
from mlbom.reproduce.localise.suspects import ENTROPY_FIX, is_seeded, missing_seed
from mlbom.reproduce.localise.values import Case, Suspect, line_of, only
from mlbom.reproduce.localise.window import Window
from mlbom.reproduce.traces.places import Line
from mlbom.reproduce.values import CauseKind, Culprit


def suspect_of(case: Case, window: Window) -> Suspect | None:
    """Return what an op that was computed from equal numbers says; None when the host is to blame.

    Args:
        case: what is searched.
        window: one with a difference.
    """
    if window.difference is None:
        return None
    make = _MAKERS.get(window.difference.cause)
    return make(case, window) if make else None


def _culprit(case: Case, window: Window, culprit: Culprit, line: Line | None = None) -> Culprit:
    return case.culprit(culprit, line or window.line)


def _seen(window: Window) -> str:
    """Return the sentence that an op's outputs stand on."""
    difference = window.difference
    if difference is None:
        return ""
    agree = f"the {difference.compared} ops before it agree in both runs"
    return f"{difference.op.name}: {difference.cause.value}; {agree}"


def _kernel(case: Case, window: Window) -> Suspect:
    op = window.difference.op if window.difference else None
    name, module = (op.name, op.module) if op else ("", "")
    where = f" in module {module}" if module else ""
    culprit = Culprit(
        kind=CauseKind.KERNEL,
        what=f"{name}{where} gives different bits for equal inputs",
        op=name,
        module=module,
        fix=KERNEL_FIX,
        evidence=(_seen(window),),
        is_sure=True,
    )
    return Suspect(culprit=_culprit(case, window, culprit))


def _drawn(case: Case, window: Window) -> Suspect:
    """Return the generator: torch's own, where that stood elsewhere, or one of the program."""
    return _stream(case, window) if _is_default(case) else _private(case, window)


def _is_default(case: Case) -> bool:
    """Return whether torch's own generator was drawn from and stood elsewhere.

    A program without optimizer has no steps that would tell: there it counts as its own when the
    program never made another.
    """
    if case.divergence.of == 0 and not case.streams():
        return not any("Generator" in event.what for event in case.events(case.a, "entropy"))
    return case.has("rng:torch", "rng:cuda")


def _stream(case: Case, window: Window) -> Suspect:
    """Return the default generator of torch: never seeded, or seeded alike and used otherwise."""
    name = window.difference.op.name if window.difference else ""
    if not is_seeded(case, "torch"):
        missing = missing_seed("torch")
        culprit = Culprit(
            kind=missing.kind,
            what=missing.what,
            op=name,
            module=_module(window),
            fix=missing.fix,
            evidence=(_seen(window), "no seed was set for torch"),
        )
        return Suspect(culprit=_culprit(case, window, culprit), pin=SEED, has_witness=True)
    culprit = Culprit(
        kind=CauseKind.RNG_STREAM,
        what=f"torch's generator was seeded alike and stood elsewhere when {name} drew from it",
        op=name,
        module=_module(window),
        fix="draw equally often from it before that, or give this draw a generator of its own",
        evidence=(_seen(window),),
    )
    return Suspect(culprit=_culprit(case, window, culprit), pin=SEED)


def _private(case: Case, window: Window) -> Suspect:
    """Return a generator of the program's own; named where it took its seed, if that was seen."""
    name = window.difference.op.name if window.difference else ""
    events = [e for e in case.events(case.a, "entropy") if "torch" in e.what]
    seeded_at = case.line(events[0].at) if len(events) == 1 else None
    seeded_at = seeded_at or line_of(only(case.findings("unseeded-generator")))
    drawn = f"{name} draws from it at {window.line}" if window.line.is_known else ""
    culprit = Culprit(
        kind=CauseKind.RNG_STREAM,
        what="a generator of the program's own starts from another seed in each run",
        op=name,
        module=_module(window),
        fix=ENTROPY_FIX,
        evidence=tuple(filter(None, (_seen(window), drawn))),
    )
    return Suspect(culprit=_culprit(case, window, culprit, seeded_at), pin=SEED, has_witness=True)


def _flow(case: Case, window: Window) -> Suspect:
    difference = window.difference
    ours = difference.op.name if difference else ""
    theirs = difference.other.name if difference and difference.other else "nothing"
    culprit = Culprit(
        kind=CauseKind.CONTROL_FLOW,
        what=f"one run computes {ours} where the other computes {theirs}",
        op=ours,
        module=_module(window),
        fix=FLOW_FIX,
        evidence=(_seen(window),),
        is_sure=True,
    )
    return Suspect(culprit=_culprit(case, window, culprit))


def _module(window: Window) -> str:
    return window.difference.op.module if window.difference else ""


_MAKERS = {
    OpCause.KERNEL: _kernel,
    OpCause.DRAWN: _drawn,
    OpCause.CONTROL_FLOW: _flow,
}
