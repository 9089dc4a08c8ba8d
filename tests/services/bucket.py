"""An S3 bucket without keys: listing by prefix and page, and objects."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from services.base import Answer, Fault, Seen, Service

_STAMP = "2024-01-01T00:00:00.000Z"


class Bucket(Service):
    """A bucket.

    Args:
        objects: key -> bytes or the file that holds them.
        name: of the bucket.
        faults: see :class:`Service`.
    """

    def __init__(
        self,
        objects: Mapping[str, bytes | Path],
        name: str = "openaq-data-archive",
        faults: Callable[[Seen], Fault | None] = lambda seen: None,
    ) -> None:
        super().__init__(faults)
        self.objects, self.name = objects, name
        self._keys = sorted(objects)
        self._marks: dict[str, tuple[int, str]] = {}

    @property
    def url(self) -> str:
        """The bucket's address."""
        return f"{self.root}/{self.name}"

    def read(self, key: str) -> bytes:
        """An object."""
        found = self.objects[key]
        return found if isinstance(found, bytes) else found.read_bytes()

    def mark(self, key: str) -> tuple[int, str]:
        """Its length and the MD5 of its content."""
        if key not in self._marks:
            data = self.read(key)
            self._marks[key] = (
                len(data),
                hashlib.md5(data, usedforsecurity=False).hexdigest(),
            )
        return self._marks[key]

    def forget(self, key: str) -> None:
        """Look at an object anew: it has changed."""
        self._marks.pop(key, None)

    def answer(self, seen: Seen, body: bytes) -> Answer:
        """A page of a listing, or an object."""
        name, _, key = seen.path.lstrip("/").partition("/")
        if name != self.name:
            return _error(404, "NoSuchBucket")
        if not key:
            return self._listed(seen.query)
        if key not in self.objects:
            return _error(404, "NoSuchKey")
        mark = self.mark(key)[1]
        headers = {
            "ETag": f'"{mark}"',
            "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT",
        }
        return Answer(self.read(key), 200, "binary/octet-stream", headers)

    def _listed(self, query: dict[str, str]) -> Answer:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token") or query.get("start-after", "")
        most = int(query.get("max-keys") or 1000)
        contents: list[str] = []
        common: list[str] = []
        at = max(
            bisect.bisect_left(self._keys, prefix),
            bisect.bisect_right(self._keys, after) if after else 0,
        )
        last, truncated = "", False
        while at < len(self._keys) and self._keys[at].startswith(prefix):
            if len(contents) + len(common) >= most:
                truncated = True
                break
            key = self._keys[at]
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folder = prefix + rest.partition(delimiter)[0] + delimiter
                common.append(folder)
                last = folder + "\U0010ffff"
                at = bisect.bisect_left(self._keys, last)
                continue
            size, mark = self.mark(key)
            contents.append(
                f"<Contents><Key>{escape(key)}</Key><LastModified>{_STAMP}</LastModified><ETag>&quot;{mark}&quot;"
                f"</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
            last = key
            at += 1
        token = (
            f"<NextContinuationToken>{escape(last)}</NextContinuationToken>"
            if truncated
            else ""
        )
        folders = "".join(
            f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>"
            for one in common
        )
        text = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{self.name}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(contents) + len(common)}"
            f"</KeyCount><MaxKeys>{most}</MaxKeys><IsTruncated>{str(truncated).lower()}</IsTruncated>{token}"
            f"{''.join(contents)}{folders}</ListBucketResult>"
        )
        return Answer(text.encode(), 200, "application/xml")


def _error(status: int, code: str) -> Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
    return Answer(text.encode(), status, "application/xml")
