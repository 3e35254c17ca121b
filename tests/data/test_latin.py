import itertools
from collections.abc import Iterator

import pytest

from forge.data.decode import decode

TEXTS = {
    "cp1252": [
        "Die Kündigungsfrist beträgt für beide Parteien drei Monate zum Ende des Jahres.",
        "Größe",
        "Le propriétaire cède à l’acquéreur les droits énumérés ci-après; il en perçoit la totalité.",
        "“Licensor” means the author’s heirs – see § 7. The rest of it is plain English.",
        "El contratante pagará mañana según la cláusula señalada; ¿cómo?",
        "The licence © 1999 Müller & Söhne. All rights reserved.",
        "© 2001 Foo Inc. Permission is hereby granted, free of charge, to any person",
        "Avtalet gäller från och med den första januari för båda parter.",
        "O licenciado não poderá ceder os direitos à terceira parte sem autorização.",
        "Straße und Wege: er fährt schön über Öl; „zitiert“ wird nach § 7, Ärger inbegriffen.",
        "Café crème à la française, où l'été naît: «déjà vu» coûte 5 francs.",
        "Il licenziatario può utilizzare l'opera perché è libera; così è più facile.",
    ],
    "cp1250": [
        "Uživatel je povinen dodržovat všechny příslušné právní předpisy a nařízení.",
        "Licencjobiorca zobowiązany jest do przestrzegania warunków niniejszej umowy.",
        "A szerződő felek megállapodnak abban, hogy a díjat előre fizetik.",
        "Korisnik je dužan poštivati sve važeće odredbe i čuvati tajnost podataka.",
    ],
    "cp1251": ["Лицензиат обязан соблюдать условия настоящего договора и законы страны."],
    "koi8_r": ["Лицензиат обязан соблюдать условия настоящего договора и законы страны."],
    "cp1253": ["Ο αδειούχος οφείλει να τηρεί τους όρους της παρούσας σύμβασης."],
    "cp1254": ["Taraflar işbu sözleşmenin hükümlerine uymayı kabul ve taahhüt ederler. Ağaç, ığdır."],
    "cp1257": ["Licencijos gavėjas įsipareigoja laikytis šios sutarties sąlygų."],
    "shift_jis": ["本契約は当事者間の合意により成立するものとする。第一条 目的"],
    "gb18030": ["本合同自双方签字盖章之日起生效,甲方应当支付价款。第一条 目的"],
    "euc_kr": ["이 계약은 당사자의 합의에 의하여 성립한다. 제1조 목적"],
}

"""What else the same texts were written in: by the Unix of Central Europe, old Macintoshes and DOS."""
OLDER = {
    "cp1252": ("iso8859_1", "iso8859_15", "mac_roman", "cp850", "cp437"),
    "cp1250": ("iso8859_2",),
    "cp1251": ("cp866", "iso8859_5"),
}


def encoded() -> Iterator[tuple[str, str]]:
    """Yield encodings and texts that they can write, beyond ASCII."""
    for name, texts in TEXTS.items():
        for text, encoding in itertools.product(texts, (name, *OLDER.get(name, ()))):
            if text.encode(encoding, "ignore").decode(encoding) == text:
                yield encoding, text


@pytest.mark.parametrize("times", [1, 20])
@pytest.mark.parametrize(("encoding", "text"), encoded())
def test_old_encodings_are_read_to_the_letter(encoding: str, text: str, times: int) -> None:
    whole = "\n".join([text] * times)
    assert decode(whole.encode(encoding))[0] == whole
