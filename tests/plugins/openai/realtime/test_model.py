"""The model's parameters: what they become, and what is refused at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from repartee.errors import ConfigurationError
from repartee.plugins import openai
from repartee.plugins.openai.realtime import RealtimeModel, ServerVad, Transcription
from repartee.plugins.openai.realtime.link import LinkRequest

KEY = "sk-proj-abcdefghij0123456789"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "AZURE_OPENAI_API_KEY", "OPENAI_API_VERSION"):
        monkeypatch.delenv(name, raising=False)


def request_of(model: RealtimeModel) -> LinkRequest:
    return asyncio.run(model.request())


def test_as_the_tutorial_writes_it() -> None:
    model = openai.realtime.RealtimeModel(
        model="gpt-realtime",
        voice="marin",
        api_key=KEY,
        turn_detection=openai.realtime.ServerVad(threshold=0.5),
        input_audio_transcription=openai.realtime.InputAudioTranscription(model="whisper-1"),
    )
    request = request_of(model)
    assert request.url == "wss://api.openai.com/v1/realtime?model=gpt-realtime"
    assert request.headers == {"Authorization": f"Bearer {KEY}"}
    assert model.capabilities.turn_detection
    assert model.capabilities.transcription
    assert model.options.input_audio_transcription == Transcription(model="whisper-1")


def test_the_key_is_in_no_representation() -> None:
    model = RealtimeModel(api_key=KEY)
    assert KEY not in repr(request_of(model)) + repr(model) + repr(model.server) + repr(model.options)


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_another_server(scheme: str) -> None:
    model = RealtimeModel(base_url=f"{scheme}://localhost:8000/v1", model="my/model")
    request = request_of(model)
    assert request.url == "ws://localhost:8000/v1/realtime?model=my%2Fmodel"
    assert request.headers == {}


def test_azure() -> None:
    model = RealtimeModel(base_url="https://me.openai.azure.com", azure_deployment="voice", api_key=KEY)
    request = request_of(model)
    assert request.url == "wss://me.openai.azure.com/openai/v1/realtime?model=voice"
    assert request.headers == {"api-key": KEY}


def test_azure_with_a_token_that_renews_itself() -> None:
    async def token() -> str:
        return "a-token"

    model = RealtimeModel(
        base_url="https://me.openai.azure.com",
        azure_deployment="voice",
        entra_token=token,
        api_version="2025-04-01",
    )
    request = request_of(model)
    assert request.url == (
        "wss://me.openai.azure.com/openai/realtime?api-version=2025-04-01&deployment=voice"
    )
    assert request.headers == {"Authorization": "Bearer a-token"}


def test_organization_and_project() -> None:
    request = request_of(RealtimeModel(api_key=KEY, organization="org", project="proj"))
    assert (request.headers["OpenAI-Organization"], request.headers["OpenAI-Project"]) == ("org", "proj")


def test_what_a_model_can_do() -> None:
    half = RealtimeModel(api_key=KEY, modalities=["text"], turn_detection=None).capabilities
    assert not half.audio_output
    assert not half.turn_detection
    assert half.audio_input
    assert not half.transcription
    assert RealtimeModel(api_key=KEY, modalities=["text", "audio"]).capabilities.audio_output
    assert RealtimeModel(
        api_key=KEY, turn_detection=ServerVad(create_response=False)
    ).capabilities.turn_detection


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"modalities": ["video"]}, "modalities"),
        ({"speed": 3.0}, "between 0.25 and 1.5"),
        ({"max_response_output_tokens": 0}, "1 to 4096"),
        ({"max_response_output_tokens": "many"}, "or 'inf'"),
        ({"turn_detection": "server_vad"}, "turn_detection is a str"),
        ({"input_audio_transcription": {"model": 7}}, "input_audio_transcription is not right"),
        ({"truncation": 7}, "truncation is a int"),
        ({"voice": ""}, "voice is ''"),
        ({"model": " "}, "gpt-realtime"),
        ({"connect_timeout_s": 0}, "connect_timeout_s is 0"),
        ({"response_timeout_s": -1}, "response_timeout_s is -1"),
        ({"base_url": "localhost:8000"}, "base_url is 'localhost:8000'"),
        ({"base_url": "http://localhost:99999999/v1"}, "base_url is no address"),
        ({"api_key": "  "}, "api_key is empty"),
    ],
)
def test_what_is_wrong_is_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RealtimeModel(**{"api_key": KEY, **options})
    assert says in str(caught.value)
    assert KEY not in str(caught.value)


def test_no_key() -> None:
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        RealtimeModel()
