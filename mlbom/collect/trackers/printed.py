"""Numbers that a program printed: `val_loss: 0.12`, `{'eval_loss': 0.1}`, `epoch 3 | loss 0.2`.

Nothing says which of the numbers on a screen are measurements, so the list is conservative: the
last word of a name must be that of a known measure, or its first one `eval`, `val`, `test` or
`train`, and settings (`test_size=0.2`) are left out.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mlbom.collect.trackers.metric import Reported
from mlbom.openfile import open_regular

_MEASURES = frozenset(
    """loss accuracy acc perplexity ppl bpc bpb f1 bleu sacrebleu rouge auc auroc mse rmse mae
    r2 precision recall wer cer iou miou fid psnr ssim nll mrr ndcg mcc exact_match""".split()
)
_SPLITS = frozenset("train val valid validation test eval dev".split())
_QUALIFIERS = _SPLITS | frozenset(
    "avg average mean total best final macro micro weighted score epoch step".split()
)
# Words that tell a setting or a count from a measurement.
_SETTINGS = frozenset(
    """size batch steps epochs epoch step samples examples num count workers ratio split path dir
    file frac fraction seed interval every iters batches len length rows dataset data""".split()
)
_LEADING = "|".join(sorted(_SPLITS | {"training", "testing", "best", "final", "average", "avg"}))
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?)"
# A name, what joins it to its number, the number, and what may be its divisor or ends it.
_PAIR = re.compile(
    rf"(?<![\w./@-])(?:(?P<lead>{_LEADING})[ ])?"
    r"(?P<quote>['\"]?)(?P<name>[a-z][\w./@-]{0,80})(?P=quote)"
    r"(?P<join>\s{0,4}[:=]\s{0,8}['\"]?|[ ]{1,40})"
    rf"(?P<number>{_NUMBER})"
    r"(?P<over>/\d{1,15})?(?![\w/]|[.,]\d)",
    re.IGNORECASE,
)
_STEP = re.compile(r"\b(?:step|iter|iteration)s?\b['\"]?[ :=#]{0,4}(\d{1,15})\b", re.IGNORECASE)
_EPOCH = re.compile(r"\bepochs?\b['\"]?[ :=#]{0,4}(\d{1,9})(?![\d.])", re.IGNORECASE)
_WORD = re.compile(r"[_/.@-]+")
_ANSI = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]")
_BREAK = re.compile(rb"[\r\n]")
_DIGIT = re.compile(r"\d|nan|inf", re.IGNORECASE)

_TAIL_NBYTES = 16 * 1024 * 1024
_CHUNK_NBYTES = 1024 * 1024
# A progress bar repaints one line again and again; a longer piece is no line for people.
_LONGEST_PIECE = 4096


def read_printed(path: Path, tail_nbytes: int = _TAIL_NBYTES) -> Iterator[Reported | str]:
    """Yield the numbers of a log, in its order.

    Args:
        path: of the log.
        tail_nbytes: of a longer log only its end is read; what counts are the last values.

    Raises:
        OSError: the log cannot be read.
    """
    with os.fdopen(open_regular(path), "rb") as stream:
        skipped = max(0, os.fstat(stream.fileno()).st_size - tail_nbytes)
        line = 1 + _count_lines(stream, skipped)
        if skipped:
            yield f"of standard output only the last {tail_nbytes} bytes were read for metrics"
        for piece_line, piece in _pieces(stream, line, is_cut=skipped > 0):
            yield from _reported(piece, piece_line)


def _count_lines(stream: BinaryIO, nbytes: int) -> int:
    count = 0
    while nbytes > 0 and (chunk := stream.read(min(nbytes, _CHUNK_NBYTES))):
        count += chunk.count(b"\n")
        nbytes -= len(chunk)
    return count


def _pieces(stream: BinaryIO, line: int, *, is_cut: bool) -> Iterator[tuple[int, str]]:
    """Yield (line number, text) between line ends; a carriage return ends a piece, not a line.

    A piece whose beginning was cut off is passed over, as one that is too long is.
    """
    rest, is_overlong = b"", is_cut
    while chunk := stream.read(_CHUNK_NBYTES):
        start = 0
        for end in _BREAK.finditer(chunk):
            piece = rest + chunk[start : end.start()]
            if piece and not is_overlong and len(piece) <= _LONGEST_PIECE:
                yield line, piece_text(piece)
            rest, is_overlong, start = b"", False, end.end()
            line += end.group() == b"\n"
        rest += chunk[start:]
        if len(rest) > _LONGEST_PIECE:
            rest, is_overlong = b"", True
    if rest and not is_overlong:
        yield line, piece_text(rest)


def piece_text(piece: bytes) -> str:
    """Return the text of a piece, without colours."""
    return _ANSI.sub(b"", piece).decode("utf-8", "replace")


def _reported(text: str, line: int) -> Iterator[Reported]:
    if not _DIGIT.search(text):
        return
    step: int | None = None
    is_looked_for = False
    for match in _PAIR.finditer(text):
        name = match["name"]
        if not _is_metric(name, match["lead"] or "", is_joined=bool(match["join"].strip())):
            continue
        value = _value(match, name)
        if value is None:
            continue
        if not is_looked_for:
            step, is_looked_for = _step(text), True
        yield Reported(f"{match['lead']}_{name}" if match["lead"] else name, value, step, line)


def _is_metric(name: str, lead: str, *, is_joined: bool) -> bool:
    """Return whether a name is that of a measurement."""
    words = [word for word in _WORD.split(name.lower()) if word]
    if not words:
        return False
    if name.lower() in _MEASURES:
        return True
    is_split = words[0] in _SPLITS and len(words) > 1
    if is_split and is_joined and not lead:
        return _SETTINGS.isdisjoint(words[1:]) or _measure(words)
    return _measure(words)


def _measure(words: list[str]) -> bool:
    """Return whether the last word that qualifies nothing is a measure: `f1_macro`, `rouge2`."""
    while len(words) > 1 and (words[-1] in _QUALIFIERS or words[-1].isdigit()):
        words = words[:-1]
    last = words[-1]
    return last in _MEASURES or last.rstrip("0123456789l") in ("rouge", "top", "bleu")


def _value(match: re.Match[str], name: str) -> float | None:
    """Return the number; of `Accuracy: 9913/10000` the quotient, of another fraction nothing."""
    value = float(match["number"])
    if match["over"] is None:
        return value
    divisor = float(match["over"][1:])
    is_share = _WORD.split(name.lower())[-1] in ("accuracy", "acc")
    return value / divisor if is_share and divisor and 0 <= value <= divisor else None


def _step(text: str) -> int | None:
    found = _STEP.search(text) or _EPOCH.search(text)
    return int(found[1]) if found else None
