"""The two statements of a policy's owner: "this is my policy" and "this release is withdrawn".

Both types are our own; docs/policy.md describes them.
"""

from collections.abc import Iterable, Mapping

from mlbom.attest.statement import Statement, Subject, json_object
from mlbom.attest.subjects import MANIFEST, in_name_order
from mlbom.attest.types import OWN_TYPES
from mlbom.errors import MalformedError

POLICY_PREDICATE = f"{OWN_TYPES}policy/v1"
WITHDRAWAL_PREDICATE = f"{OWN_TYPES}withdrawal/v1"


def policy_statement(name: str, files: Mapping[str, str]) -> Statement:
    """Return the unsigned statement about a policy.

    Args:
        name: of the policy file.
        files: SHA-256 of the policy and of every file that it names, by path relative to it.

    Raises:
        FileNameError: a file does not lie beside or below the policy.
        MalformedError: the policy is not among the files.
    """
    subjects = in_name_order(Subject(path, sha256) for path, sha256 in files.items())
    statement = Statement(subjects, POLICY_PREDICATE, {"policy": name})
    parse_policy_statement(statement)
    return statement


def parse_policy_statement(statement: Statement) -> tuple[str, Mapping[str, str]]:
    """Return the name of a policy file, and the SHA-256 of each file that its owner vouches for.

    Raises:
        MalformedError: another predicate, or one that names no policy among the subjects.
    """
    if statement.predicate_type != POLICY_PREDICATE:
        message = f"it states {statement.predicate_type[:200]}, not {POLICY_PREDICATE}"
        raise MalformedError(message)
    name = json_object(statement.predicate, "predicate", {"policy"})["policy"]
    files = {subject.name: subject.sha256 for subject in statement.subjects}
    if name not in files:
        message = "the statement names no policy among its subjects"
        raise MalformedError(message)
    return name, files


def withdrawal_statement(manifests: Iterable[str], why: str) -> Statement:
    """Return the unsigned statement that withdraws releases.

    Args:
        manifests: SHA-256 of the `model.manifest` of each, in hexadecimal digits.
        why: one line.

    Raises:
        MalformedError: no manifest, a malformed digest, or no reason.
    """
    subjects = (Subject(f"{sha256}/{MANIFEST}", sha256) for sha256 in set(manifests))
    statement = Statement(in_name_order(subjects), WITHDRAWAL_PREDICATE, {"why": why})
    parse_withdrawal(statement)
    return statement


def parse_withdrawal(statement: Statement) -> Mapping[str, str]:
    """Return why each release is withdrawn, by the SHA-256 of its manifest.

    Raises:
        MalformedError: another predicate, or no reason.
    """
    if statement.predicate_type != WITHDRAWAL_PREDICATE:
        message = f"it states {statement.predicate_type[:200]}, not {WITHDRAWAL_PREDICATE}"
        raise MalformedError(message)
    why = json_object(statement.predicate, "predicate", {"why"})["why"]
    if not isinstance(why, str) or not why.strip():
        message = "the withdrawal gives no reason"
        raise MalformedError(message)
    return {subject.sha256: why for subject in statement.subjects}
