"""Links to stored files: signed, good as long as the file is, the same for every dialect."""

from urllib.parse import parse_qs, quote, urlsplit

from service.db.models import File
from service.secrets import Secrets

FILES_PATH = "/files"
_MAX_EXPIRY_DIGITS = 12
STEMS_ZIP = "stems.zip"


class Links:
    """Makes and recognises links to stored files.

    Args:
        public_url: base of the links, without a trailing slash.
        secrets: signs them.
    """

    def __init__(self, public_url: str, secrets: Secrets) -> None:
        self._public_url = public_url
        self._base = f"{public_url}{FILES_PATH}/"
        self._secrets = secrets

    def to(self, file: File, expires_ms: int | None) -> str:
        """A link to a file, good until ``expires_ms`` (Unix milliseconds): when the file goes, or before."""
        return self._signed(file.id, file.name, expires_ms)

    def promised(self, file_id: str, name: str, expires_ms: int) -> str:
        """The link that a file will have which is still to be made."""
        return self._signed(file_id, name, expires_ms)

    def to_stems(self, task_id: str, expires_ms: int | None) -> str:
        """The link to all stems of a task in one archive; no file has a task's id."""
        return self._signed(task_id, STEMS_ZIP, expires_ms)

    def to_api(self, path: str) -> str:
        """The address of a path of the API, such as ``/v1/tasks``."""
        return self._public_url + path

    def _signed(self, file_id: str, name: str, expires_ms: int | None) -> str:
        expires_s = (expires_ms or 0) // 1000
        signature = self._secrets.sign_link(file_id, expires_s)
        return f"{self._base}{file_id}/{quote(name)}?exp={expires_s}&sig={signature}"

    def file_id(self, url: str) -> str | None:
        """The id of the file that one of our own links points to; None for any other address."""
        if not url.startswith(self._base):
            return None
        return urlsplit(url).path.removeprefix(urlsplit(self._base).path).partition("/")[0]

    def live_file_id(self, url: str, now_ms: int) -> str | None:
        """Like :meth:`file_id`, of a link that is still good; None for any other."""
        file_id = self.file_id(url)
        query = parse_qs(urlsplit(url).query) if file_id is not None else {}
        expires, signature = query.get("exp", [""])[0], query.get("sig", [""])[0]
        if file_id is None or not (expires.isascii() and expires.isdigit() and len(expires) <= _MAX_EXPIRY_DIGITS):
            return None
        live = self._secrets.link_is_ours(file_id, int(expires), signature) and int(expires) * 1000 > now_ms
        return file_id if live else None
