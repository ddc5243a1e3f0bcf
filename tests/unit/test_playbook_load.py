"""Playbooks: the two that ship, and every way a file can be wrong."""

from pathlib import Path

import pytest

from countersign.clauses.cuad import CUAD_CATEGORY
from countersign.errors import PlaybookError
from countersign.playbook.load import list_playbooks, load_playbook, playbook_digest
from countersign.settings import ROOT
from countersign.words import Severity

SHIPPED = ROOT / "playbooks"
SPECIALISTS = {"parties_term", "liability", "confidentiality_ip", "commercial_exit"}

GOOD = """
name = "small"
title = "Small"
version = "1"
contract_types = ["nda"]

[[specialists]]
key = "all"
title = "All"
brief = "Read everything."

[[families]]
key = "governing_law"
title = "Governing law"
specialist = "all"
question = "Which law?"
severity = "medium"
cues = ['\\bgoverned by\\b']
[families.preferred]
text = "Ours."
[families.fallback]
text = "Neutral."
[families.walk_away]
text = "Theirs."
"""


def written(folder: Path, text: str, name: str = "small") -> Path:
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder


def refused(folder: Path, name: str = "small") -> PlaybookError:
    with pytest.raises(PlaybookError) as caught:
        load_playbook(folder, name)
    assert caught.value.type == "PlaybookError"
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("name", ["nda", "msa"])
def test_the_shipped_playbooks_load(name: str) -> None:
    playbook = load_playbook(SHIPPED, name)
    assert playbook.name == name
    assert {specialist.key for specialist in playbook.specialists} == SPECIALISTS
    assert {family.specialist for family in playbook.families} == SPECIALISTS
    assert all(len(specialist.brief) > 200 for specialist in playbook.specialists)


@pytest.mark.parametrize("name", ["nda", "msa"])
def test_every_family_can_be_found_and_judged(name: str) -> None:
    for family in load_playbook(SHIPPED, name).families:
        assert family.cues, family.key
        assert family.question.endswith("?"), family.key
        assert family.preferred.signs, family.key
        assert family.walk_away.signs, family.key
        for stance in (family.preferred, family.fallback, family.walk_away):
            assert stance.text.endswith("."), family.key


def test_only_few_things_are_critical_or_must_be_there() -> None:
    msa, nda = load_playbook(SHIPPED, "msa"), load_playbook(SHIPPED, "nda")
    assert {family.key for family in msa.families if family.severity is Severity.CRITICAL} == {
        "uncapped_liability",
    }
    assert {family.key for family in nda.families if family.severity is Severity.CRITICAL} == {"uncapped_liability"}
    for playbook in (msa, nda):
        required = [family for family in playbook.families if family.required]
        assert 5 <= len(required) <= 15
        assert all(family.absent_severity is not Severity.CRITICAL for family in required)


def test_the_msa_playbook_covers_every_category_of_cuad() -> None:
    keys = {family.key for family in load_playbook(SHIPPED, "msa").families}
    assert set(CUAD_CATEGORY) <= keys
    assert len(CUAD_CATEGORY) == len(set(CUAD_CATEGORY.values())) == 41
    assert {"indemnity", "data_protection", "payment_terms", "consequential_damages", "confidentiality"} <= keys


def test_the_nda_playbook_covers_the_usual_points() -> None:
    assert {family.key for family in load_playbook(SHIPPED, "nda").families} >= {
        "definition_of_confidential_information",
        "exclusions",
        "permitted_recipients",
        "compelled_disclosure",
        "return_or_destruction",
        "term_of_confidentiality",
        "residuals",
        "no_licence",
        "remedies",
        "governing_law",
        "indemnity",
        "anti_assignment",
        "reverse_engineering",
        "copies",
        "confidentiality_of_talks",
        "independent_development",
        "no_solicit_of_employees",
    }


def test_playbooks_are_listed_by_name(tmp_path: Path) -> None:
    assert list_playbooks(SHIPPED) == ("msa", "nda")
    assert list_playbooks(tmp_path / "nowhere") == ()
    written(tmp_path, GOOD)
    written(tmp_path, GOOD, "Not A Name")
    assert list_playbooks(tmp_path) == ("small",)


def test_the_digest_follows_the_content_and_nothing_else(tmp_path: Path) -> None:
    first = playbook_digest(load_playbook(written(tmp_path, GOOD), "small"))
    assert len(first) == 64
    reordered = GOOD.replace('version = "1"\n', "").replace('name = "small"', 'version = "1"\n# why\nname = "small"')
    assert playbook_digest(load_playbook(written(tmp_path, reordered), "small")) == first
    changed = GOOD.replace("Neutral.", "Neutral!")
    assert playbook_digest(load_playbook(written(tmp_path, changed), "small")) != first


@pytest.mark.parametrize("name", ["unknown", "../small", "small.toml", ""])
def test_an_unknown_name_lists_the_known_ones(tmp_path: Path, name: str) -> None:
    error = refused(written(tmp_path, GOOD), name)
    assert error.remedy == "The playbooks are small"
    assert str(tmp_path) not in str(error)
    assert repr(name) not in str(error)


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    assert "COUNTERSIGN_PLAYBOOKS" in refused(tmp_path).remedy


@pytest.mark.parametrize(
    ("change", "field", "value", "remedy"),
    [
        (('severity = "medium"', 'severity = "severe"'), "families[governing_law].severity", "'severe'", "'critical'"),
        (('question = "Which law?"\n', ""), "families[governing_law].question", "required", "Add the field"),
        (('title = "Small"', 'title = "Small"\ncolour = "red"'), "colour", "'red'", "spelling"),
        (("'\\bgoverned by\\b'", "'(governed'"), "families[governing_law].cues[1]", "'(governed'", "Correct"),
        (('specialist = "all"', 'specialist = "nobody"'), "family governing_law", "'nobody'", "Correct"),
        (
            ('key = "governing_law"', 'key = "Governing Law"'),
            "families[Governing Law].key",
            "'Governing Law'",
            "Correct",
        ),
        (('name = "small"', 'name = "other"'), "name", "'other'", 'name = "small"'),
        (('version = "1"', 'version = "1"\nblock_above = 2'), "block_above", "2", "Correct"),
        (("[[specialists]]", "[sla]\nremind_hours = 50\n[[specialists]]"), "sla", "remind_hours <=", "Correct"),
    ],
)
def test_a_mistake_names_file_field_value_and_remedy(
    tmp_path: Path, change: tuple[str, str], field: str, value: str, remedy: str
) -> None:
    assert change[0] in GOOD
    error = refused(written(tmp_path, GOOD.replace(*change, 1)))
    assert str(error).startswith("small.toml: field ")
    assert str(tmp_path) not in str(error)
    assert field in str(error)
    assert value in str(error)
    assert remedy in error.remedy


def test_several_mistakes_are_counted(tmp_path: Path) -> None:
    broken = GOOD.replace('title = "Small"', "title = 2").replace('version = "1"', "version = 1")
    assert "(and 1 more)" in str(refused(written(tmp_path, broken)))


def test_what_is_no_toml_or_no_text_is_refused(tmp_path: Path) -> None:
    assert "is not TOML" in str(refused(written(tmp_path, "name = ")))
    (tmp_path / "small.toml").write_bytes(b'name = "\xff\xfe"')
    assert "UTF-8" in str(refused(tmp_path))


def test_a_long_wrong_value_is_shortened(tmp_path: Path) -> None:
    broken = GOOD.replace('severity = "medium"', f'severity = "{"x" * 500}"')
    assert len(str(refused(written(tmp_path, broken)))) < 400 + len(str(tmp_path))
