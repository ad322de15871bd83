"""Which answer leads to which request: the document's links, for readers, and for tools that follow them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

_TASK_ID = "$response.body#/data/taskId"
_AUDIO_ID = "$response.body#/data/audioId"
_URL = "$response.body#/data/downloadUrl"
_STEM_ID = "$response.body#/data/response/originData/0/id"
_STEM_FILE = "{$response.body#/result/stems/0/name}.flac"
_ID = "$response.body#/id"
_UPLOADS = ("kieUploadStream", "kieUploadUrl", "kieUploadBase64")
_ASKED = {
    "kieGenerateSeparation": "kieShowSeparation",
    "kieGenerateMidi": "kieShowMidi",
    "kieGenerateWav": "kieShowWav",
}
_CONVERSIONS = {
    "musicGptAudioToMidi": "AUDIO_TO_MIDI",
    "musicGptFileConvert": "FILE_CONVERT",
    "musicGptExtraction": "EXTRACTION",
    "musicGptExtractKeyBpm": "KEY_BPM_EXTRACTION",
    "musicGptKeyBpmExtract": "KEY_BPM_EXTRACTION",
    "musicGptAudioCutter": "AUDIO_CUTTER",
    "musicGptAudioSpeedChanger": "AUDIO_SPEED_CHANGER",
}
_CONVERSION = "$response.body#/task_id"
_OF_TASKS = {
    "showTask": "What has become of it.",
    "followTask": "Its progress.",
    "deleteTask": "Cancel it, or delete it with its files.",
    "redeliver": "Send its callback again.",
}


@dataclass(frozen=True)
class Link:
    """From the good answer of one operation to another operation.

    Attributes:
        source, target: operation ids.
        parameters: of the target, by name, as runtime expressions on the answer.
        body: fields of the target's body, likewise.
        about: what the link is for.
    """

    source: str
    target: str
    about: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, str] = field(default_factory=dict)


def _of_uploads(upload: str) -> tuple[Link, ...]:
    both = {"taskId": _TASK_ID, "audioId": _AUDIO_ID}
    return (
        Link(upload, "kieGenerateSeparation", "Separate the upload.", body=both),
        Link(upload, "kieGenerateWav", "Convert the upload.", body=both),
        Link(upload, "kieMakeDownloadUrl", "A short-lived link to it.", body={"url": _URL}),
        Link(upload, "transcribe", "Everything of the upload.", body={"url": _URL}),
        Link(upload, "musicGptAudioToMidi", "The notes of the upload.", body={"audio_url": _URL}),
        Link(upload, "deleteTask", "Delete the upload.", {"task_id": _TASK_ID}),
    )


LINKS = (
    *(link for upload in _UPLOADS for link in _of_uploads(upload)),
    *(Link(asked, show, "Poll the task.", {"taskId": _TASK_ID}) for asked, show in _ASKED.items()),
    *(Link(asked, "kieShowTask", "Poll it as a job.", {"taskId": _TASK_ID}) for asked in _ASKED),
    Link("kieCreateTask", "kieShowTask", "Poll the task.", {"taskId": _TASK_ID}),
    Link("kieCreateTask", "deleteTask", _OF_TASKS["deleteTask"], {"task_id": _TASK_ID}),
    Link("kieShowSeparation", "kieGenerateMidi", "Transcribe the stems.", body={"taskId": _TASK_ID}),
    Link("kieShowSeparation", "kieGenerateWav", "Convert a stem.", body={"taskId": _TASK_ID, "audioId": _STEM_ID}),
    *(Link("transcribe", target, about, {"task_id": _ID}) for target, about in _OF_TASKS.items()),
    *(Link("showTask", target, about, {"task_id": _ID}) for target, about in _OF_TASKS.items() if target != "showTask"),
    *(
        Link("showTask", target, "One of its stems.", {"task_id": _ID, "name": _STEM_FILE})
        for target in ("downloadFile", "downloadFileHead")
    ),
    *(
        Link(asked, "musicGptById", "Poll the task.", {"conversionType": kind, "task_id": _CONVERSION})
        for asked, kind in _CONVERSIONS.items()
    ),
    *(Link(asked, "deleteTask", _OF_TASKS["deleteTask"], {"task_id": _CONVERSION}) for asked in _CONVERSIONS),
    Link("listTasks", "showTask", "The newest.", {"task_id": "$response.body#/tasks/0/id"}),
    Link("listTasks", "listTasks", "The next page.", {"cursor": "$response.body#/next_cursor"}),
)


def add_links(operation: Json) -> None:
    """Add the links that start at an operation to its first good answer."""
    answer = next(body for status, body in sorted(operation["responses"].items()) if status.startswith("2"))
    for link in LINKS:
        if link.source == operation["operationId"]:
            described: Json = {"operationId": link.target, "description": link.about}
            if link.parameters:
                described["parameters"] = dict(link.parameters)
            if link.body:
                described["requestBody"] = dict(link.body)
            answer.setdefault("links", {})[link.target] = described
