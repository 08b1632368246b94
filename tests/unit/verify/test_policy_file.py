"""Policy files: what they say, what is refused and where, and that the schema says the same."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

import mlbom.verify
from mlbom.errors import LimitError, MalformedError, PathNotFoundError, PolicyError
from mlbom.formats.strict_yaml import parse_yaml
from mlbom.status import ExitStatus
from mlbom.verify.policy.file import policy_files, read_policy
from mlbom.verify.policy.values import AttributeRule, Quality, StepRule
from tests.fixtures.policies import (
    FULL,
    HEAD,
    MANIFEST,
    new_signer,
    policy_folder,
    write_policy,
)

SCHEMA = Path(mlbom.verify.__file__).parent / "policy" / "policy.schema.json"
PYPROJECT = Path(mlbom.__file__).parents[1] / "pyproject.toml"
PAGE = Path(mlbom.__file__).parents[1] / "docs" / "policy.md"
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy")
    policy_folder(path)
    return path


@pytest.fixture(scope="module")
def schema() -> Any:
    return jsonschema_rs.validator_for(json.loads(SCHEMA.read_text()), validate_formats=True)


def edited(edit: Edit, text: str = FULL) -> str:
    """Return a policy after a change to its plain data."""
    document = parse_yaml(text.encode(), "policy")
    edit(document)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def test_every_key_reaches_the_policy(folder: Path) -> None:
    policy = read_policy(write_policy(folder, FULL))
    alice, old, box, ci = policy.signers
    assert (alice.name, alice.since, alice.until) == ("alice", 1767225600, 1798761600)
    assert alice.key
    assert alice.key.pem == (folder / "alice.pub").read_bytes()
    assert old.revoked == 1780272000
    assert box.roles == {"data", "train"}
    assert ci.identity
    assert ci.identity.issuer == "https://token.actions.githubusercontent.com"
    assert ci.roles == {"release", "bom", "review"}
    assert policy.steps["data"] == StepRule(name="data")
    assert not policy.steps["eval"].required
    assert policy.steps["train"].attributes[1:3] == (
        AttributeRule(pointer="/predicate/x", operator="at-least", value=1.0),
        AttributeRule(pointer="/predicate/x", operator="at-most", value=2.5),
    )
    assert policy.steps["train"].materials[0] == "match prepared/* from data"
    assert policy.model == "pkg:huggingface/org/*"
    assert policy.trusted_inputs == ("pkg:huggingface/org/base@abc", f"sha256:{MANIFEST}")
    assert policy.timestamp_roots == ((folder / "tsa.pem").read_bytes(),)
    assert policy.trust_root == b'{"mediaType": "x"}'
    assert policy.max_age_s == 90 * 86_400
    assert (policy.min_version, policy.needs_version) == ("1.2.0", True)
    assert policy.withdrawn == {
        MANIFEST: "leaked",
        "pkg:huggingface/org/name@1.0": "wrong licence",
    }
    assert policy.ignore == ("extra", "notes/private")
    metrics = {"accuracy": 0.9, "loss": 2.0}
    assert policy.quality == Quality(most_gaps=10, metrics=metrics, reproduction="exact-weights")


def test_release_signers_sign_the_bom_unless_somebody_else_does(folder: Path) -> None:
    first = read_policy(write_policy(folder, HEAD)).signers[0]
    assert first.roles == {"release", "bom"}
    text = HEAD.replace("train: [box]", "bom: [box]")
    assert read_policy(write_policy(folder, text)).signers[0].roles == {"release"}


def test_a_key_may_stand_in_the_policy_itself(folder: Path) -> None:
    pem = (folder / "alice.pub").read_text()

    def inline(document: dict[str, Any]) -> None:
        document["keys"]["alice"] = {"pem": pem}

    assert read_policy(write_policy(folder, edited(inline, HEAD))).signers[0].key
    assert [*policy_files(write_policy(folder, edited(inline, HEAD)))] == [
        "mlbom-policy.yaml",
        "box.pub",
    ]


def test_a_key_under_two_names_counts_once_and_is_revoked_under_both(folder: Path) -> None:
    def twin(document: dict[str, Any]) -> None:
        document["keys"]["twin"] = {"file": "alice.pub", "revoked": "2026-06-01T00:00:00Z"}
        document["roles"]["release"].append("twin")

    alice, _, twin_ = read_policy(write_policy(folder, edited(twin, HEAD))).signers
    assert alice.material == twin_.material
    assert alice.revoked == twin_.revoked == 1780272000

    def two(document: dict[str, Any]) -> None:
        twin(document)
        document["steps"] = {"release": {"threshold": 2}}

    with pytest.raises(PolicyError, match=r"steps\.release: needs 2 signers .* there are 1"):
        read_policy(write_policy(folder, edited(two, HEAD)))


def put(*path: str | int, value: Any) -> Edit:
    """Return an edit that sets the value at a path."""

    def edit(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return edit


METRIC = {"level": "metric"}


def rebuilt(*path: str | int, value: Any) -> Edit:
    """Return an edit that sets the value at a path, where somebody has the role rebuild."""

    def edit(document: Any) -> None:
        document["roles"]["rebuild"] = ["box"]
        put(*path, value=value)(document)

    return edit


# Edits of FULL that break its form, and what the message must say.
BAD_FORM: tuple[tuple[Edit, str], ...] = (
    (put("version", value=2), "version: takes a whole number from 1 to 1"),
    (put("version", value="1"), "version: takes a whole number"),
    (put("stepz", value={}), "stepz: unknown key"),
    (put("steps", "train", "treshold", value=1), r"steps\.train\.treshold: unknown key"),
    (put("steps", "train", "threshold", value=0), r"steps\.train\.threshold: takes a whole"),
    (put("steps", "train", "threshold", value=True), r"steps\.train\.threshold: takes a whole"),
    (put("steps", "train", "threshold", value=1.5), r"steps\.train\.threshold: takes a whole"),
    (put("steps", "train", "required", value="yes"), r"steps\.train\.required: takes true or"),
    (put("steps", "train", "build-types", value="x"), r"build-types: takes a list, not 'x'"),
    (put("steps", "finetune-2", "role", value="release"), r"finetune-2\.role: takes one of"),
    (put("steps", "train", "materials", 0, value="match x"), r"materials\[0\]: 'match x' is not"),
    (put("steps", "train", "materials", 0, value="create x"), "has no place among the materials"),
    (put("steps", "train", "materials", 0, value="allow  "), "is not a rule"),
    (
        put("steps", "train", "products", 0, value="match x from data"),
        "has no place among the prod",
    ),
    (put("steps", "train", "products", 0, value=7), r"products\[0\]: takes a text, not 7"),
    (put("steps", "train", value=None), r"steps\.train: takes a table of settings, not nothing"),
    (put("steps", "tr ain", value={}), "is not a name"),
    (put("steps", "train", "attributes", 0, value={"at": "/x"}), "demands nothing"),
    (put("steps", "train", "attributes", 0, value={"equals": 1}), "the key at is missing"),
    (put("steps", "train", "attributes", 0, "at", value="x"), r"attributes\[0\]\.at: takes"),
    (put("steps", "train", "attributes", 0, "at", value="/a~2"), "is not a JSON pointer"),
    (put("steps", "train", "attributes", 0, "equals", value=None), "takes a value, not nothing"),
    (put("steps", "train", "attributes", 0, "eqals", value=1), r"eqals: unknown key"),
    (put("steps", "train", "attributes", 1, "at-least", value="1"), "takes a number, not '1'"),
    (put("steps", "train", "attributes", 2, "present", value=False), "takes true"),
    (put("steps", "train", "attributes", 3, "one-of", value=[]), "takes a list of values"),
    (put("keys", "alice", value={"since": "2026-01-01T00:00:00Z"}), "exactly one of file and pem"),
    (put("keys", "alice", "pem", value="x"), "exactly one of file and pem"),
    (put("keys", "alice", "since", value="2026-01-01"), r"since: takes a time with its zone"),
    (put("keys", "alice", "since", value="2026-01-01T00:00:00"), r"since: takes a time"),
    (put("keys", "alice", "since", value="2026-02-30T00:00:00Z"), r"since: takes a time"),
    (put("keys", "alice", "since", value=1767225600), r"since: takes a time"),
    (put("keys", "al ice", value="alice.pub"), "is not a name"),
    (put("identities", "ci", "subject", value="**"), "a pattern that does not fit everybody"),
    (put("identities", "ci", "issuer", value="actions"), "takes the URL of an OIDC issuer"),
    (put("identities", "ci", value={"subject": "x"}), "the key issuer is missing"),
    (put("roles", "releases", value=["alice"]), r"roles\.releases: unknown key"),
    (put("roles", "release", value=[]), "nobody has the role release"),
    (put("roles", "release", value="alice"), "takes a list, not 'alice'"),
    (lambda d: d.pop("roles"), "the key roles is missing"),
    (lambda d: (d.pop("keys"), d.pop("identities")), "names no key and no identity"),
    (put("trusted-inputs", 0, value="https://x"), r"trusted-inputs\[0\]: takes a purl"),
    (put("trusted-inputs", 1, value=f"sha256:{MANIFEST.upper()}X"), r"trusted-inputs\[1\]"),
    (put("timestamps", "root", value=[]), r"timestamps\.root: unknown key"),
    (put("max-age", value="90"), "takes a span such as 90d"),
    (put("max-age", value=90), "takes a span such as 90d"),
    (put("max-age", value="0d"), "takes a span such as 90d"),
    (put("release", "min-version", value=1.2), r"release\.min-version: takes a text, not 1\.2"),
    (put("release", "needs-version", value=1), "takes true or false"),
    (put("model", value="pkg:generic/x@1.0"), "a purl without a version"),
    (put("model", value="org/name"), "model: takes a purl"),
    (put("withdrawn", 0, value={"manifest": MANIFEST}), "the key why is missing"),
    (put("withdrawn", 0, value={"why": "x"}), "exactly one of manifest and purl"),
    (put("withdrawn", 0, "manifest", value="55"), "the SHA-256 of a model.manifest"),
    (put("withdrawn", 1, "purl", value="pkg:generic/x"), "a purl with its version"),
    (put("withdrawals", value=1), r"withdrawals: takes"),
    (put("ignore", value="extra"), "ignore: takes a list"),
    (put("quality", "most-gaps", value=-1), "takes a whole number"),
    (put("quality", "reproduction", value="exact"), "takes one of exact-trace"),
    (put("quality", "reproduction", value=["metric"]), "takes one of exact-trace"),
    (put("quality", "reproduction", value={"threshold": 1}), "the key level is missing"),
    (put("quality", "reproduction", value={"level": "metric", "by": 2}), "by: unknown key"),
    (rebuilt("quality", "reproduction", value={"level": "best"}), r"level: takes one of exact"),
    (rebuilt("quality", "reproduction", value={**METRIC, "threshold": 0}), "a whole number"),
    (rebuilt("quality", "reproduction", value={**METRIC, "independent": 1}), "true or false"),
    (rebuilt("steps", "reproduce", value={"level": "diverged"}), "takes one of exact-trace"),
    (rebuilt("steps", "reproduce", value={"independent": "yes"}), "takes true or false"),
    (put("quality", "metrics", "accuracy", value="0.9"), "takes a number"),
)
# Edits that only this package can refuse.
BAD_SENSE: tuple[tuple[Edit, str], ...] = (
    (put("roles", "train", 0, value="boxx"), r"roles\.train\[0\]: nobody is called 'boxx'"),
    (put("keys", "spare", value="old.pub"), r"keys\.spare: the signer has no role"),
    (put("keys", "spare", value="none.pub"), r"keys\.spare: the signer has no role"),
    (put("keys", "alice", "file", value="none.pub"), r"keys\.alice\.file: cannot read none\.pub"),
    (put("keys", "alice", "file", value="alice.pem"), r"alice\.file: it is a private key"),
    (put("keys", "alice", "file", value="tsa.pem"), r"keys\.alice\.file: it is not a PEM Subj"),
    (put("keys", "alice", "file", value="."), r"keys\.alice\.file: cannot read"),
    (put("keys", "alice", "until", value="2025-01-01T00:00:00Z"), "ends before it begins"),
    (put("identities", "box", value={"subject": "x", "issuer": "https://x"}), "among the keys"),
    (put("steps", "train", "threshold", value=2), "needs 2 signers with the role train, there are"),
    (put("steps", "review", value={"threshold": 2}), "needs 2 signers with the role review"),
    (put("steps", "reproduce", value={}), "needs 1 signers with the role rebuild, there are 0"),
    (put("quality", "reproduction", value=METRIC), "needs 1 signers with the role rebuild, there"),
    (
        rebuilt("quality", "reproduction", value={**METRIC, "threshold": 2}),
        r"quality\.reproduction: needs 2 signers with the role rebuild, there are 1",
    ),
    (put("steps", "train", "level", value="metric"), "only the step reproduce has level"),
    (put("steps", "eval", "independent", value=True), "only the step reproduce has independent"),
    (put("steps", "train", "materials", 0, value="match * from dta"), "there is no step 'dta'"),
    (put("steps", "train", "materials", 0, value="match * from bom"), "there is no step 'bom'"),
    (put("steps", "release", value={"materials": []}), "only recorded steps have materials"),
    (put("steps", "bom", value={"build-types": ["x"]}), "only recorded steps have build-types"),
    (put("steps", "train", "role", value="data"), "the step train has the role train"),
    (put("release", "min-version", value="newest"), "a version that has an order"),
    (put("timestamps", "roots", 0, value="alice.pub"), "alice.pub holds no PEM certificate"),
    (put("timestamps", "roots", 0, value="none.pem"), "cannot read none.pem"),
    (put("timestamps", "trust-root", value="alice.pub"), r"timestamps\.trust-root: alice\.pub is"),
    (put("ignore", 0, value="../x"), r"ignore\[0\]: takes a path relative to the model"),
    (put("ignore", 0, value="."), r"ignore\[0\]: takes a path relative to the model"),
    (put("withdrawals", value="none.json"), "withdrawals: cannot read none.json"),
)


@pytest.mark.parametrize(("edit", "told"), BAD_FORM, ids=[told for _, told in BAD_FORM])
def test_what_has_not_the_form_is_refused_by_us_and_by_the_schema(
    folder: Path, schema: Any, edit: Edit, told: str
) -> None:
    text = edited(edit)
    with pytest.raises(PolicyError, match=told) as caught:
        read_policy(write_policy(folder, text))
    assert caught.value.message.startswith("mlbom-policy.yaml: ")
    assert caught.value.hint
    assert caught.value.status is ExitStatus.USAGE
    if "a JSON pointer" not in told:
        assert not schema.is_valid(parse_yaml(text.encode(), "policy"))


@pytest.mark.parametrize(("edit", "told"), BAD_SENSE, ids=[told for _, told in BAD_SENSE])
def test_what_makes_no_sense_is_refused_although_the_schema_accepts_it(
    folder: Path, schema: Any, edit: Edit, told: str
) -> None:
    text = edited(edit)
    with pytest.raises(PolicyError, match=told):
        read_policy(write_policy(folder, text))
    assert schema.is_valid(parse_yaml(text.encode(), "policy"))


GOOD: tuple[Edit, ...] = (
    lambda _d: None,
    put("steps", value={}),
    put("steps", "train", "threshold", value=1.0),
    put("steps", "finetune-2", "role", value="data"),
    put("steps", "train", "products", 0, value="match a from b in model"),
    put("steps", "train", "materials", 0, value="match a in model from train"),
    put("steps", "train", "attributes", 0, "equals", value={"a": [1, None]}),
    put("steps", "train", "attributes", 0, "at", value="/a~1b/~0//"),
    put("keys", "alice", "since", value="2026-01-01T00:00:00.25-07:00"),
    put("max-age", value="1w"),
    put("quality", value={}),
    put("quality", "reproduction", value="metric"),
    rebuilt("quality", "reproduction", value={**METRIC, "threshold": 1, "independent": False}),
    rebuilt("steps", "reproduce", value={"level": "exact-trace", "independent": True}),
    put("withdrawn", value=[]),
    put("trusted-inputs", 0, value="pkg:huggingface/datasets/org/*@*"),
    lambda d: (
        d.pop("identities"),
        put("roles", value={r: ["alice", "old", "box"] for r in ("release", "data", "train")})(d),
    ),
)


@pytest.mark.parametrize("edit", GOOD, ids=range(len(GOOD)))
def test_what_has_the_form_is_accepted_by_us_and_by_the_schema(
    folder: Path, schema: Any, edit: Edit
) -> None:
    text = edited(edit)
    read_policy(write_policy(folder, text))
    assert schema.is_valid(parse_yaml(text.encode(), "policy"))


def test_how_many_must_have_reproduced_what(folder: Path) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["roles"]["rebuild"] = ["box", "ci"]
        told = {"level": "exact-trace", "threshold": 2, "independent": True}
        document["quality"]["reproduction"] = told
        document["steps"]["reproduce"] = {"threshold": 2, "level": "metric", "independent": True}

    policy = read_policy(write_policy(folder, edited(edit)))
    found = policy.quality
    assert (found.reproduction, found.reproduction_threshold) == ("exact-trace", 2)
    assert found.reproduction_independent
    rule = StepRule(name="reproduce", threshold=2, level="metric", independent=True)
    assert policy.steps["reproduce"] == rule


def test_a_trust_root_may_be_certificates(folder: Path) -> None:
    policy = read_policy(write_policy(folder, FULL.replace("trusted_root.json", "tsa.pem")))
    assert policy.trust_root == (folder / "tsa.pem").read_bytes()
    (folder / "bad.pem").write_text(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    )
    for key, text in (
        ("trust-root", FULL.replace("trusted_root.json", "bad.pem")),
        (r"roots\[0\]", FULL.replace("tsa.pem", "bad.pem")),
    ):
        with pytest.raises(PolicyError, match=rf"timestamps\.{key}: bad\.pem holds no PEM"):
            read_policy(write_policy(folder, text))


def test_an_unknown_key_names_the_nearest_one(folder: Path) -> None:
    text = edited(put("steps", "train", "treshold", value=1))
    with pytest.raises(PolicyError) as caught:
        read_policy(write_policy(folder, text))
    assert caught.value.hint == "did you mean 'threshold'?"


def test_a_number_where_a_text_belongs_says_what_to_do(folder: Path) -> None:
    with pytest.raises(PolicyError) as caught:
        read_policy(write_policy(folder, FULL.replace("1.2.0", "1.2")))
    assert caught.value.hint == "write it in quotes"


def test_a_time_may_be_yaml_or_text_but_has_a_zone(folder: Path) -> None:
    plain = HEAD.replace("box: {file: box.pub}", "box: {file: box.pub, revoked: %s}")
    for spelling in ("2026-06-01T00:00:00Z", '"2026-06-01T02:00:00+02:00"', "2026-06-01 00:00:00Z"):
        policy = read_policy(write_policy(folder, plain % spelling))
        assert policy.signers[1].revoked == 1780272000
    for spelling in ("2026-06-01", "2026-06-01 00:00:00", "2026-06-01T00:00:00"):
        with pytest.raises(PolicyError, match="a time with its zone"):
            read_policy(write_policy(folder, plain % spelling))


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ("", PolicyError, "takes a table of settings, not nothing"),
        ("- 1\n", PolicyError, "takes a table of settings"),
        ("version: 1\nversion: 1\n", MalformedError, "twice"),
        ("version: !!python/object/apply:os.getcwd []\n", MalformedError, "not valid YAML"),
        ("[" * 100, LimitError, "nests deeper"),
        ("#" * 1_100_000, LimitError, "larger than"),
        ("a: &a [1]\nb: [" + "*a, " * 300 + "]\n", LimitError, "aliases"),
    ],
)
def test_a_hostile_file_ends_with_a_coded_error(
    folder: Path, text: str, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        read_policy(write_policy(folder, text))


def test_a_policy_that_is_not_there(folder: Path) -> None:
    with pytest.raises(PathNotFoundError, match="policy not found"):
        read_policy(folder / "none.yaml")


def test_the_schema_is_a_schema_and_travels_with_the_package() -> None:
    jsonschema_rs.meta.validate(json.loads(SCHEMA.read_text()))
    assert 'only-include = ["mlbom", "templates"]' in PYPROJECT.read_text()


def test_the_policies_of_the_documentation_are_valid(folder: Path, schema: Any) -> None:
    for name in ("gpu-box.pub", "carol.pub"):
        new_signer(folder, name.removesuffix(".pub"))
    blocks = [block.split("```", 1)[0] for block in PAGE.read_text().split("```yaml\n")[1:]]
    policies = [read_policy(write_policy(folder, block)) for block in blocks]
    assert [len(policy.signers) for policy in policies] == [1, 5, 3]
    assert all(schema.is_valid(parse_yaml(block.encode(), "block")) for block in blocks)


def test_every_key_of_the_schema_is_described() -> None:
    """docs/policy.md lists each key of the form."""
    page = PAGE.read_text()
    keys = set(
        re.findall(
            r'"([a-z-]+)": \{"?(?:\$ref|type|description|const|enum|not)', SCHEMA.read_text()
        )
    )
    assert {"threshold", "min-version", "at-least"} <= keys
    for key in sorted(keys - {"items", "name", "text", "texts", "time", "attribute", "not"}):
        assert f"`{key}" in page or f"{key}:" in page, key
