"""Rules about seeds of the generators that a whole process shares."""

import ast
import re
from collections.abc import Iterator

from mlbom.reproduce.lint.draws import LIBRARIES, Library, draws_in_datasets
from mlbom.reproduce.lint.entropy import entropy_in
from mlbom.reproduce.lint.rule import Hit, Project, Rule, argument, has_stars, keyword, tail
from mlbom.reproduce.values import CauseKind

# What frameworks and projects call their one function for all seeds.
_SEEDS_ALL = re.compile(
    r"(set|fix|init|initiali[sz]e|setup)_(all_|random_|global_|rng_)?seeds?(_all)?"
    r"|seed_(everything|all|rngs?|random|libraries)|(enable_full|set)_determinis\w+"
)
# Trainers that seed by themselves (transformers: TrainingArguments.seed is 42).
_SEED_BY_THEMSELVES = frozenset({"TrainingArguments", "Seq2SeqTrainingArguments"})
_SEEDERS = frozenset({"manual_seed", "manual_seed_all", "seed", "seed_everything", "set_seed"})
_TAKES_SEED = _SEEDERS | {"default_rng", "RandomState", "Random", "SeedSequence", "PCG64"}
_SEED_KEYWORDS = frozenset({"seed", "random_state", "random_seed", "data_seed"})
_TAKES_ENTROPY = frozenset({"torch.seed", "torch.random.seed", "torch.cuda.seed"})
_OWN_SEEDS = {"random.seed": 0, "numpy.random.seed": 0}


def unseeded(library: Library, project: Project) -> Iterator[Hit]:
    """Yield the first random number of a library that nobody seeds."""
    if is_seeded(project, library):
        return
    found = next(iter(library.draws(project)), None)
    if found is not None:
        module, name, call = found
        told = name.removeprefix("?.")
        message = f"{told} draws from the generator of {library.name}, which nobody seeds"
        yield Hit(module, call, message)


def is_seeded(project: Project, library: Library) -> bool:
    """Return whether some file seeds the generator of a library, or calls what seeds all."""
    for _, name, call in project.calls():
        if name in library.seeders and (call.args or call.keywords):
            return True
        if tail(name) in _SEED_BY_THEMSELVES:
            return True
        if _SEEDS_ALL.fullmatch(tail(name)) and _is_foreign(project, name):
            return True
    return False


def _is_foreign(project: Project, name: str) -> bool:
    """Return whether a function for all seeds is not among the files: its body cannot be read."""
    return tail(name) not in project.functions and not name.startswith(("torch.", "numpy."))


def clock_seed(project: Project) -> Iterator[Hit]:
    """Yield seeds taken from the clock, the process, or the system's entropy."""
    for module, name, call in project.calls():
        if name in _TAKES_ENTROPY:
            yield Hit(module, call, f"{name} takes a seed from the system's entropy")
            continue
        if name in _OWN_SEEDS and not has_stars(call) and argument(call, 0, "a") is None:
            if not call.keywords:
                yield Hit(module, call, f"{name} without a seed takes the system's entropy")
            continue
        for given in _seeds_in(name, call):
            source = entropy_in(module, given)
            if source:
                yield Hit(module, call, f"this seed comes from {source}, which differs each time")
                break


def _seeds_in(name: str, call: ast.Call) -> Iterator[ast.expr]:
    """Yield the arguments of a call that are seeds."""
    if tail(name) in _TAKES_SEED:
        yield from call.args
    yield from (k.value for k in call.keywords if k.arg in _SEED_KEYWORDS)


def worker_seeding(project: Project) -> Iterator[Hit]:
    """Yield loaders whose workers draw from random or numpy while only those are seeded.

    torch seeds `random` and `numpy.random` of each worker from its own generator
    (torch/utils/data/_utils/worker.py): seeds of the main process do not reach the workers.
    """
    torch = next(library for library in LIBRARIES if library.name == "torch")
    if is_seeded(project, torch):
        return
    drawn = draws_in_datasets(project)
    if not drawn:
        return
    for module, name, call in project.calls():
        if tail(name) == "DataLoader" and _has_workers(call):
            message = (
                f"workers draw from {drawn}, which torch seeds in each of them from its own"
                " generator, and nobody seeds that"
            )
            yield Hit(module, call, message)


def _has_workers(call: ast.Call) -> bool:
    """Return whether a loader starts workers and neither seeds them nor has a generator."""
    workers = argument(call, 5, "num_workers")
    if workers is None or (isinstance(workers, ast.Constant) and not workers.value):
        return False
    return keyword(call, "worker_init_fn") is None and keyword(call, "generator") is None


def _unseeded_rule(library: Library) -> Rule:
    return Rule(
        name=f"unseeded-{library.name}",
        kind=CauseKind.SEED,
        fix=library.fix,
        find=lambda project: unseeded(library, project),
    )


RULES = (
    *(_unseeded_rule(library) for library in LIBRARIES),
    Rule(
        name="clock-seed",
        kind=CauseKind.SEED,
        fix="take the seed from a constant, an option or a configuration file",
        find=clock_seed,
    ),
    Rule(
        name="worker-seeding",
        kind=CauseKind.LOADER_WORKER,
        fix="call torch.manual_seed(SEED), or give the loader generator= and worker_init_fn=",
        find=worker_seeding,
    ),
)
