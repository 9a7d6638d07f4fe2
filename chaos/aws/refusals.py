"""What botocore raises, in our words: one line each, without credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    RefreshWithMFAUnsupportedError,
    SSOError,
    TokenRetrievalError,
)

from chaos.errors import ControlPlaneError

REFUSED_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "RequestExpired",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
"""Codes of credentials that have expired, were revoked, or never were valid."""

_CREDENTIALS: tuple[type[Exception], ...] = (
    *([exceptions.LoginError] if hasattr(exceptions, "LoginError") else []),  # since 1.41
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    RefreshWithMFAUnsupportedError,
    SSOError,
    TokenRetrievalError,
)
_SECRETS = re.compile(
    r"\b(?:A3T|AKIA|ASIA|AROA|AIDA|ABIA|ACCA)[A-Z0-9]{12,}\b"
    r"|(?<=//)[^/\s@]+(?=@)"
    r"|(?i:(?<=x-amz-security-token:)|(?<=Credential=)|(?<=Signature=))\s*[^\s,'\"]+"
)
_RENEW = (
    "provide valid ones (a profile, AWS_* variables, `aws sso login`); "
    "`gameday recover` continues a run that they ended"
)


@contextmanager
def errors_of(doing: str) -> Iterator[None]:
    """Turn what botocore raises while `doing` something into a `ControlPlaneError`, chained."""
    try:
        yield
    except ClientError as error:
        raise _refusal(doing, error) from error
    except NoRegionError as error:
        raise ControlPlaneError(
            f"{doing}: no AWS Region set; set AWS_DEFAULT_REGION or a profile with a Region",
            permanent=True,
        ) from error
    except _CREDENTIALS as error:
        raise ControlPlaneError(
            f"{doing}: no AWS credentials ({presentable(str(error))}); {_RENEW}", permanent=True
        ) from error
    except ParamValidationError as error:
        raise ControlPlaneError(
            f"{doing}: boto3 does not know this request: {presentable(str(error))}", permanent=True
        ) from error
    except BotoCoreError as error:
        raise ControlPlaneError(f"{doing}: {presentable(str(error))}") from error
    except RuntimeError as error:
        # botocore says so where refreshed credentials have expired all the same.
        if "redentials" not in str(error):
            raise
        raise ControlPlaneError(
            f"{doing}: {presentable(str(error))} {_RENEW}", permanent=True
        ) from error


def presentable(message: str) -> str:
    """Return a message as one line without credentials.

    A refused signature is answered with the request as the service has read it, session token
    included, in lines of its own.
    """
    lines = [line.strip() for line in message.strip().splitlines()]
    told = lines[0] if "" in lines else " ".join(lines)
    return _SECRETS.sub("****", told)


def _refusal(doing: str, error: ClientError) -> ControlPlaneError:
    answer = error.response.get("Error", {})
    code = answer.get("Code", "Unknown")
    said = presentable(answer.get("Message") or "no message")
    if code in REFUSED_CREDENTIALS:
        return ControlPlaneError(
            f"{doing}: the AWS credentials are not valid any more: {said} ({code}); {_RENEW}",
            code=code,
        )
    return ControlPlaneError(f"{doing}: {said} ({code})", code=code)
