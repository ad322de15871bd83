"""Both dialects' flows with the generated Python client.

The base address and the key are the arguments, the song comes by stdin.  Prints what came out as one line of JSON.
"""

import json
import sys
import time
import uuid
from collections.abc import Callable
from io import BytesIO
from typing import Any, TypeVar

from generated import AuthenticatedClient
from generated.api.kie import (
    kie_generate_midi,
    kie_generate_separation,
    kie_show_midi,
    kie_show_separation,
    kie_upload_stream,
)
from generated.api.native import delete_task, list_tasks, show_task, transcribe
from generated.models import (
    ListTasksKind,
    MidiRecord,
    MidiRecordEnvelope,
    MidiRequest,
    Problem,
    SeparationRecord,
    SeparationRecordEnvelope,
    SeparationRequest,
    SeparationType,
    Task,
    TaskAccepted,
    TaskCreatedEnvelope,
    TaskList,
    TranscriptionForm,
    UploadAnswer,
    UploadForm,
)
from generated.types import File

T = TypeVar("T")


def given(value: T | None, what: str) -> T:
    """The value, which the service must have given."""
    if not value:
        raise SystemExit(f"{what} is missing")
    return value


def until(ask: Callable[[], T], done: Callable[[T], bool]) -> T:
    """Ask until the task has ended."""
    for _ in range(300):
        if done(answer := ask()):
            return answer
        time.sleep(0.05)
    raise SystemExit("the task did not end in time")


def kie(client: AuthenticatedClient, song: bytes, callback_url: str) -> dict[str, Any]:
    """Upload, separate, transcribe, and be refused once."""
    file = File(BytesIO(song), "song.wav", "audio/wav")
    upload = kie_upload_stream.sync(client=client, body=UploadForm(file=file, upload_path="songs"))
    if not isinstance(upload, UploadAnswer):
        raise SystemExit(f"the upload was refused: {upload}")
    uploaded = given(upload.data or None, "the upload")
    body = SeparationRequest(
        task_id=uploaded.task_id,
        audio_id=uploaded.audio_id,
        type_=SeparationType.SPLIT_STEM,
        call_back_url=callback_url,
    )
    asked = kie_generate_separation.sync(client=client, body=body, idempotency_key=str(uuid.uuid4()))
    if not isinstance(asked, TaskCreatedEnvelope):
        raise SystemExit(f"the separation was refused: {asked}")
    separation_id = given(asked.data, "the separation").task_id

    def show_separation() -> SeparationRecord:
        answer = kie_show_separation.sync(client=client, task_id=separation_id)
        if not isinstance(answer, SeparationRecordEnvelope):
            raise SystemExit(f"the record was refused: {answer}")
        return given(answer.data, "the record")

    separation = until(show_separation, lambda record: record.success_flag != "PENDING")
    wanted = kie_generate_midi.sync(client=client, body=MidiRequest(task_id=separation_id, call_back_url=callback_url))
    if not isinstance(wanted, TaskCreatedEnvelope):
        raise SystemExit(f"the transcription was refused: {wanted}")
    midi_id = given(wanted.data, "the transcription").task_id

    def show_midi() -> MidiRecord:
        answer = kie_show_midi.sync(client=client, task_id=midi_id)
        if not isinstance(answer, MidiRecordEnvelope):
            raise SystemExit(f"the record was refused: {answer}")
        return given(answer.data, "the record")

    midi = until(show_midi, lambda record: record.success_flag != 0)
    refused = kie_generate_midi.sync(client=client, body=MidiRequest(task_id=midi_id, call_back_url=callback_url))
    if not isinstance(refused, TaskCreatedEnvelope):
        raise SystemExit(f"an answer that is no envelope: {refused}")
    return {
        "separation": separation.success_flag,
        "stems": [stem.stem_type_group_name for stem in given(separation.response, "the stems").origin_data],
        "midi": midi.success_flag,
        "instruments": [instrument.name for instrument in given(midi.midi_data, "the notes").instruments],
        "refused": [refused.code, refused.msg],
    }


def native(client: AuthenticatedClient, song: bytes) -> dict[str, Any]:
    """Transcribe, find it in the list, delete it, and find it gone."""
    file = File(BytesIO(song), "song.wav", "audio/wav")
    accepted = transcribe.sync(client=client, body=TranscriptionForm(file=file, stems=["bass"], instruments=["drums"]))
    if not isinstance(accepted, TaskAccepted):
        raise SystemExit(f"the transcription was refused: {accepted}")

    def show() -> Task:
        answer = show_task.sync(accepted.id, client=client)
        if not isinstance(answer, Task):
            raise SystemExit(f"the task was refused: {answer}")
        return answer

    task = until(show, lambda task: task.status not in ("queued", "running"))
    result = given(task.result, "the result")
    listed = list_tasks.sync(client=client, kind=ListTasksKind.TRANSCRIPTION, limit=1)
    if not isinstance(listed, TaskList):
        raise SystemExit(f"the list was refused: {listed}")
    deleted = delete_task.sync_detailed(accepted.id, client=client)
    gone = show_task.sync(accepted.id, client=client)
    if not isinstance(gone, Problem):
        raise SystemExit(f"the task is still there: {gone}")
    return {
        "status": task.status,
        "stems": [stem.name for stem in result.stems],
        "instruments": [instrument.name for instrument in result.instruments],
        "has_midi": "song.mid" in result.files.additional_properties,
        "listed": [summary.id == accepted.id for summary in listed.tasks],
        "deleted": deleted.status_code,
        "gone": gone.code,
    }


def main() -> None:
    """Both flows, with the same song."""
    base_url, token = sys.argv[1:]
    client = AuthenticatedClient(base_url, token, raise_on_unexpected_status=True)
    song = sys.stdin.buffer.read()
    print(json.dumps({"kie": kie(client, song, f"{base_url}/nobody-listens"), "native": native(client, song)}))


if __name__ == "__main__":
    main()
