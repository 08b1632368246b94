"""The machine around mlbom failed or stood in the way, or mlbom refused to do harm."""

from mlbom.errors.base import MlbomError
from mlbom.status import ExitStatus


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


class StateError(MlbomError):
    """The memory of earlier verifications cannot be used.

    The file that `--state` names (by default `mlbom/state.json` in the user's state directory)
    keeps the highest release and the signer of each model, so that an old release or another
    signer is noticed. It is never reset silently: move it away yourself when it is damaged beyond
    repair, and mlbom begins a new one that knows of no earlier release.
    """

    code = "E0510"
    hint = "--state FILE names another memory; a new one knows of no earlier release"


class MissingExtraError(MlbomError):
    """A library that this needs is not installed: it comes with an extra of mlbom.

    The hint names the extra. Without `numpy` tensors can still be told to be equal or not
    (`mlbom tensors diff --bits`); only by how much they differ is not measured.
    """

    code = "E0511"
    hint = "pip install 'mlbom[all]'"


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
