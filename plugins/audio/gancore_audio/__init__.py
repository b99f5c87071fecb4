"""The audio domain of gancore: WaveGAN and other models of waveforms."""

from pathlib import Path

from gancore import DomainEntry, PretrainedModelEntry, hookimpl, packaged_models


@hookimpl
def gancore_domains() -> list[DomainEntry]:
    return [
        DomainEntry(
            "audio", "gancore_audio.domain:AudioDomain", "recordings: WAV, FLAC, OGG, MP3 at any rate"
        )
    ]


@hookimpl
def gancore_models() -> list[PretrainedModelEntry]:
    return packaged_models(Path(__file__).parent / "models")
