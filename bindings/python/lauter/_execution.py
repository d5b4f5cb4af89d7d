# SPDX-License-Identifier: Apache-2.0
"""What executing a cell gave: outputs, result and error, for hosts that render."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ._errors import RemoteError
from ._native import Part

METADATA = "application/vnd.lauter.metadata+json"

Bundle = Mapping[str, Any]
"""A MIME bundle: str for text, bytes for images, decoded JSON for JSON, by media type. The worker's, not to be believed: markup and
scripts in it run where it is shown as such."""


@dataclass(frozen=True)
class Output:
    """Something that a cell put out while it ran."""

    kind: str
    """"stream", "display", "update" (of the displays shown earlier under `display_id`), "clear" or "progress"."""
    stream: str = ""
    """Of a stream: "stdout" or "stderr"."""
    text: str = ""
    """Of a stream: what was written."""
    bundle: Bundle = field(default_factory=dict)
    """Of a display or update: its representations by media type."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """By media type, as nbformat has it; of "progress": done, total, label; of "clear": wait."""
    display_id: Optional[str] = None


@dataclass
class Execution:
    """What executing a cell gave."""

    outputs: List[Output] = field(default_factory=list)
    """In their order; streams that follow each other are one output."""
    bundle: Bundle = field(default_factory=dict)
    """The value of its last expression, by media type; empty if there is none."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Of the bundle, by media type."""
    error: Optional[RemoteError] = None
    """What it raised."""

    @property
    def ok(self) -> bool:
        """Whether it raised nothing."""
        return self.error is None

    def text(self, stream: str = "stdout") -> str:
        """All that was written to a stream."""
        return "".join(output.text for output in self.outputs if output.kind == "stream" and output.stream == stream)

    def add(self, output: Output) -> None:
        """Append an output, or lengthen the last one."""
        last = self.outputs[-1] if self.outputs else None
        if output.kind == "stream" and last is not None and last.kind == "stream" and last.stream == output.stream:
            self.outputs[-1] = Output("stream", stream=last.stream, text=last.text + output.text)
        else:
            self.outputs.append(output)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        # Text alone: whoever looks at it has not asked for the worker's markup.
        text = "".join(output.text or str(output.bundle.get("text/plain", "")) for output in self.outputs)
        text += str(self.bundle.get("text/plain", ""))
        if self.error is not None:
            text += self.error.traceback or str(self.error)
        return {"text/plain": text}


def is_text(media: str) -> bool:
    return media.startswith("text/") or media == "image/svg+xml"


def is_json(media: str) -> bool:
    return media == "application/json" or media.startswith("application/") and media.endswith("+json")


def bundle_of(parts: Sequence[Part]) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """A MIME bundle of parts, and what its metadata part says. JSON that is none is left as text."""
    bundle: Dict[str, Any] = {}
    metadata: Dict[str, Any] = {}
    for media, data in parts:
        content: Any = bytes(data)
        if is_text(media) or is_json(media):
            content = content.decode("utf-8", "replace")
        if is_json(media):
            try:
                content = json.loads(content)
            except (ValueError, RecursionError):
                pass
        if media == METADATA:
            metadata = content if isinstance(content, dict) else {}
        else:
            bundle[media] = content
    return bundle, metadata


def output_of(name: str, parts: Sequence[Part]) -> Output:
    """The output that a running call sent."""
    bundle, metadata = bundle_of(parts)
    if name not in ("display", "update"):
        return Output(name, metadata=metadata)
    identity = metadata.get("display_id")
    of_media = metadata.get("metadata")
    return Output(
        name,
        bundle=bundle,
        metadata=of_media if isinstance(of_media, dict) else {},
        display_id=identity if isinstance(identity, str) else None,
    )


def finish(execution: Execution, parts: Sequence[Part], error: Optional[BaseException]) -> Execution:
    """Put the result in. Errors of the code's are in it; others are raised."""
    if error is not None:
        if not isinstance(error, RemoteError):
            raise error
        execution.error = error
        return execution
    execution.bundle, metadata = bundle_of(parts)
    of_media = metadata.get("metadata")
    execution.metadata = of_media if isinstance(of_media, dict) else {}
    return execution


@dataclass(frozen=True)
class Completion:
    """What could stand at a cursor."""

    matches: Sequence[str]
    """The best first. Any of them can take the place of the source from `start` to `end`."""
    start: int
    end: int
    types: Sequence[str] = ()
    """"function", "module", … for each match; or empty."""


def completion_of(metadata: Mapping[str, Any]) -> Completion:
    return Completion(
        tuple(str(match) for match in metadata.get("matches", ())),
        int(metadata.get("start", 0)),
        int(metadata.get("end", 0)),
        tuple(str(kind) for kind in metadata.get("types", ())),
    )


