"""Which proper names a document has, and which of them salient cuts keep."""

import collections

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dataset import CharCorruptionDataset, corrupt, mix
from helpers import cuts_of
from names import proper_names

WORDS = st.text(st.characters(exclude_characters="⁇\n", exclude_categories=["Cs"]), max_size=50)


def test_a_salient_cut_leaves_the_title_and_one_proper_name():
    line = "Ann B. O'Neill-Ray. Ann was born in New York, Ångström County (USA), and Ray's 2nd"
    strings = [corrupt(line, *name.cut) for name in proper_names(line, 80)]
    assert strings == [
        "Ann B. O'Neill-Ray. ⁇New York⁇Ann was born in ",
        "Ann B. O'Neill-Ray. ⁇Ångström County⁇Ann was born in New York, ",
        "Ann B. O'Neill-Ray. ⁇USA⁇Ann was born in New York, Ångström County (",
        "Ann B. O'Neill-Ray. ⁇Ray's⁇Ann was born in New York, Ångström County (USA), and ",
    ]
    for longest, kept in [
        (35, ["New York", "Ångström County", "USA"]),  # "Ray's" ends with the 78th character: too late, by eight
        (34, ["New York", "USA"]),  # with the title, the second has 35 characters
        (33, ["New York", "USA"]),  # the third ends with the 66th
        (32, ["New York"]),
        (31, ["New York"]),  # which cuts "USA" in two: it is left out, not cut short
    ]:
        assert [name.text for name in proper_names(line, longest)] == kept
    for nothing in ("", "No title here", "Ann Lee. Ulm", "Ann Lee. a b c", "A. Lee", "Ann Lee. Ann Lee. Ann"):
        assert proper_names(nothing, 112) == ()


def test_a_name_knows_the_two_words_or_signs_that_it_stands_behind():
    line = "Ann Lee. Ulm's Ann (born 3 May 1900 in Köln-Porz), a Swede; Å Rome"
    assert [(name.text, name.contexts[0]) for name in proper_names(line, 112)] == [
        ("May", ("born", "#")),
        ("Köln-Porz", ("#", "in")),
        ("Swede", (",", "a")),
        ("Å Rome", ("Swede", ";")),
    ]
    (name,) = proper_names("Ann Lee. in Ulm", 112)
    assert name.contexts == (("in",), ())


def test_of_proper_names_the_one_that_stands_where_answers_do_is_kept():
    read = [
        "Al Ax. born in Ulm, Baden, in July.",
        "Bo Bix. born in Jena, Baden, in July.",
        "Cy Cox. born in Ulm, Baden, in July.",
        "Di Dax. born in Rome, Italy.",
        *["Ed Eck. born in Cork."] * 5,  # no question has Cork as its answer: that does not count against "born in"
    ]
    # The questions' answers are Ulm, Jena, Rome and Baden. How many names in the first four documents are the first answer there:
    # after "born in", 4 of 4, a share of 1; after any "in", 4 of 7, .57; after ",", 0 of 4; anywhere, 4 of 11, .36. Each further
    # name of a document counts three quarters of the one before it, and half if it is no answer.
    corpus = CharCorruptionDataset("\n".join(read), 128, salient_share=0.4)
    mixed = mix(corpus, "born in\tJena\nborn in\tUlm\nborn in\tBaden\nborn in\tRome")
    assert len(mixed) == 13
    kept = {
        "Flo Fay. born in Oslo, Norway, in July.": "Oslo",  # .5; 0, .16
        "Gil Gum. seen in Bonn, and born in Oslo.": "Oslo",  # .29, .38
        "Hal Hut. seen in Ulm, and born in Oslo.": "Ulm",  # .57, .38
        "Ida Ink. Ida left Ulm, and born in Oslo.": "Oslo",  # .36, .38
        "Jo Jag. Jo left Cork for Ulm.": "Ulm",  # .18, .27
        "Kim Kay. Kim left Cork for Bath.": "Cork",  # .18, .14
        "Lee Low. Lee saw Bonn, Baden.": "Bonn",  # .18, 0
        "Max May. seen in Bonn, but left Ulm.": "Bonn",  # .29, .27
        "Ned Nye. seen in Bonn, or in Ulm.": "Ulm",  # .29, .43
    }
    assert {document: [name.text for name in corpus.names.of(document)] for document in kept} == {
        document: [name] for document, name in kept.items()
    }
    cuts = cuts_of(corpus, torch.zeros(4000, dtype=torch.long), torch.Generator().manual_seed(0))
    shares = collections.Counter(corrupt(*cut) for cut in cuts)
    assert shares.pop("Al Ax. ⁇Ulm⁇born in ") / 4000 == pytest.approx(0.4, abs=0.04)
    assert max(shares.values()) < 100  # no other cut is made on purpose


@pytest.mark.parametrize(("n", "name"), [(2996, "Oslo"), (2997, "Bonn")])
def test_three_thousand_documents_are_read_for_it(n, name):
    documents = ["Nobody."] * n + ["Ann Lee. Ann left Köln, but is from Ulm."] * 4
    corpus = CharCorruptionDataset("\n".join(documents), 128, salient_share=0.4)
    mix(corpus, "Ann is from\tUlm")
    assert corpus.names.of("Bo Fox. Bo left Bonn, but is from Oslo.")[0].text == name


@pytest.mark.parametrize(("n", "name"), [(3, "Bonn"), (4, "Oslo")])
def test_words_tell_something_from_the_fourth_time_on(n, name):
    corpus = CharCorruptionDataset("\n".join(["Ann Lee. Ann left Köln, but is from Ulm."] * n), 128, salient_share=0.4)
    mix(corpus, "Ann is from\tUlm")
    assert corpus.names.of("Bo Fox. Bo left Bonn, but is from Oslo.")[0].text == name


@given(st.lists(st.sampled_from(["Ann", "Lee", "ulm", "Ulm", ". ", " ", "-", "é", "É", "7", "ǅ"]) | WORDS), st.integers(4, 120))
def test_every_salient_cut_is_of_the_documents_first_characters_and_keeps_fewer(pieces, longest):
    document = "".join(pieces)
    for found in proper_names(document, longest):
        length, start, span = found.cut
        assert 0 < span <= length - start and length - span <= longest and length <= 2 * longest
        prefix, name, masked = corrupt(document, length, start, span).split("⁇")
        assert document.startswith(prefix + masked + name)
        assert prefix.endswith(". ") and name[0].isupper() and name not in prefix
