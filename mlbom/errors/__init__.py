"""The exception tree: every failure of mlbom itself has a code, a hint and an exit status.

The docstring of a class is its `mlbom explain` page. What is wrong with the inspected subject is
never an exception: it is a `Finding` or a `Gap` (see `mlbom.evidence`).
"""

from mlbom.errors.base import MlbomError
from mlbom.errors.subject import (
    ChangedWhileReadingError,
    FileNameError,
    LimitError,
    MalformedError,
    OldSignatureError,
    RepositoryError,
    UnknownFormatError,
    UnreadableError,
    UntrustedPolicyError,
)
from mlbom.errors.surroundings import (
    EnvironmentFailureError,
    GitMissingError,
    InvalidBomError,
    LockedError,
    OutputError,
    RefusedError,
    SecretLeakError,
    SigningError,
    StateError,
    UnsafeKeyFileError,
    UnverifiedOwnerError,
)
from mlbom.errors.usage import (
    CommandNotStartedError,
    ConfigurationError,
    InspectedPythonError,
    KeyChoiceError,
    KeyExistsError,
    NoTrustedKeyError,
    NoWeightsError,
    PathNotFoundError,
    PolicyError,
    PublicKeyError,
    SeveralModelsError,
    UsageError,
)

__all__ = [
    "ChangedWhileReadingError",
    "CommandNotStartedError",
    "ConfigurationError",
    "EnvironmentFailureError",
    "FileNameError",
    "GitMissingError",
    "InspectedPythonError",
    "InvalidBomError",
    "KeyChoiceError",
    "KeyExistsError",
    "LimitError",
    "LockedError",
    "MalformedError",
    "MlbomError",
    "NoTrustedKeyError",
    "NoWeightsError",
    "OldSignatureError",
    "OutputError",
    "PathNotFoundError",
    "PolicyError",
    "PublicKeyError",
    "RefusedError",
    "RepositoryError",
    "SecretLeakError",
    "SeveralModelsError",
    "SigningError",
    "StateError",
    "UnknownFormatError",
    "UnreadableError",
    "UnsafeKeyFileError",
    "UntrustedPolicyError",
    "UnverifiedOwnerError",
    "UsageError",
]
