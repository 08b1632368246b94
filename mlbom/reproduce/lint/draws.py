"""Which calls draw from the generator that a library keeps for the whole process."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mlbom.reproduce.lint.module import Module
from mlbom.reproduce.lint.rule import Project, argument, keyword, tail

_Draw = tuple[Module, str, ast.Call]

_TORCH = frozenset(
    "torch." + name
    for name in """rand rand_like randn randn_like randint randint_like randperm normal bernoulli
    multinomial poisson dropout utils.data.random_split utils.data.RandomSampler
    utils.data.WeightedRandomSampler utils.data.SubsetRandomSampler
    utils.data.dataset.random_split nn.functional.gumbel_softmax""".split()
)
_TORCH_PREFIXES = ("torch.nn.functional.dropout", "torch.nn.functional.feature_dropout")
_TORCH_METHODS = frozenset(
    "normal_ uniform_ bernoulli_ exponential_ geometric_ cauchy_ log_normal_ random_".split()
)
# Layers that draw: their first weights, or each time they run.
_LAYERS = re.compile(
    r"torch\.nn\.(modules\.\w+\.)?(Lazy)?(Linear|Bilinear|Conv\w+|Embedding\w*|RNN\w*|LSTM\w*|GRU\w*|"
    r"MultiheadAttention|Transformer\w*|\w*Dropout\w*|RReLU)|torch\.nn\.init\.\w+_|"
    r"torchvision\.models\.[a-z]\w+"
)
_LEARNS = frozenset({"backward", "fit", "grad"})
_RANDOM = frozenset(
    "random." + name
    for name in """random randint randrange shuffle sample choice choices uniform gauss
    normalvariate betavariate expovariate triangular getrandbits lognormvariate randbytes
    vonmisesvariate gammavariate paretovariate weibullvariate""".split()
)
_NUMPY_QUIET = frozenset(
    """seed get_state set_state default_rng Generator RandomState SeedSequence BitGenerator PCG64
    PCG64DXSM MT19937 Philox SFC64""".split()
)
# Of scikit-learn: what draws from numpy's generator unless it is given a random_state.
_SKLEARN = frozenset(
    """train_test_split shuffle resample ShuffleSplit StratifiedShuffleSplit GroupShuffleSplit
    RandomForestClassifier RandomForestRegressor KMeans MiniBatchKMeans MLPClassifier MLPRegressor
    RandomizedSearchCV GradientBoostingClassifier SGDClassifier""".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """One library with a generator of the whole process.

    Args:
        name: `torch`.
        seeders: dotted names of the functions that seed it.
        fix: how to seed it.
    """

    name: str
    seeders: frozenset[str]
    fix: str

    def draws(self, project: Project) -> Iterator[_Draw]:
        """Yield the calls that draw from it."""
        test = _TESTS[self.name]
        learns = any(tail(name) in _LEARNS for name in project.called)
        for module, name, call in project.calls():
            if test(name, call) or (self.name == "torch" and learns and _LAYERS.fullmatch(name)):
                yield module, name, call


def _draws_torch(name: str, call: ast.Call) -> bool:
    if keyword(call, "generator") is not None:
        return False
    if tail(name) == "DataLoader":
        shuffle = argument(call, 2, "shuffle")
        return isinstance(shuffle, ast.Constant) and shuffle.value is True
    is_method = "." in name and tail(name) in _TORCH_METHODS
    return name in _TORCH or name.startswith(_TORCH_PREFIXES) or is_method


def _draws_random(name: str, _: ast.Call) -> bool:
    return name in _RANDOM


def _draws_numpy(name: str, call: ast.Call) -> bool:
    if name.startswith("numpy.random."):
        return name.count(".") == 2 and tail(name) not in _NUMPY_QUIET  # noqa: PLR2004
    if keyword(call, "random_state") is not None:
        return False
    if name.startswith("sklearn."):
        return tail(name) in _SKLEARN
    # `frame.sample(frac=1)` of pandas
    is_sample = tail(name) == "sample" and "." in name
    return is_sample and any(k.arg in {"frac", "n"} for k in call.keywords) and not call.args


_TESTS = {"torch": _draws_torch, "random": _draws_random, "numpy": _draws_numpy}

LIBRARIES = (
    Library(
        name="torch",
        seeders=frozenset(
            "torch." + name
            for name in """manual_seed random.manual_seed cuda.manual_seed cuda.manual_seed_all
            cuda.random.manual_seed cuda.random.manual_seed_all set_rng_state
            random.set_rng_state""".split()
        ),
        fix="call torch.manual_seed(SEED) before the first use",
    ),
    Library(
        name="random",
        seeders=frozenset({"random.seed", "random.setstate"}),
        fix="call random.seed(SEED) before the first use",
    ),
    Library(
        name="numpy",
        seeders=frozenset({"numpy.random.seed", "numpy.random.set_state"}),
        fix="call numpy.random.seed(SEED) before the first use",
    ),
)
_ITEMS = frozenset({"__getitem__", "__getitems__", "__iter__"})


def draws_in_datasets(project: Project) -> str:
    """Return what a data set draws from: `random`, `numpy.random`, or an empty text."""
    for module in project.modules:
        homes = {
            module.class_of(function)
            for name in _ITEMS
            for function in module.functions.get(name, ())
        }
        for name, call in module.calls:
            home = module.class_of(call)
            if home is None or home not in homes:
                continue
            if _draws_random(name, call):
                return "random"
            if _draws_numpy(name, call):
                return "numpy.random"
    return ""
