"""Errors of the place, not of the scene: memory that ran out, a network that failed. Tried again, they may pass.

Asked of every error in every stage, so nothing is imported for the question: an error of torch's or of aiohttp's can
only come from where they are loaded already. (Workers of the ingest stage are many, and load no torch.)
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from schemas.errors import SceneError

_BUSY = (408, 425, 429)
_NEVER = (501, 505)
_BUSY_CODES = (
    *("RequestTimeout", "RequestTimeoutException", "OperationTimedOut"),  # S3 says the first with a 400
    *("OperationAborted", "ConditionalRequestConflict"),  # 409: another write of the same name is under way
    *("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "BandwidthLimitExceeded"),
)

_STATUS = [
    ("aiohttp", "ClientResponseError", "status"),
    ("requests.exceptions", "HTTPError", "response.status_code"),
    ("httpx", "HTTPStatusError", "response.status_code"),
    ("httpx2", "HTTPStatusError", "response.status_code"),  # what newer versions of the Hub's library speak through
    ("huggingface_hub.errors", "HfHubHTTPError", "response.status_code"),
    ("urllib.error", "HTTPError", "code"),
    ("gcsfs.retry", "HttpError", "code"),
    ("google.api_core.exceptions", "GoogleAPICallError", "code"),
    ("azure.core.exceptions", "HttpResponseError", "status_code"),
]
"""Errors that are a server's answer: module, class, where its HTTP status is."""

_BROKEN = [
    ("aiohttp", "ClientConnectionError"),
    ("aiohttp", "ClientPayloadError"),
    ("requests.exceptions", "ConnectionError"),
    ("requests.exceptions", "Timeout"),
    ("requests.exceptions", "ChunkedEncodingError"),
    ("httpx", "TransportError"),
    ("httpx2", "TransportError"),
    ("http.client", "IncompleteRead"),
    ("ssl", "SSLEOFError"),
    ("urllib3.exceptions", "TimeoutError"),
    ("urllib3.exceptions", "ProtocolError"),
    ("urllib3.exceptions", "MaxRetryError"),
    ("botocore.exceptions", "HTTPClientError"),
    ("botocore.exceptions", "ConnectionError"),
    ("botocore.exceptions", "IncompleteReadError"),
    ("botocore.exceptions", "FlexibleChecksumError"),
    ("botocore.parsers", "ResponseParserError"),
    ("gcsfs.retry", "ChecksumError"),
    ("google.auth.exceptions", "TransportError"),
    ("azure.core.exceptions", "ServiceRequestError"),
    ("azure.core.exceptions", "ServiceResponseError"),
    ("azure.core.exceptions", "IncompleteReadError"),
]
"""Errors of a connection: module, class."""

_ERRNOS = {
    *(errno.EAGAIN, errno.EBUSY, errno.ESTALE, errno.EREMOTEIO, errno.ENOBUFS, errno.EMFILE, errno.ENFILE),
    *(errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH),
}
"""Of OSError: a folder on the network, a machine without handles. Not EIO, which a broken disk says for ever, and s3fs
of whatever it has no word for; there the answer behind it tells."""


def is_transient(error: BaseException) -> bool:
    """Whether the scene is worth another try. A SceneError says so itself."""
    if isinstance(error, SceneError):
        return error.transient
    return is_out_of_memory(error) or _of_the_network(error)


def is_suspect(error: BaseException) -> bool:
    """Whether the process that it was raised in may be what is wrong: after an error of the GPU, or with its memory
    full, everything fails there. A SceneError is the scene's, and a connection that failed is nobody's."""
    return not isinstance(error, SceneError) and not _of_the_network(error)


def _of_the_network(error: BaseException) -> bool:
    """A network failure, or an error of a filesystem, which translates what it was told, that comes of one."""
    return comes_of_network_failure(error) if isinstance(error, OSError) else is_network_failure(error)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether fewer scenes at once may help."""
    if isinstance(error, (MemoryError, _loaded("torch", "OutOfMemoryError"))):
        return True
    if not isinstance(error, RuntimeError) or "torch" not in sys.modules:
        return False
    if not all(isinstance(argument, str) for argument in error.args):  # accelerate takes them for texts
        return False
    from accelerate.utils.memory import should_reduce_batch_size

    return should_reduce_batch_size(error)


def is_network_failure(error: BaseException) -> bool:
    """Whether a connection failed, was cut or took too long, or a server said that it cannot answer just now (429, 5xx,
    throttled). A file that is not there (404), or is forbidden (401, 403), is none; nor is a certificate that is wrong.
    """
    status, code = http_status(error)
    if status is not None:
        return code in _BUSY_CODES or status in _BUSY or (status >= 500 and status not in _NEVER)
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return True
    return isinstance(error, (ConnectionError, TimeoutError, *(_loaded(*name) for name in _BROKEN)))


def http_status(error: BaseException) -> tuple[int | None, str | None]:
    """The HTTP status, and a store's own code for it, of an error that is a server's answer; (None, None) of others."""
    if isinstance(error, _loaded("botocore.exceptions", "ClientError")):
        response: dict[str, Any] = getattr(error, "response", None) or {}
        code = str((response.get("Error") or {}).get("Code") or "")
        status = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode") or code
    else:
        holder = next((where for *name, where in _STATUS if isinstance(error, _loaded(*name))), None)
        if holder is None:
            return None, None
        status = error
        for attribute in holder.split("."):
            status = getattr(status, attribute, None)
        code = None
    return (int(status), code) if str(status).isdecimal() else (None, None)


def comes_of_network_failure(error: BaseException) -> bool:
    """Whether one stands behind `error`: filesystems raise FileNotFoundError where they could not ask."""
    found = list(behind(error))
    return any(map(is_network_failure, found)) and not any(isinstance(one, ssl_refused()) for one in found)


def refusal(error: Exception) -> int | None:
    """The HTTP status behind an error that says something else than that a file is not there: 403, 401. A filesystem
    may have made a FileNotFoundError of it."""
    found = (http_status(one)[0] for one in behind(error))
    return next((status for status in found if status is not None and status not in (404, 410)), None)


_NO_CREDENTIALS = frozenset(
    {
        *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"),
        *("ProfileNotFound", "SSOTokenLoadError", "UnauthorizedSSOTokenError"),  # botocore's
        *("DefaultCredentialsError", "RefreshError", "ClientAuthenticationError"),  # Google's and Azure's
        *("UnauthenticatedError", "PermissionDeniedError"),  # obstore's
    }
)


def is_locked_out(error: Exception) -> bool:
    """Whether a store was not opened for want of credentials, or has refused those that there are."""
    lacking = any(type(one).__name__ in _NO_CREDENTIALS for one in behind(error))
    return lacking or (isinstance(error, PermissionError) and refusal(error) in (401, 403))


def why_unread(error: Exception) -> str:
    """What a filesystem raised of a file, in a few words: what the server answered, where it made a FileNotFoundError
    of that."""
    status = refusal(error) if isinstance(error, FileNotFoundError) else None
    if status is None:
        return f"{type(error).__name__}: {error}"
    phrase = next((one.phrase for one in HTTPStatus if one == status), "")
    return f"its server answers {status} {phrase}".rstrip()


def is_full(error: BaseException) -> bool:
    """Whether a disk has no room left, or its owner no share of it."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def ssl_refused() -> Any:
    """The class of a certificate that is not believed: another try is refused as well."""
    return _loaded("ssl", "SSLCertVerificationError")


def behind(error: BaseException) -> Iterator[BaseException]:
    """The error itself and what it was raised from or during, each once: an error can be its own cause."""
    seen: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and not any(found is one for one in seen):
        seen.append(found)
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def _loaded(module: str, name: str) -> Any:
    """A module's class for isinstance, or no class at all while the module is not loaded."""
    return getattr(sys.modules.get(module), name, ())
