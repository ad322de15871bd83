"""Links to S3 objects that carry their own permission: AWS Signature Version 4 in the query of an address.

obstore signs addresses, too, but not with the name and type that clients are to be told: an object has none of its own,
it belongs to every task that made the same bytes.  Algorithm and names are those of "Authenticating Requests: Using
Query Parameters (AWS Signature Version 4)", Amazon S3 API Reference.
"""

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlencode, urlsplit

from service.settings import SettingsError

_ALGORITHM = "AWS4-HMAC-SHA256"
_TRUTHS = ("1", "true", "yes", "on")


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs links to the objects of one bucket.

    Attributes:
        endpoint: where clients reach the storage; with the bucket in its name, where requests are virtual-hosted.
        folder: of the bucket, and the prefix in it: what is put before a key.
    """

    endpoint: str
    folder: str
    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False)
    region: str

    def link(self, key: str, *, answer: Mapping[str, str], seconds: int, method: str, now: datetime) -> str:
        """A link that is good for ``seconds`` from ``now`` on.

        Args:
            answer: headers that the storage is to answer with, such as ``response-content-type``.
        """
        address = urlsplit(self.endpoint)
        path = quote("/".join(part for part in (address.path.strip("/"), self.folder, key) if part))
        stamp, day = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ"), now.astimezone(UTC).strftime("%Y%m%d")
        scope = f"{day}/{self.region}/s3/aws4_request"
        asked = {
            **answer,
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{self.access_key}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": "host",
            **({"X-Amz-Security-Token": self.session_token} if self.session_token else {}),
        }
        query = urlencode(sorted(asked.items()), quote_via=quote, safe="")
        request = f"{method}\n/{path}\n{query}\nhost:{address.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
        to_sign = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        signing_key = f"AWS4{self.secret_key}".encode()
        for part in (day, self.region, "s3", "aws4_request"):
            signing_key = hmac.digest(signing_key, part.encode(), "sha256")
        signature = hmac.digest(signing_key, to_sign.encode(), "sha256").hex()
        return f"{address.scheme}://{address.netloc}/{path}?{query}&X-Amz-Signature={signature}"


def open_signer(public_url: str, bucket: str, prefix: str, environ: Mapping[str, str] = os.environ) -> Signer:
    """A signer with the credentials of the environment.

    Raises:
        SettingsError: there are none; those that a machine is lent cannot sign links that outlast them.
    """
    access_key, secret_key = environ.get("AWS_ACCESS_KEY_ID", ""), environ.get("AWS_SECRET_ACCESS_KEY", "")
    if not access_key or not secret_key:
        raise SettingsError(
            "STEMSCRIBE_STORAGE_PUBLIC_URL needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which sign the links."
        )
    in_host = environ.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() in _TRUTHS
    return Signer(
        endpoint=public_url,
        folder="/".join(part for part in ("" if in_host else bucket, prefix) if part),
        access_key=access_key,
        secret_key=secret_key,
        session_token=environ.get("AWS_SESSION_TOKEN", ""),
        region=environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1",
    )
