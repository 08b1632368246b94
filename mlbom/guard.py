"""The one gate through which text reaches an output: secrets, URLs, paths, control characters.

Two duties. `clean_text` and `clean_url` rewrite descriptive text when an observation is made;
`clean_command` and `clean_variables` do the same for a command line and its environment.
`find_secrets` looks at finished bytes once more before they are signed; what it finds there is in a
place that may not be rewritten (a path, a purl, a digest), so the caller refuses to publish.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote_from_bytes, urlsplit, urlunsplit

# Never handed to another process, never published.
PASSPHRASE_VARIABLE = "MLBOM_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable


@dataclass(frozen=True, slots=True)
class SecretRule:
    """One shape of secret: who issues it, a lower-case literal that it always holds, its pattern.

    The literal is searched first, which is hundreds of times faster than the pattern.
    """

    name: str
    literal: str
    pattern: str


# Each pattern must be so specific that ordinary text never matches it.
SECRET_RULES = (
    SecretRule("huggingface-token", "hf_", r"\bhf_[A-Za-z0-9]{30,}\b"),
    SecretRule("github-token", "gh", r"\bgh[pousr]_[A-Za-z0-9]{36,}\b"),
    SecretRule("github-token", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{50,}\b"),
    SecretRule("gitlab-token", "glpat-", r"\bglpat-[A-Za-z0-9_-]{20,}"),
    SecretRule("anthropic-key", "sk-ant-", r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    SecretRule("openai-key", "t3blbkfj", r"\bsk-[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,}"),
    SecretRule("openai-key", "sk-", r"\bsk-(?:proj-)?[A-Za-z0-9]{40,}\b"),
    SecretRule("aws-access-key", "ia", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    SecretRule(
        "aws-secret-key",
        "aws_secret_access_key",
        r"(?i)aws_secret_access_key['\"\s:=]{1,6}[a-z0-9/+]{40}",
    ),
    SecretRule("google-api-key", "aiza", r"\bAIza[A-Za-z0-9_-]{35}\b"),
    SecretRule(
        "google-service-account", "private_key_id", r"\"private_key_id\"\s*:\s*\"[0-9a-f]{40}\""
    ),
    SecretRule("azure-sas-signature", "sig=", r"[?&]sig=[A-Za-z0-9%+/=]{30,}"),
    SecretRule("azure-account-key", "accountkey=", r"(?i)AccountKey=[A-Za-z0-9+/=]{60,}"),
    SecretRule("slack-token", "xox", r"\bxox[abprs]-[A-Za-z0-9-]{20,}"),
    SecretRule("slack-webhook", "hooks.slack.com", r"hooks\.slack\.com/services/T\w+/B\w+/\w{20,}"),
    SecretRule("npm-token", "npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
    SecretRule("pypi-token", "pypi-agei", r"\bpypi-AgEI[A-Za-z0-9_-]{20,}"),
    SecretRule("wandb-key", "wandb", r"(?i)wandb_?(?:api_?)?key['\"\s:=]{1,6}[0-9a-f]{40}\b"),
    SecretRule("replicate-token", "r8_", r"\br8_[A-Za-z0-9]{37}\b"),
    SecretRule("sendgrid-key", "sg.", r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    SecretRule("stripe-key", "k_live_", r"\b[sr]k_live_[A-Za-z0-9]{20,}"),
    SecretRule(
        "kaggle-key", '"key"', r"\"username\"\s*:\s*\"[^\"]+\"\s*,\s*\"key\"\s*:\s*\"[0-9a-f]{32}\""
    ),
    SecretRule("json-web-token", "eyj", r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    SecretRule("private-key", "private key-", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----"),
    SecretRule(
        "password-in-url", "://", r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/?#@:\"'<>]+:[^\s/?#@\"'<>]+@"
    ),
    SecretRule(
        "masked-argument",
        "--",
        r"(?i)--(?:token|password|api-key|secret)[= ](?!\\*<|&lt;|&#60;|%3C)[^\s\"']{6,}",
    ),
)
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_UNPRINTABLE = re.compile(f"[\\t\\n]|{_CONTROL.pattern}")
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_URL = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s<>\"'`]+")
# With a user any host will do; without one only a host with a dot is told from `C:\\path` or `a:b`.
_SCP_LIKE = re.compile(
    r"(?:[\w.-]+@([\w.-]+)|([\w.-]+\.[\w-]+|localhost)):(?!//|\d+(?:/|$))([^\s]+)"
)
# Variables that change what a training computes; all others are nobody's business.
_TELLING_VARIABLE = re.compile(
    r"(?:PYTHON(?:HASHSEED|OPTIMIZE|DONTWRITEBYTECODE|UTF8)|SOURCE_DATE_EPOCH|TZ|LANG|LC_\w+"
    r"|(?:WORLD_SIZE|RANK|LOCAL_RANK|LOCAL_WORLD_SIZE|GROUP_RANK)"
    r"|TF_(?:CPP|CUDNN|DETERMINISTIC|ENABLE|FORCE|GPU|NUM|USE|XLA)\w*"
    r"|(?:CUDA|CUBLAS|CUDNN|NVIDIA|NCCL|NVTE|ROCM|HIP|HSA|MIOPEN|RCCL|OMP|KMP|GOMP|MKL|OPENBLAS|BLIS"
    r"|VECLIB|NUMEXPR|TORCH|TORCHINDUCTOR|TORCHDYNAMO|PYTORCH|TRITON|XLA|JAX|KERAS|ACCELERATE"
    r"|DEEPSPEED|FLASH_ATTENTION|TOKENIZERS|TRANSFORMERS|HF|BITSANDBYTES|MAMBA|CAUSAL_CONV1D)_\w+)"
)
_SECRET_NAME = re.compile(r"TOKEN(?!IZER)|KEY|SECRET|PASS|CREDENTIAL|AUTH")
_SECRET_OPTION = re.compile(
    r"--?[\w.-]*(?:token|passw(?:or)?d|passphrase|\bpw|[-_]key|apikey|secret|auth|credentials?)",
    re.IGNORECASE,
)
# `NAME=value` and `name: value` wherever they stand: in a shell's line, a script, an override.
_SECRET_PAIR = re.compile(
    r"(?i)(?<![\w.-])([\w.+-]*(?<!pad_)(?<!eos_)(?<!bos_)(?<!unk_)(?<!sep_)(?<!cls_)(?<!mask_)"
    r"(?:token|passw(?:or)?d|passphrase|secret|auth|credentials?|api[-_.]?key|[-_.]key)"
    r"['\"]?\s*[=:]\s*['\"]?)(?!\\*<)[^\s'\";&|]+"
)
_SECRET_HEADER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")
_MASK = "<redacted:argument>"
_HOME = re.compile(
    r"(?<![\w:/.])(?:/home/[^/\s:\"'<>]+|/Users/[^/\s:\"'<>]+|/root"
    r"|[A-Za-z]:\\Users\\[^\\\s:\"'<>]+)(?=[/\\\s:\"',;)]|$)"
)


@dataclass(frozen=True, slots=True)
class SecretHit:
    """A secret found in finished bytes: which rule, and at what offset. Never the secret itself."""

    rule: str
    offset: int


def clean_text(text: str) -> str:
    """Return descriptive text fit for publication.

    Terminal and bidirectional control characters go (tab and newline stay), secrets become
    `<redacted:rule>`, URLs lose userinfo, query and fragment, home directories become `~`.
    """
    text = _CONTROL.sub("", _ANSI.sub("", text))
    text = _URL.sub(lambda m: clean_url(m.group()), text)
    lowered = text.lower()
    for rule in SECRET_RULES:
        if rule.literal in lowered:
            text = re.sub(rule.pattern, f"<redacted:{rule.name}>", text)
    return _HOME.sub("~", text)


def clean_url(url: str) -> str:
    """Return a URL without userinfo, query and fragment; `git@host:path` becomes `ssh://host/path`.

    A `file:` URL keeps only its last path segment: the rest tells where someone works.
    """
    if "://" not in url:
        scp = _SCP_LIKE.fullmatch(url)
        return f"ssh://{scp[1] or scp[2]}/{scp[3].lstrip('/')}" if scp else url
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "<redacted:malformed-url>"
    if parts.scheme == "file":
        return "file:///" + parts.path.rstrip("/").rsplit("/", 1)[-1]
    if ":" in host:
        host = f"[{host}]"
    return urlunsplit((parts.scheme, host + port, parts.path, "", ""))


def clean_command(argv: Sequence[str]) -> tuple[str, ...]:
    """Return a command line fit for publication: what an option or name tells to be secret goes."""
    cleaned: list[str] = []
    before = ""
    for argument in argv:
        follows_user = before in ("-u", "--user") and ":" in argument
        if _SECRET_OPTION.fullmatch(before) or follows_user:
            cleaned.append(_MASK)
        else:
            told = _SECRET_HEADER.sub(rf"\1 {_MASK}", clean_text(argument))
            cleaned.append(_SECRET_PAIR.sub(rf"\g<1>{_MASK}", told))
        before = argument
    return tuple(cleaned)


def clean_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment that change a computation, and no other, redacted."""
    return {
        name: clean_text(value)
        for name, value in sorted(environment.items())
        if _TELLING_VARIABLE.fullmatch(name) and not _SECRET_NAME.search(name)
    }


def find_secrets(data: bytes) -> Iterator[SecretHit]:
    """Yield what looks like a secret in finished bytes."""
    lowered = data.lower()
    for rule in SECRET_RULES:
        if rule.literal.encode() in lowered:
            for match in re.finditer(rule.pattern.encode(), data):
                yield SecretHit(rule.name, match.start())


def unicode_path(path: str) -> str:
    """Return a path as Unicode text: percent-encoded as a whole when its bytes are not UTF-8."""
    if path.isascii() or not any("\udc80" <= char <= "\udcff" for char in path):
        return path
    return quote_from_bytes(path.encode("utf-8", "surrogateescape"), safe="/:")


def printable(text: str) -> str:
    """Return text safe for one terminal line: control characters are shown as escapes."""
    return _UNPRINTABLE.sub(
        lambda m: m.group().encode("unicode_escape", "surrogatepass").decode(), text
    )
