"""Is it a contract? Clear non-contracts are refused; every real contract, however odd, must pass."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.document.language import detect_language
from countersign.document.likeness import THRESHOLD, UNJUDGED, assert_contract, contract_likeness
from countersign.errors import DocumentError
from countersign.settings import ROOT, Settings

SHORT_CONTRACTS = {
    "plain language": "Dog walking agreement. Sam and Lee agree: Lee will walk Sam's dog every weekday. Sam will pay "
    "Lee $15 for each walk, on Fridays. Either of us may end this agreement with a week's written "
    "notice. Signed: Sam, Lee",
    "no title": "We, Orchard Press and the undersigned author, agree as follows. The author grants us the "
    "exclusive right to publish the book. We shall pay a royalty of ten percent. Each party may "
    "terminate this contract if the other breaches it and does not put it right within thirty days of "
    "written notice.",
    "amendment": "Amendment No. 2 to Supply Agreement. Effective as of May 1, 2025 Section 4.1 is replaced as "
    "follows: 'The price is USD 12 per unit.' All other terms remain in full force. By: ____ Name: "
    "Title:",
    "you": "Terms of Service. By using the service you agree to these terms. You must not resell it. We may "
    "suspend your account if you breach these terms. Our liability is limited to the fees you paid. "
    "The laws of Ohio govern this agreement.",
    "order": "Order Form No. 7 under the Master Services Agreement dated March 3, 2025 between Vale Inc. and "
    "Moor LLC. Services: hosting. Fee: USD 900 per month, payable within 30 days. Term: 12 months "
    "from the Effective Date.",
}

NON_CONTRACTS = {
    "source code": "import os\nimport sys\n\ndef main(path: str) -> int:\n    total = 0\n    for name in "
    "os.listdir(path):\n        if name.endswith('.py'):\n            total += len(open(name).read())\n  "
    "  return total\n\nclass Party:\n    def __init__(self, name):\n        self.name = name\n\nif __name__ "
    "== '__main__':\n    sys.exit(main())\n",
    "novel": "The rain had not stopped for three days when Marta came down to the harbour. She looked at the "
    "boats and thought of her brother. 'You will not find him here,' said the old man. She said "
    "nothing. He knew the way she felt, and he had been waiting for her since the morning. The gulls "
    "were quiet. They walked along the quay together until the lamps were lit, and she asked him at "
    "last what he had seen that night.",
    "cv": "Curriculum Vitae. Jordan Example. Work experience: 2019 to 2025, data engineer at a bank; built "
    "pipelines in Python. 2016 to 2019, analyst at a retailer. Education: BSc Mathematics. Skills: "
    "SQL, Spark, German, sailing. Hobbies: chess and long-distance running. References available on "
    "request.",
    "e-mail": "From: ana@example.org\nTo: ben@example.org\nSubject: lunch on Thursday\n\nHi Ben,\n\nare you free on "
    "Thursday? I would love to hear how the move went. There is a new place near the station and they "
    "do a very good pie. Shall we say noon? Bring the photos!\n\nBest,\nAna",
    "news": "The city council voted on Tuesday to close the old bridge for two years. Engineers said the "
    "pillars were in worse shape than they had feared. 'We had no choice,' the mayor said. Traders "
    "fear for their income, and about forty of them marched to the town hall. The agreement of the "
    "state to pay half of the cost is expected by autumn.",
    "invoice": "Invoice No: 2291\nInvoice date: 3 May 2026\nBill to: Hill Farm\n\nQty Description Price\n4 Fence "
    "posts 60.00\n2 Gates 240.00\n\nSubtotal 300.00\nVAT 20% 60.00\nAmount due 360.00\n\nPlease pay by bank "
    "transfer. Thank you!",
    "essay": "Contracts are older than writing. When people first traded grain for copper they needed a way to "
    "remember what had been promised. Historians usually point to clay tablets, but should we believe "
    "them? For example, courts in later ages gave weight to witnesses rather than seals. Why? Because "
    "memory was thought to be more honest than wax.",
    "log": "2026-05-01 12:00:01 INFO start\n2026-05-01 12:00:02 WARN retry 1\n2026-05-01 12:00:05 ERROR timeout\n" * 20,
    "lorem": "Lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt. " * 8,
    "minutes": "Minutes of the garden club, 4 June. Present: eleven members. The rose show went well and raised "
    "300. Kim thanked the helpers. We talked about slugs at length. Next meeting in July at the usual "
    "place; bring seedlings to swap.",
}

FOREIGN = {
    "fr": "Le présent contrat est conclu entre la société Valmont et la société Delorme. Les parties "
    "conviennent de garder confidentielles les informations qui leur sont communiquées dans le cadre "
    "de leur collaboration.",
    "de": "Dieser Vertrag wird zwischen der Müller GmbH und der Vogel AG geschlossen. Die Parteien "
    "verpflichten sich, die Informationen vertraulich zu behandeln, und werden sie nicht an Dritte "
    "weitergeben.",
    "es": "El presente contrato se celebra entre la empresa Robledo y la empresa Castaño. Las partes se "
    "obligan a mantener la confidencialidad de los datos que reciban con motivo de la prestación de "
    "los servicios.",
    "it": "Il presente contratto è stipulato tra la società Rossi e la società Bianchi. Le parti si "
    "obbligano a non divulgare le informazioni riservate che sono ricevute nel corso della "
    "collaborazione.",
    "pt": "O presente contrato é celebrado entre a empresa Moura e a empresa Lobo. As partes não podem "
    "divulgar as informações que recebem uma da outra para os fins do contrato, em qualquer tempo.",
    "nl": "Deze overeenkomst is gesloten tussen de vennootschap Jansen en de vennootschap De Wit. De "
    "partijen zijn verplicht om het vertrouwelijke karakter van de informatie te bewaren en deze niet "
    "aan derden te geven.",
    "ru": "Настоящий договор заключён между сторонами. Стороны обязуются сохранять конфиденциальность.",
    "zh": "本合同由甲乙双方签订。双方同意对所获得的信息予以保密，未经对方书面同意不得向第三方披露。",
    "ja": "本契約は甲と乙との間で締結される。両当事者は、相手方から受領した情報を秘密に保持しなければならない。",
}


@pytest.mark.parametrize("text", SHORT_CONTRACTS.values(), ids=SHORT_CONTRACTS)
def test_short_contracts_pass_with_margin(text: str) -> None:
    assert contract_likeness(text) > 2 * THRESHOLD
    assert_contract(text)


@pytest.mark.parametrize("text", NON_CONTRACTS.values(), ids=NON_CONTRACTS)
def test_other_texts_are_refused_with_margin(text: str) -> None:
    assert contract_likeness(text) < THRESHOLD / 2
    with pytest.raises(DocumentError, match="is no contract") as caught:
        assert_contract(text)
    assert caught.value.remedy


@pytest.mark.parametrize(("code", "text"), FOREIGN.items())
def test_contracts_in_other_languages_are_recognised_and_pass(code: str, text: str) -> None:
    assert detect_language(text) == code
    assert contract_likeness(text) == UNJUDGED
    assert_contract(text)


def test_language_is_english_where_nothing_can_be_told() -> None:
    assert {detect_language(text) for text in ("", "12345 67", "Zyx Qwv Plugh Xyzzy Frotz Gnusto")} == {"en"}


def test_one_foreign_clause_does_not_make_a_contract_foreign() -> None:
    english = (ROOT / "examples" / "nda-clean.md").read_text(encoding="utf-8")
    assert detect_language(english + FOREIGN["de"]) == "en"


@given(st.text(max_size=400))
def test_likeness_is_a_share_for_any_text(text: str) -> None:
    assert 0.0 <= contract_likeness(text) <= 1.0


def test_examples() -> None:
    contracts = sorted((ROOT / "examples").glob("*-*.md"))
    assert len(contracts) >= 5
    for path in contracts:
        assert contract_likeness(path.read_text(encoding="utf-8")) > 0.9, path.name
    with pytest.raises(DocumentError, match="is no contract"):
        assert_contract((ROOT / "examples" / "not-a-contract.txt").read_text(encoding="utf-8"))


def test_real_contracts_pass_with_margin() -> None:
    data = Settings().data
    paths = sorted((data / "cuad" / "txt").glob("*.txt"))
    nli = data / "contract_nli" / "contract_nli.json"
    if not paths or not nli.exists():
        pytest.skip("COUNTERSIGN_DATA holds no contract texts")
    shortest = sorted(paths, key=lambda path: path.stat().st_size)[:40]  # the short ones are the hard ones
    texts = [path.read_bytes().decode("utf-8") for path in shortest + paths[::40]]
    texts += [document["text"] for document in json.loads(nli.read_text(encoding="utf-8"))["documents"][::8]]
    for text in texts:
        assert contract_likeness(text) > 2 * THRESHOLD


def test_real_guides_about_contracts_are_no_contracts() -> None:
    knowledge = Settings().data / "knowledge"
    paths = sorted((knowledge / "practice-guides").rglob("*.md")) + sorted((knowledge / "checklists").rglob("*.md"))
    if not paths:
        pytest.skip("COUNTERSIGN_DATA holds no practice guides")
    for path in paths[::12]:
        assert contract_likeness(path.read_text(encoding="utf-8")) < THRESHOLD / 2, path.name
