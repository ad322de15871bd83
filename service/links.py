"""Links to stored files: signed, good as long as the file is, the same for every dialect."""

from urllib.parse import quote, urlsplit

from service.db.models import File
from service.secrets import Secrets

FILES_PATH = "/files"


class Links:
    """Makes and recognises links to stored files.

    Args:
        public_url: base of the links, without a trailing slash.
        secrets: signs them.
    """

    def __init__(self, public_url: str, secrets: Secrets) -> None:
        self._base = f"{public_url}{FILES_PATH}/"
        self._secrets = secrets

    def to(self, file: File, expires_ms: int | None) -> str:
        """The link to a file that goes at ``expires_ms`` (Unix milliseconds)."""
        expires_s = (expires_ms or 0) // 1000
        signature = self._secrets.sign_link(file.id, expires_s)
        return f"{self._base}{file.id}/{quote(file.name)}?exp={expires_s}&sig={signature}"

    def file_id(self, url: str) -> str | None:
        """The id of the file that one of our own links points to; None for any other address."""
        if not url.startswith(self._base):
            return None
        return urlsplit(url).path.removeprefix(urlsplit(self._base).path).partition("/")[0]
