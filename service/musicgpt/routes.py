"""The MusicGPT routes below ``/api/public/v1``: one for each kind of task, one that shows them all, and those that are
not offered here."""

from typing import Annotated, Any

from litestar import Response, Router, get, post, route
from litestar.enums import HttpMethod
from litestar.params import PathParameter, QueryParameter
from litestar.status_codes import HTTP_200_OK

from service.api.documentation import reads
from service.api.errors import handlers, musicgpt_answer
from service.api.gate import guards
from service.api.incoming import FORM_OVERHEAD_BYTES
from service.api.injection import Injected, KeyRequest
from service.api.wording import shown
from service.errors import NotFound, NotOffered
from service.eta import estimate
from service.musicgpt import wire
from service.musicgpt.endpoints import ENDPOINTS, NOT_OFFERED
from service.musicgpt.present import accepted, conversion_answer
from service.musicgpt.requests import create, find

PREFIX = "/api/public/v1"


async def _accepted(name: str, request: KeyRequest, context: Injected) -> wire.Accepted:
    task = await create(ENDPOINTS[name], request, context)
    return accepted(task, await estimate(task, context), context.links)


@post(
    "/audio_to_midi",
    status_code=HTTP_200_OK,
    summary="Write down the notes of a song, an instrument or a voice",
    operation_class=reads(form=wire.AudioToMidiForm, urlencoded=True),
)
async def audio_to_midi(request: KeyRequest, context: Injected) -> wire.Accepted:
    """Queue it: a song is separated first and every stem written down; a single instrument, or somebody humming, is
    recognised and written down as it is."""
    return await _accepted("audio_to_midi", request, context)


@post(
    "/file_convert",
    status_code=HTTP_200_OK,
    summary="Convert audio to another format",
    operation_class=reads(form=wire.FileConvertForm, urlencoded=True),
)
async def file_convert(request: KeyRequest, context: Injected) -> wire.Accepted:
    """Queue it; ``output_path`` is the link that the file will have.  Of a video, its sound."""
    return await _accepted("file_convert", request, context)


@post(
    "/Extraction",
    status_code=HTTP_200_OK,
    summary="Separate a song into stems by name",
    operation_class=reads(form=wire.ExtractionForm, urlencoded=True),
)
async def extraction(request: KeyRequest, context: Injected) -> wire.Accepted:
    """Queue it; a stem that the separation model does not isolate is refused, with those that it does."""
    return await _accepted("Extraction", request, context)


@post(
    "/extract_key_bpm",
    status_code=HTTP_200_OK,
    summary="Find the key and the tempo of audio",
    operation_class=reads(form=wire.KeyBpmForm, urlencoded=True),
)
async def extract_key_bpm(request: KeyRequest, context: Injected) -> wire.Accepted:
    """Queue it; the key with its changes, and the tempo."""
    return await _accepted("extract_key_bpm", request, context)


@post(
    "/KeyBpmExtract",
    status_code=HTTP_200_OK,
    summary="Find the key and the tempo of audio, by another name",
    operation_class=reads(form=wire.KeyBpmForm, urlencoded=True),
)
async def key_bpm_extract(request: KeyRequest, context: Injected) -> wire.Accepted:
    """The same as ``extract_key_bpm``."""
    return await _accepted("extract_key_bpm", request, context)


@post(
    "/audio_cutter",
    status_code=HTTP_200_OK,
    summary="Cut a part out of audio",
    operation_class=reads(form=wire.AudioCutterForm, urlencoded=True),
)
async def audio_cutter(request: KeyRequest, context: Injected) -> wire.Accepted:
    """Queue it; exact to the sample where the output is lossless."""
    return await _accepted("audio_cutter", request, context)


@post(
    "/audio_speed_changer",
    status_code=HTTP_200_OK,
    summary="Change the speed of audio, not its pitch",
    operation_class=reads(form=wire.AudioSpeedChangerForm, urlencoded=True),
)
async def audio_speed_changer(request: KeyRequest, context: Injected) -> wire.Accepted:
    """Queue it; half the speed is a factor of 0.5."""
    return await _accepted("audio_speed_changer", request, context)


@get("/byId", summary="State and result of a conversion")
async def by_id(
    request: KeyRequest,
    context: Injected,
    conversion_type: Annotated[
        str | None, QueryParameter(name="conversionType", description="The kind of conversion.")
    ] = None,
    task_id: Annotated[str | None, QueryParameter(name="task_id", description="Its task_id.")] = None,
    conversion_id: Annotated[
        str | None, QueryParameter(name="conversion_id", description="Or its conversion_id.")
    ] = None,
) -> wire.ConversionAnswer:
    """Where a conversion stands, with links to its files when it is done."""
    record = await find(conversion_type, task_id, conversion_id, request.user, context)
    return conversion_answer(record, await estimate(record.task, context), context.links)


@route("/{name:str}", http_method=[HttpMethod.GET, HttpMethod.POST], status_code=HTTP_200_OK, include_in_schema=False)
async def other(request: KeyRequest, name: Annotated[str, PathParameter()]) -> Response[Any]:
    """What the vendor has and we do not, or nobody has: say so, and what there is."""
    there_is = ", ".join(f"POST {PREFIX}/{known}" for known in ENDPOINTS)
    there_is = f"there is {there_is}, and GET {PREFIX}/byId."
    if name in NOT_OFFERED:
        raise NotOffered(f"{name} is not offered by this service; {there_is}")
    raise NotFound(f"There is no {shown(name)} (capitals count); {there_is}")


def musicgpt_router(max_upload_bytes: int) -> Router:
    """The routes below ``/api/public/v1``; the framework's own body limit stands just above ours, which is told."""
    return Router(
        PREFIX,
        route_handlers=[
            audio_to_midi, file_convert, extraction, extract_key_bpm, key_bpm_extract, audio_cutter,
            audio_speed_changer, by_id, other,
        ],
        middleware=guards(takes_raw_key=True),
        exception_handlers=handlers(musicgpt_answer),
        request_max_body_size=max_upload_bytes + FORM_OVERHEAD_BYTES,
        security=[{"RawKey": []}, {"BearerToken": []}],
        tags=["musicgpt"],
    )  # fmt: skip
