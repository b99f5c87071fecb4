"""The audio domain of gancore: WaveGAN and other models of waveforms."""

from gancore import DomainEntry, hookimpl


@hookimpl
def gancore_domains() -> list[DomainEntry]:
    return [
        DomainEntry(
            "audio", "gancore_audio.domain:AudioDomain", "recordings: WAV, FLAC, OGG, MP3 at any rate"
        )
    ]
