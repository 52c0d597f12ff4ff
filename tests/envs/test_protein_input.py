"""What a user gets wrong about sequences and data sets is named, with what there is instead."""

import pytest

import designopt as do
from designopt.envs.protein.ehrlich import Ehrlich
from designopt.envs.protein.measured import AAV, TFBind8
from designopt.envs.protein.mixture import GaussianMixture
from designopt.envs.protein.poisson import PoissonField

WILD = "DEEEIRTTNPVATEQYGSVSTNLQRGNR"


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        (["ACDE", "ACD"], r"sequence 1: 'ACD' has 3 letters; every sequence must have 4"),
        (["ACDEF"], r"sequence 0: 'ACDEF' has 5 letters"),
        (["ACDE", "ACXE"], r"sequence 1: letter 'X' at position 3 of 'ACXE' is not in the alphabet ACDEF"),
        (["acde"], r"letter 'a' at position 1"),
    ],
)
def test_sequences_are_refused_naming_the_place(sequences, message):
    with pytest.raises(ValueError, match=message):
        Ehrlich(5, 4, 1, 2).designs(sequences)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianMixture(0, 0.001), "imbalance = 0.001: no good design for 200 bad ones; at least 0.005"),
        (lambda: PoissonField(size=8, separation=0, imbalance=1e-4), "no good design for 1000 bad ones"),
        (lambda: PoissonField(size=8, separation=9), r"separation = 9; allowed levels: 0 \(30\)"),
        (lambda: TFBind8("X"), "factor = 'X'; allowed: CRX_REF_R1"),
    ],
)
def test_data_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_landscape_without_enough_of_a_class_says_what_it_has(tmp_path):
    path = tmp_path / "aav.csv"
    path.write_text(f"sequence,score\n{WILD},11\n{WILD[:-1]}K,8\n")
    with pytest.raises(ValueError, match=r"wanted; available: "):
        AAV(path=path, separation=0, imbalance=0.1)


def test_the_registry_passes_on_what_is_wrong(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("sequence,fitness\nACDE,1\nACDE,2\n")
    with pytest.raises(ValueError, match="'ACDE' is listed twice, as sequences 0 and 1"):
        do.make("designopt/GB1-v0", path=str(path))
