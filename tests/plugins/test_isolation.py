"""A broken plugin is named in one line, with its distribution and the fix, and loses only itself."""

from __future__ import annotations

import threading

import pytest
from refusals import refused

from gancore import PluginError, __version__
from gancore.plugins import PluginInfo, PluginRegistry

LOSS = """
@hookimpl
def gancore_losses():
    return [LossEntry("plain", "slow:plain", "none")]
"""
HEAD = "from gancore import hookimpl, DomainEntry, LossEntry, MetricEntry\n"


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_threads_that_use_it_first_all_find_a_sound_plugin(site):
    site.install("gancore-slow", {"slow": f"import time\ntime.sleep(0.2)\n{HEAD}{LOSS}"})
    plugins, found = site.plugins(), []
    threads = [
        threading.Thread(target=lambda: found.append(len(plugins.entries("gancore_losses"))))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 6
    assert info(plugins, "slow").state == "ok"


def info(plugins: PluginRegistry, name: str) -> PluginInfo:
    return next(found for found in plugins.list_plugins() if found.name == name)


def domain(name: str, contract: int = 2) -> str:
    return f"""
{HEAD}
@hookimpl
def gancore_domains():
    return [DomainEntry({name!r}, "never_there:{name.title()}", "a domain", contract={contract})]
"""


BREACHES = {
    "imports a name that gancore lacks": (
        "from gancore import hookimpl, TideEntry",
        [
            "incompatible: it needs 'TideEntry' of gancore",
            f"gancore {__version__} (contract 2)",
            "reef.py:1",
            "pip install --upgrade gancore-reef",
            "CHANGELOG",
        ],
    ),
    "imports a name that a module of gancore lacks": (
        "from gancore.errors import TideError",
        ["incompatible: it needs 'TideError' of gancore.errors", "reef.py:1", "gancore-reef"],
    ),
    "imports a module that gancore lacks": (
        "from gancore.tides import Ebb",
        ["incompatible: it needs the module 'gancore.tides'", "reef.py:1", "--upgrade gancore-reef"],
    ),
    "looks up a name that gancore lacks": (
        "import gancore\ngancore.TideEntry",
        ["incompatible: it needs 'TideEntry' of gancore", "reef.py:2", "--upgrade gancore-reef"],
    ),
    "looks up a name in a hook that gancore lacks": (
        HEAD + "@hookimpl\ndef gancore_losses():\n    import gancore\n    return [gancore.TideEntry('a')]",
        ["incompatible: it needs 'TideEntry' of gancore", "reef.py:5", "--upgrade gancore-reef"],
    ),
    "import error": (
        "import librarium.scores",
        ["needs the module 'librarium'", "not installed", "reef.py:1", "pip install librarium"],
    ),
    "raises at import": (
        "1 / 0",
        ["ZeroDivisionError: division by zero", "at import", "reef.py:1", "--upgrade"],
    ),
    "does not parse": ("def gancore_domains(:", ["SyntaxError", "at import", "GANCORE_DISABLE_PLUGINS=reef"]),
    "calls sys.exit": ("import sys\nsys.exit(3)", ["calls sys.exit at import", "reef.py:2", "--upgrade"]),
    "is empty": ("", ["implements no hook in reef", "--upgrade"]),
    "raises in a hook": (
        HEAD
        + "@hookimpl\ndef gancore_losses():\n"
        + "    yield LossEntry('a', 'b:c', '')\n    raise ValueError('two\\nlines')",
        ["fails in gancore_losses: ValueError: two lines", "reef.py:5", "--upgrade"],
    ),
    "calls sys.exit in a hook": (
        HEAD + "@hookimpl\ndef gancore_losses():\n    raise SystemExit",
        ["calls sys.exit in gancore_losses", "reef.py:4"],
    ),
    "returns a wrong record": (
        HEAD + "@hookimpl\ndef gancore_domains():\n    return [LossEntry('reef', 'reef:Reef', '')]",
        ["a LossEntry from gancore_domains", "DomainEntry", "--upgrade"],
    ),
    "returns one record": (
        HEAD + "@hookimpl\ndef gancore_domains():\n    return DomainEntry('reef', 'reef:Reef', '')",
        ["a DomainEntry from gancore_domains", "list of DomainEntry"],
    ),
    "forgets to return": (
        HEAD + "@hookimpl\ndef gancore_domains():\n    [DomainEntry('reef', 'reef:Reef', '')]",
        ["returns nothing from gancore_domains", "list of DomainEntry"],
    ),
    "names no object": (
        HEAD + "@hookimpl\ndef gancore_domains():\n    return [DomainEntry('reef', 'reef.Reef', '')]",
        ["'reef.Reef' is not 'package.module:Object'"],
    ),
    "is written for a newer contract": (
        domain("reef", contract=3),
        [
            "incompatible: 'reef' is written for contract 3, this gancore has contract 2",
            "pip install --upgrade gancore",
        ],
    ),
    "is written for an older contract": (
        domain("reef", contract=1),
        [
            "incompatible: 'reef' is written for contract 1, this gancore has contract 2",
            "pip install --upgrade gancore-reef",
        ],
    ),
    "misspells a hook": (
        HEAD + "@hookimpl\ndef gancore_domain():\n    return []",
        ["unknown hook 'gancore_domain'", "did you mean 'gancore_domains'?"],
    ),
    "forgets the mark": (
        HEAD + "def gancore_domains():\n    return []",
        ["gancore_domains without a mark", "write @hookimpl above gancore_domains"],
    ),
    "asks for an unknown argument": (
        HEAD + "@hookimpl\ndef gancore_samples_written(pictures):\n    pass",
        ["gancore_samples_written", "pictures", "--upgrade"],
    ),
}


@pytest.mark.parametrize(("source", "words"), BREACHES.values(), ids=list(BREACHES))
def test_a_breach_is_told_in_one_line_and_the_good_plugin_works(site, capsys, source, words):
    site.install("gancore-reef", {"reef": source})
    site.install_tides()
    plugins = site.plugins()
    plugins.load_all()
    result = lines(capsys)
    assert len(result) == 1, result
    for word in ["plugin 'reef' (gancore-reef 1.2)", *words]:
        assert word in result[0]
    assert plugins.load_domain("tides").name == "tides"
    plugins.load_all()
    assert lines(capsys) == [], "a fault is told once"
    broken = info(plugins, "reef")
    assert broken.state == ("incompatible" if "is incompatible: " in result[0] else "broken")
    assert broken.reason in result[0]
    assert broken.fix in result[0]
    assert info(plugins, "tides").state == "ok"


@pytest.mark.parametrize(("source", "words"), BREACHES.values(), ids=list(BREACHES))
def test_strict_raises_instead(site, capsys, source, words):
    site.install("gancore-reef", {"reef": source})
    with pytest.raises(PluginError) as caught:
        site.plugins(strict=True).load_all()
    for word in ["plugin 'reef' (gancore-reef 1.2)", *words]:
        assert word in str(caught.value)
    assert lines(capsys) == []


def test_a_keyboard_interrupt_passes_through(site):
    site.install("gancore-reef", {"reef": "raise KeyboardInterrupt"})
    plugins = site.plugins()
    with pytest.raises(KeyboardInterrupt):
        plugins.load_all()
    assert info(plugins, "reef").state == "listed"


def test_the_class_of_an_incompatible_record_is_not_imported(site, capsys):
    source = domain("reef", contract=3).replace("never_there", "reef_domain")
    site.install("gancore-reef", {"reef": source, "reef_domain": "raise AssertionError('imported')"})
    with refused(PluginError, "gancore-reef", 1.2, 3, 2):
        site.plugins().load_domain("reef")
    assert lines(capsys) == [], "the error says it already"


def test_a_plugin_with_one_bad_record_keeps_the_others(site, capsys):
    source = HEAD + (
        "@hookimpl\ndef gancore_losses():\n    return [LossEntry('good', 'a:b', ''), 'bad']\n"
        "@hookimpl\ndef gancore_metrics():\n    raise OSError('no disk')\n"
        "@hookimpl\ndef gancore_domains():\n    return [DomainEntry('reef', 'a:B', '')]\n"
    )
    site.install("gancore-reef", {"reef": source})
    plugins = site.plugins()
    assert [record.name for record in plugins.entries("gancore_losses")] == ["good"]
    assert len(lines(capsys)) == 2
    assert info(plugins, "reef").registers == {"gancore_losses": ("good",), "gancore_domains": ("reef",)}


@pytest.mark.parametrize("order", [("atoll", "reef"), ("reef", "atoll")])
def test_of_two_that_claim_a_name_the_first_distribution_keeps_it_whatever_is_loaded_first(
    site, capsys, order
):
    for name in ("atoll", "reef"):
        source = (
            domain("shore") + f"@hookimpl\ndef gancore_losses():\n    return [LossEntry('{name}', 'a:b', '')]"
        )
        site.install(f"sea-{name}", {name: source.replace("never_there", f"{name}_domain")})
    plugins = site.plugins()
    for name in order:
        next(plugin for plugin in plugins._found if plugin.id.name == name).load()
    kept = plugins.entries("gancore_domains")
    assert [record.target for record in kept] == ["atoll_domain:Shore"]
    assert [record.name for record in plugins.entries("gancore_losses")] == ["atoll", "reef"], (
        "it loses only that"
    )
    result = lines(capsys)
    assert len(result) == 1
    for word in ["(sea-reef 1.2)", "'shore' in gancore_domains", "(sea-atoll 1.2)", "pip uninstall sea-reef"]:
        assert word in result[0]


def test_a_plugin_by_the_authors_of_gancore_keeps_its_name(site, capsys):
    site.install("gancore", {}, entry_points="", author="Those of gancore")
    site.install("aaa", {"atoll": domain("shore").replace("never_there", "theirs")}, author="Somebody")
    site.install("zzz", {"reef": domain("shore").replace("never_there", "ours")}, author="Those of gancore")
    plugins = site.plugins()
    assert [record.target for record in plugins.entries("gancore_domains")] == ["ours:Shore"]
    assert "plugin 'atoll' (aaa 1.2) registers 'shore'" in lines(capsys)[0]


def test_two_plugins_of_the_same_name_both_work(site, capsys):
    site.install("one", {"reef_one": domain("reef")}, entry_points="[gancore]\nreef = reef_one\n")
    site.install("two", {"reef_two": domain("lagoon")}, entry_points="[gancore]\nreef = reef_two\n")
    assert {record.name for record in site.plugins().entries("gancore_domains")} == {"reef", "lagoon"}
    assert lines(capsys) == []


def test_an_entry_point_that_cannot_be_read_hides_no_other(site, capsys):
    site.install("gancore-reef", {"reef": ""}, entry_points="[gancore]\nreef\n")
    site.install_tides()
    plugins = site.plugins()
    assert [found.name for found in plugins.list_plugins()] == ["tides"]
    plugins.load_all()
    result = lines(capsys)
    assert len(result) == 1
    assert "(gancore-reef 1.2) has entry points that cannot be read" in result[0]
    assert "pip install --force-reinstall gancore-reef" in result[0]


def test_an_entry_point_to_a_module_that_is_gone_names_the_reinstall(site, capsys):
    site.install("gancore-reef", {}, entry_points="[gancore]\nreef = reef_gone.entry\n")
    site.plugins().load_all()
    result = lines(capsys)
    assert len(result) == 1
    assert "lacks its own module 'reef_gone'; pip install --force-reinstall gancore-reef" in result[0]
