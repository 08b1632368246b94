"""The caller asked for something that cannot be done: a flag, a path, a setting, a key."""

from mlbom.errors.base import MlbomError
from mlbom.status import ExitStatus


class UsageError(MlbomError):
    """The command line asks for something that mlbom cannot do as it was asked.

    Read the message: it names the argument. `mlbom COMMAND --help` lists what is accepted.
    """

    code = "E0100"
    status = ExitStatus.USAGE
    hint = "mlbom --help lists the commands and their options"


class PathNotFoundError(UsageError):
    """A path given on the command line or in the configuration does not exist.

    Paths are taken relative to the working directory (on the command line) or to the file that
    names them (in the configuration).
    """

    code = "E0101"
    hint = "check the spelling, or give an absolute path"


class SeveralModelsError(UsageError):
    """PATH holds several models, and one release describes one model.

    Choose one with `--model NAME`, or make one output directory for each with `--all`.
    """

    code = "E0102"


class NoWeightsError(UsageError):
    """No model weights were found, so there is nothing to make a statement about.

    mlbom looks for model directories (weights beside config.json, modules.json, ...), sharded
    indexes and single weight files. Name files that it does not recognise with `--weights`.
    """

    code = "E0103"
    hint = "mlbom generate --weights FILE names the weights yourself"


class ConfigurationError(UsageError):
    """A setting is unknown or has the wrong type.

    Settings come from flags, MLBOM_* variables, mlbom.toml and [tool.mlbom] in pyproject.toml, in
    that order. An unknown key is an error, because a misspelled setting would silently not apply.
    """

    code = "E0104"
    hint = "mlbom config --show-origin prints every setting and where it came from"


class KeyChoiceError(UsageError):
    """Under CI mlbom does not make a key by itself: choose how the release is signed.

    A key made on a CI machine would be lost with it, and nobody could verify the release.
    """

    code = "E0106"
    hint = "--key URI signs with your key, --keyless with this job's identity, --no-sign not at all"


class NoTrustedKeyError(UsageError):
    """`mlbom verify` was given no key, and this user has no default key either.

    A key that lies beside the model is shown but never trusted: whoever can change the model can
    change that key. Get the publisher's public key by another way.
    """

    code = "E0107"
    hint = "mlbom verify DIR --key PUBLISHER.pub"


class InspectedPythonError(UsageError):
    """The interpreter named by --python cannot be read as an environment.

    mlbom reads the environment's files and never starts its interpreter, so it needs the real
    executable inside a virtual environment or installation, not a launcher script.
    """

    code = "E0108"
    hint = "name the real binary, for example .venv/bin/python"


class PublicKeyError(UsageError):
    """A file given as a public key is not one that mlbom can verify with.

    mlbom reads one PEM SubjectPublicKeyInfo: ECDSA P-256 or P-384, Ed25519, ML-DSA, or RSA of 2048
    to 16384 bits. A private key is refused too: nobody needs it to verify.
    """

    code = "E0109"
    hint = "openssl pkey -in KEY.pem -pubout writes the public key of a private one"


class KeyExistsError(UsageError):
    """A key file of that name is there already, and mlbom never overwrites a key.

    What was signed with the old key could not be verified any more.
    """

    code = "E0110"
    hint = "choose another name, or move the old pair away yourself"


class CommandNotStartedError(UsageError):
    """The command after `--` cannot be started, so there is nothing to record.

    mlbom starts it as it is, without a shell: a pipeline, a variable or a built-in needs
    `sh -c '...'`, a script without a `#!` line needs its interpreter named before it.
    """

    code = "E0111"
    hint = "mlbom run -- sh -c 'COMMAND' gives the command to a shell"


class PolicyError(UsageError):
    """A policy file cannot be obeyed as it is written.

    The message names the place in the file, for example `steps.train.threshold`. A policy is read
    strictly: an unknown key, a role with an unknown name or a signer without a role is an error,
    because a misspelled demand would silently not be made. docs/policy.md lists every key.
    """

    code = "E0120"
    hint = "mlbom policy check FILE reads a policy and tells what is wrong with it"


class ConsentError(UsageError):
    """`mlbom reproduce` runs the code of the project, and nobody has said that it may.

    It asks once for each project in a terminal. Elsewhere say it with `--yes` or `MLBOM_YES=1`; a
    project's own file cannot say it. The sandbox (docs/reproduction.md) keeps honest code from
    disturbing the result, and keys out of easy reach; it is no wall against code that wants to
    do harm.
    """

    code = "E0112"
    hint = "mlbom reproduce --yes, when you trust the project's code"
