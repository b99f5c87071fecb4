"""The audio domain of gancore: WaveGAN and its kin."""

from gancore import DomainEntry, hookimpl


@hookimpl
def gancore_domains() -> list[DomainEntry]:
    return [DomainEntry("audio", "gancore_audio.domain:Audio", "recordings: WAV, FLAC, OGG, MP3 at any rate")]
