"""What was handed over cannot be read, or must not be believed."""

from mlbom.errors.base import MlbomError
from mlbom.status import ExitStatus


class UntrustedPolicyError(MlbomError):
    """A policy, or a withdrawal that it names, is not signed as it must be.

    With `--policy-key` a policy counts only when FILE.sigstore.json beside it is signed by that
    key and covers the policy and every file that it names, byte for byte. A file of withdrawals
    counts only when a key with the role `release` signed it.
    """

    code = "E0301"
    status = ExitStatus.UNTRUSTED


class OldSignatureError(MlbomError):
    """A signature that was to be built on is not by this signer, or does not verify.

    `mlbom sign --reuse OLD` takes digests over from an earlier signature, so that one is verified
    first, with the public half of the key that signs now. Leave --reuse out to hash every file.
    """

    code = "E0310"
    status = ExitStatus.UNTRUSTED
    hint = "leave out --reuse: every file is hashed anew"


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
