"""Credentials are for who opens a store, and for nobody who reads of it: the one place that takes them out of what is
said, logged and recorded.

They stand in URLs (`user:password@`, signed query strings), in connection strings, in `source.storage_options`, and in
`notify.url`: the address of a webhook is a secret from its first letter to its last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

MASK = "***"
OPTIONS = "storage_options"

_NOT_SECRETS = ("github", "git")
"""Schemes of fsspec that write something else before the @ (`github://owner:repository@commit`)."""

# Texts are strangers', and each pattern takes time in proportion to them: what may start at every place is bounded.
_WITH_PASSWORD = re.compile(
    r"\b(?P<scheme>[a-z][a-z0-9+.\-]{0,20})://(?P<user>[^\s/?#@:'\"<>]*):"
    r"(?:[^\s/?#'\"<>]*@|(?!\d{1,5}/)[^\s?#'\"<>@]{0,200}@)",  # AWS keys hold slashes; `host:9000/a@2x.png` is a port
    re.IGNORECASE,
)
_WITH_TOKEN = re.compile(r"\b(https?)://[^\s/?#@:'\"<>]+@", re.IGNORECASE)
_WEB_ADDRESS = re.compile(r"\bhttps?://[^\s'\"<>]+", re.IGNORECASE)
_PARAMETER = re.compile(
    r"([?&;](?:sig|signature|x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential)|"
    r"awsaccesskeyid|key-pair-id|policy|(?:[\w-]{0,40}[_-])?(?:token|key|secret|password|passwd|pwd|auth|sas)|apikey|"
    r"accesstoken|authorization|credentials?|code|jwt)=)(?:(?!::|:$)[^&;,)\s])*",
    re.IGNORECASE,
)
_IN_A_CONNECTION_STRING = re.compile(r"\b((?:Account|SharedAccess)Key|SharedAccessSignature)=[^;\s'\"]+", re.IGNORECASE)
_NAMED = re.compile(
    r"(['\"]?\b\w{0,40}(?:secret|password|passwd|account_key|access_key|(?:session|sas|access|auth|refresh|bearer)_token|"
    r"connection_string)\w{0,40}['\"]?\s{0,9}[:=]\s{0,9})(?P<quote>['\"])(?:(?!(?P=quote)).)+(?P=quote)",
    re.IGNORECASE,
)
_SET_IN_QUOTES = re.compile(
    r"(?P<quote>['\"])(?P<name>[\w.]{0,80}storage_options[\w.\-]{0,80}\s{0,9}=)(?:(?!(?P=quote)).)*(?P=quote)"
)
_SET = re.compile(r"(?<!['\"\w.])([\w.]{0,80}storage_options[\w.\-]{0,80}=)(?!\*\*\*)\S+")
_HOOK = re.compile(r"(?<![\w.])(notify(?:\.url=(?!env:)[^\s'\"]+|=\{.*\}))")

_SECRET_NAME = re.compile(
    r"secret|password|passwd|token|credential|connection_string|(?:^|_)(?:key|keys|sas|auth|pwd|pass)(?:$|_)|"
    r"authorization|cookie|private",
    re.IGNORECASE,
)
_HARMLESS = frozenset(
    {
        *("anon", "endpoint", "endpoint_url", "endpoint_override", "region", "region_name", "protocol", "profile"),
        *("project", "account_name", "account_host", "tenant_id", "host", "hostname", "access", "consistency"),
        *("signature_version", "addressing_style", "compression", "encoding", "block_size", "cache_storage"),
        *("cache_type", "default_cache_type", "target_protocol", "remote_protocol", "repo", "org", "sha", "ref"),
        *("location", "version", "fo", "mode"),
    }
)
"""Names of options whose texts are no secrets. All others are taken for some: an allow-list fails on the safe side."""


def masked(text: str) -> str:
    """The text with `***` for every credential in it; the same text where there is none. Safe to call twice."""
    text = masked_address(text)
    if OPTIONS in text:
        text = _SET_IN_QUOTES.sub(rf"\g<quote>\g<name>{MASK}\g<quote>", text)
        text = _SET.sub(rf"\1{MASK}", text)
    if "notify" in text:
        text = _HOOK.sub(lambda found: f"{found[0].partition('=')[0]}={MASK}", text)
    if "=" in text or ":" in text:
        text = _IN_A_CONNECTION_STRING.sub(rf"\1={MASK}", text)
        text = _NAMED.sub(rf"\1\g<quote>{MASK}\g<quote>", text)
    return text


def masked_address(text: str) -> str:
    """The same for URLs alone: of a value, such as a prompt, that is to stay what it is where it names no secret."""
    if "://" not in text:
        return text
    text = _WITH_PASSWORD.sub(_without_password, text)
    text = _WITH_TOKEN.sub(rf"\1://{MASK}@", text)
    return _WEB_ADDRESS.sub(lambda found: _PARAMETER.sub(rf"\1{MASK}", found[0]), text)


def _without_password(found: re.Match[str]) -> str:
    if found["scheme"].lower() in _NOT_SECRETS:
        return found[0]
    return f"{found['scheme']}://{found['user']}:{MASK}@"


def masked_tree(value: Any) -> Any:
    """A copy of a tree of JSON or YAML without the credentials of its URLs, and of what stands under `storage_options`
    with nothing but numbers and harmless names."""
    if isinstance(value, str):
        return masked_address(value)
    if isinstance(value, Mapping):
        return {key: _option(OPTIONS, item) if key == OPTIONS else masked_tree(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked_tree(item) for item in value]
    return value


def is_secret(keys: Sequence[str]) -> bool:
    """Whether no message may repeat the value at this place of a spec: an option of a store, the address of a webhook,
    or what is called so."""
    if tuple(keys) == ("notify", "url"):
        return True
    return OPTIONS in keys or any(_SECRET_NAME.search(key) for key in keys[-1:])


def masked_setting(override: str) -> str:
    """`a.b.c=value` of the command line as it may be repeated."""
    name, separator, value = override.partition("=")
    if separator and (is_secret(name.strip().split(".")) or _holds_options(value)):
        return f"{name}={MASK}"
    return masked(override)


def _holds_options(value: str) -> bool:
    """Whether the YAML of a setting is a tree in which there are credentials: `source={storage_options: {...}}`."""
    if OPTIONS not in value:
        return False
    try:
        tree = yaml.safe_load(value)
    except yaml.YAMLError:
        return True  # nothing is told of what cannot be read
    return bool(masked_tree(tree) != tree)


def holds_credentials(value: Any) -> bool:
    """Whether a tree says more than run.json may hold, or a text more than may be told."""
    return bool((masked(value) if isinstance(value, str) else masked_tree(value)) != value)


def is_masked(value: Any) -> bool:
    """Whether credentials were taken out of a tree, or a text, so that nothing can be opened with it."""
    if isinstance(value, str):
        return value == MASK or f":{MASK}@" in value or f"//{MASK}@" in value or f"={MASK}" in value
    if isinstance(value, Mapping):
        return any(map(is_masked, value.values()))
    return isinstance(value, (list, tuple)) and any(map(is_masked, value))


def _option(name: str, value: Any) -> Any:
    """What may be told of one option of a store."""
    if name != OPTIONS and _SECRET_NAME.search(name):
        return None if value is None else MASK
    if isinstance(value, Mapping):
        return {key: _option(str(key), item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_option(name, item) for item in value]
    if isinstance(value, (str, bytes)):
        return masked_address(value) if isinstance(value, str) and name in _HARMLESS else MASK
    return value
