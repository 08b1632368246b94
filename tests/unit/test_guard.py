"""The guard: secrets never pass, ordinary text always does. All secrets here are made up."""

import pytest

from mlbom.guard import (
    clean_command,
    clean_text,
    clean_url,
    clean_variables,
    find_secrets,
    printable,
)

A = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CANARIES = {
    "huggingface-token": "hf_" + A[:34],
    "github-token": "ghp_" + A[:36],
    "gitlab-token": "glpat-" + A[:20],
    "anthropic-key": "sk-ant-api03-" + A[:40],
    "openai-key": "sk-proj-" + A[:24] + "T3BlbkFJ" + A[:24],
    "aws-access-key": "AKIA" + "Q3EXAMPLEKEY2345"[:16],
    "aws-secret-key": "aws_secret_access_key = " + A[:40],
    "google-api-key": "AIza" + A[:35],
    "google-service-account": '"private_key_id": "' + "0a" * 20 + '"',
    "azure-sas-signature": "blob?sv=1&sig=" + A[:43],
    "azure-account-key": "AccountKey=" + A + A[:24] + "==",
    "slack-token": "xoxb-" + "1" * 12 + "-" + A[:24],
    "slack-webhook": "hooks.slack.com/services/T00000000/B00000000/" + A[:24],
    "npm-token": "npm_" + A[:36],
    "pypi-token": "pypi-AgEI" + A[:50],
    "wandb-key": "WANDB_API_KEY=" + "0f" * 20,
    "replicate-token": "r8_" + A[:37],
    "sendgrid-key": "SG." + A[:22] + "." + A[:43],
    "stripe-key": "sk_live_" + A[:24],
    "kaggle-key": '"username":"x","key":"' + "0b" * 16 + '"',
    "json-web-token": "eyJ" + A[:20] + ".eyJ" + A[:20] + "." + A[:30],
    "private-key": "-----BEGIN EC PRIVATE KEY-----",
    "password-in-url": "https://user:" + A[:12] + "@example.org/x",
    "masked-argument": "--password " + A[:12],
}


@pytest.mark.parametrize("rule", CANARIES)
def test_a_secret_is_redacted_in_text_and_found_in_bytes(rule: str) -> None:
    secret = CANARIES[rule]
    text = f"before {secret} after"
    assert [hit.rule for hit in find_secrets(text.encode())][:1] == [rule]
    cleaned = clean_text(text)
    assert secret not in cleaned
    assert not list(find_secrets(cleaned.encode()))
    assert cleaned.startswith("before ")
    assert cleaned.endswith(" after")


@pytest.mark.parametrize(
    "text",
    [
        "hf_transfer speeds up downloads; see hf_hub_download and sk-learn",
        "commit 0123456789abcdef0123456789abcdef01234567 of wandb/wandb",
        "sha256:" + "0a" * 32,
        "pip install --token-classification; --keyring; npm_config_cache",
        "the eyJ prefix alone, AKIA alone, SG. alone",
        "https://example.org:8080/path is fine",
        "-----BEGIN PUBLIC KEY-----",
    ],
)
def test_ordinary_text_passes(text: str) -> None:
    assert clean_text(text) == text
    assert not list(find_secrets(text.encode()))


@pytest.mark.parametrize(
    ("url", "cleaned"),
    [
        ("https://user:pw@host.org/a/b.git?x=1#y", "https://host.org/a/b.git"),
        ("git@github.com:org/name.git", "ssh://github.com/org/name.git"),
        ("git@host:x", "ssh://host/x"),
        ("C:\\models\\m", "C:\\models\\m"),
        ("ssh://git@host:22/a", "ssh://host:22/a"),
        ("file:///home/someone/models/m", "file:///m"),
        ("https://[::1]:80/x", "https://[::1]:80/x"),
        ("https://host:notaport/x", "<redacted:malformed-url>"),
        ("s3://bucket/key?X-Amz-Signature=abc", "s3://bucket/key"),
    ],
)
def test_urls_lose_what_is_private(url: str, cleaned: str) -> None:
    assert clean_url(url) == cleaned


def test_homes_and_controls_go() -> None:
    hostile = "\x1b[31m/home/ann/x\x1b[0m C:\\Users\\ann\\y /root/z \u202egnp.exe\x07"
    assert clean_text(hostile) == "~/x C:\\y".replace("C:", "~") + " ~/z gnp.exe"
    assert printable("a\x1b[2Jb\n\tc\udcff") == "a\\x1b[2Jb\\n\\tc\\udcff"


def test_values_of_secret_options_leave_a_command() -> None:
    told = ("train.py", "--hf-token", "abc", "--api_key=x", "--password=y", "--lr", "0.1")
    assert clean_command(told) == (
        "train.py",
        "--hf-token",
        "<redacted:argument>",
        "--api_key=<redacted:argument>",
        "--password=<redacted:argument>",
        "--lr",
        "0.1",
    )
    assert clean_command(("--tokenizer", "bert", "--keys", "a")) == (
        "--tokenizer",
        "bert",
        "--keys",
        "a",
    )


def test_only_variables_that_change_a_computation_are_told() -> None:
    told = {
        "CUDA_VISIBLE_DEVICES": "0,1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HOME": "/home/ada/hf",
        "HF_TOKEN": "x",
        "WANDB_API_KEY": "x",
        "TF_CLI_CONFIG_FILE": "x",
        "TF_DETERMINISTIC_OPS": "1",
        "USER": "ada",
    }
    assert clean_variables(told) == {
        "CUDA_VISIBLE_DEVICES": "0,1",
        "HF_HOME": "~/hf",
        "TF_DETERMINISTIC_OPS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
