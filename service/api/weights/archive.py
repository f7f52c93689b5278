"""A folder's files as one uncompressed tar. The same files always give the same bytes, so that a download can
be resumed at any position."""

import io
import tarfile
from collections.abc import Callable, Iterator, Sequence

from service.api.http.ranges import Segment
from service.api.weights.folder import WeightsFile

_END_BYTES = 2 * tarfile.BLOCKSIZE


def tar_segments(
    folder: str, files: Sequence[WeightsFile], segment: Callable[[WeightsFile], Segment]
) -> list[Segment]:
    """The archive of the files, under a folder of the given name. `segment` returns a file's bytes."""
    return list(_segments(folder, files, segment))


def _segments(
    folder: str, files: Sequence[WeightsFile], segment: Callable[[WeightsFile], Segment]
) -> Iterator[Segment]:
    for file in files:
        entry = tarfile.TarInfo(f"{folder}/{file.name}")
        entry.size, entry.mode = file.bytes, 0o644
        yield in_memory(entry.tobuf(tarfile.PAX_FORMAT))
        if file.bytes:
            yield segment(file)
        if rest := -file.bytes % tarfile.BLOCKSIZE:
            yield in_memory(bytes(rest))
    yield in_memory(bytes(_END_BYTES))


def in_memory(content: bytes) -> Segment:
    return Segment(len(content), lambda start: io.BytesIO(content[start:]))
