"""The exception tree: every failure of mlbom itself has a code, a hint and an exit status.

The docstring of a class is its `mlbom explain` page. What is wrong with the inspected subject is
never an exception: it is a `Finding` or a `Gap` (see `mlbom.evidence`).
"""

from collections.abc import Sequence
from typing import ClassVar

from mlbom.status import ExitStatus


class MlbomError(Exception):
    """mlbom could not do its work.

    Args:
        message: one line, without a final full stop, that names the thing concerned.
        looked: the places where mlbom looked, in order.
        hint: what the user can do; the class's own hint when empty.
    """

    code: ClassVar[str] = "E0000"
    status: ClassVar[ExitStatus] = ExitStatus.ENVIRONMENT
    hint: str = ""

    def __init__(self, message: str, *, looked: Sequence[str] = (), hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.looked = tuple(looked)
        self.hint = hint or type(self).hint


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
    hint = "--key URI signs with your key, --no-sign signs nothing"


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

    mlbom reads one PEM SubjectPublicKeyInfo: ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to
    16384 bits. A private key is refused too: nobody needs it to verify.
    """

    code = "E0109"
    hint = "openssl pkey -in KEY.pem -pubout writes the public key of a private one"


class KeyExistsError(UsageError):
    """A key file of that name is there already, and mlbom never overwrites a key.

    What was signed with the old key could not be verified any more.
    """

    code = "E0110"
    hint = "choose another name, or move the old pair away yourself"


class UnreadableError(MlbomError):
    """Bytes that mlbom needs were there but could not be read or parsed.

    Unknown is never shown as clean: the command ends with 4 unless `--allow-incomplete` is given.
    """

    code = "E0200"
    status = ExitStatus.INCOMPLETE


class MalformedError(UnreadableError):
    """A file does not have the format that its name or its first bytes announce.

    Nothing of it was executed, and nothing was guessed from the rest of it.
    """

    code = "E0201"


class LimitError(UnreadableError):
    """A file asks for more memory, depth or entries than a reader allows.

    Limits protect the machine from files made to exhaust it. The message names the limit.
    """

    code = "E0202"


class ChangedWhileReadingError(UnreadableError):
    """A file changed while it was being hashed, twice in a row.

    A digest taken from bytes of two moments would describe a file that never existed.
    """

    code = "E0203"
    hint = "wait until the writer of this file has ended, then run again"


class FileNameError(UnreadableError):
    """A file of the model tree has a name that cannot be written in a statement.

    Names in statements are Unicode text; this name is not valid UTF-8 or holds a control character.
    """

    code = "E0204"
    hint = "rename the file, or leave it out with --exclude"


class RepositoryError(UnreadableError):
    """git could not read the repository.

    Something in `.git` is missing or damaged. mlbom reads it and repairs nothing; `git fsck` tells
    what is wrong with it.
    """

    code = "E0205"
    hint = "git fsck shows what is damaged"


class UnknownFormatError(UnreadableError):
    """mlbom has no reader for the format of this file.

    It is hashed and listed like every other file; what it holds stays unknown and is said to be.
    """

    code = "E0206"


class UnverifiedOwnerError(MlbomError):
    """The repository belongs to another user, so git refuses to read it.

    Its configuration could name programs for git to start. mlbom believes the `safe.directory`
    entries of your own git configuration, and adds none.
    """

    code = "E0505"
    hint = "git config --global --add safe.directory FOLDER, when you trust its owner"


class GitMissingError(MlbomError):
    """git is not installed, or not on the PATH.

    mlbom reads a repository with the git program. It takes one from an absolute folder of the PATH
    that does not lie inside the repository.
    """

    code = "E0506"
    hint = "install git, or put its folder on the PATH"


class EnvironmentFailureError(MlbomError):
    """The operating system refused something that mlbom cannot do without; nothing is published."""

    code = "E0507"
    hint = "the system said no: check permissions and free space of the place named"


class OutputError(MlbomError):
    """The result could not be written. The previous output is untouched.

    The output directory is exchanged as a whole at the very end: until then nothing of it changes.
    """

    code = "E0501"


class LockedError(MlbomError):
    """Another mlbom is writing in this project.

    Two runs at once would mix their outputs, so the second one stops.
    """

    code = "E0502"
    hint = "wait for the other run to end"


class InvalidBomError(MlbomError):
    """The BOM that mlbom made did not pass validation, so nothing was written: our defect."""

    code = "E0503"
    hint = "please report this: mlbom never writes a BOM that is not valid"


class SigningError(MlbomError):
    """The signer could not sign: nothing was published.

    The key could not be read, has a type that mlbom does not know, or its device did not answer.
    """

    code = "E0504"


class RefusedError(MlbomError):
    """mlbom refuses to go on, because going on would do harm."""

    code = "E0600"
    status = ExitStatus.REFUSED


class SecretLeakError(RefusedError):
    """A secret, or something shaped like one, would be published.

    Descriptive text is redacted when it is read. This one sits where nothing may be rewritten (a
    path, a name, a digest), so the release stops. Rename or remove it; a file outside a model
    directory can also be left out with `--exclude`.
    """

    code = "E0601"
    hint = "rename or remove what holds the secret, and revoke it"


class UnsafeKeyFileError(RefusedError):
    """A private key is readable by others, or lies inside the repository.

    Whoever can read the key can sign in your name; a key inside a repository is committed one day.
    """

    code = "E0602"
    hint = "chmod 600 KEY, and keep it outside the repository"
