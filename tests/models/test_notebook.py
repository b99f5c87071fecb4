"""Samples in a notebook: what stands in the page, that it is escaped, and how large it gets."""

import re
import wave

import pytest
import torch
from PIL import Image

from gancore.data.dataset import Spec
from gancore.domain import Domain
from gancore.notebook import MAX_CHARACTERS, samples_html
from gancore.samples import Samples

HOSTILE = "<script>alert(1)</script> & \x1b[31m"


class Texts(Domain):
    name = "texts"

    def texts(self, samples):
        return [f"{row.item():g} {HOSTILE}" for row in samples.data]


class Sounds(Domain):
    """Each row as a player; the picture is noise, which no compression makes smaller."""

    name = "sounds"
    side = 8

    def preview(self, samples):
        noise = torch.randint(0, 256, (self.side, self.side, 3), dtype=torch.uint8)
        return Image.fromarray(noise.numpy())

    def write(self, samples, folder):
        files = [folder / f"{row + 1:04d}-<b>.wav" for row in range(len(samples))]
        for file in files:
            with wave.open(str(file), "wb") as sound:
                sound.setparams((1, 2, 8000, 0, "NONE", ""))
                sound.writeframes(b"\0\0" * int(samples.data[0]))
        return files


def shown(domain, rows, **kwargs):
    spec = Spec({"classes": [HOSTILE, "quiet"]})
    return samples_html(Samples(torch.as_tensor(rows, dtype=torch.float32), spec, **kwargs), domain)


def test_texts_are_listed_and_escaped():
    html = shown(Texts(), [*range(20)], headings=["<i>"] * 20)
    assert html.count("<li ") == 16 and "20 samples of texts, the first 16" in html
    assert "<script" not in html and "&lt;script&gt;" in html and "\x1b" not in html and "<i>" not in html


def test_sounds_have_players_and_a_picture():
    html = shown(Sounds(), [800.0] * 10, condition=torch.arange(10) % 2)
    assert html.count("<audio controls") == 8 and html.count("<img ") == 1
    assert "<script" not in html and html.count("&lt;script&gt;") == html.count("quiet") == 4
    assert "\x1b" not in html
    assert re.findall(r'src="(data:[a-z/-]+);', html)[0] == "data:image/png"


def test_a_page_is_bounded():
    large = Sounds()
    large.side = 1500
    html = shown(large, [700_000.0] * 8)
    assert 1_000_000 < len(html) <= MAX_CHARACTERS + 1000
    assert html.count("<audio") == 1


def test_without_a_preview_files_of_all_samples_are_shown_as_far_as_they_fit():
    class Files(Domain):
        name = "files"

        def write(self, samples, folder):
            sizes = {f"a {HOSTILE[:8]}.txt": 100, "b.mp4": 2_000_000, "c.mp4": 2_000_000}
            for name, size in sizes.items():
                (folder / name).write_text("<i>" + "x" * size)
            return [folder / name for name in sizes]

    html = shown(Files(), [0.0])
    assert html.count("<video ") == 1 and len(html) <= MAX_CHARACTERS
    assert "a &lt;script&gt;.txt" in html and "&lt;i&gt;xxx" in html and "<i>" not in html


@pytest.mark.parametrize("domain", [None, Texts()])
def test_samples_of_a_model_show_themselves(domain):
    html = None if domain is None else (lambda samples: samples_html(samples, domain))
    found = Samples(torch.zeros(2, 1), Spec({}), html=html)._repr_html_()
    assert (found is None) == (domain is None)
