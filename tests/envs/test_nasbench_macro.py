import numpy as np
import pytest

import designopt as do
from designopt import data
from designopt.envs.nas.nasbench_macro import DATA, designs_of
from designopt.testing import check_env

ID = "designopt/NASBenchMacro-v0"


@pytest.fixture
def env(tmp_path):
    (tmp_path / "m.csv").write_text(
        "code,acc0,acc1,acc2,params,flops\n00000000,45,46,50,10,20\n22212202,93,92,94,30,40\n"
    )
    return do.make(ID, table=tmp_path / "m.csv")


def test_search_sees_one_seed_and_the_truth_is_the_mean_of_all(env):
    designs = designs_of(["00000000", "22212202"])
    evaluation = env.evaluate(designs)
    assert evaluation.objectives[:, 0].tolist() == [45, 93]
    assert env.truth(designs).tolist() == [47, 93]
    assert evaluation.metrics["params"].tolist() == [10, 30]
    assert evaluation.metrics["flops"].tolist() == [20, 40]
    assert env.reference.value == 93
    assert designs_of([str(int(x)) * 8 for x in (1,)]).tolist() == [[1] * 8]


def test_conforms_and_names_a_network_that_is_not_in_the_table(env):
    check_env(env)
    evaluation = env.evaluate(np.ones((1, 8)))
    assert evaluation.status.tolist() == ["invalid"]
    assert evaluation.errors.tolist() == ["architecture 11111111 is not in the table"]


def test_invalid_codes_are_refused_by_layer():
    with pytest.raises(ValueError, match="'00300000': layer3 has operation '3'; allowed: 0 identity, 1 mb3_k3"):
        designs_of(["00300000"])


@pytest.mark.skipif(not data.available(DATA), reason=f"{DATA} is not on this machine")
def test_published_facts_of_the_table():
    env = do.make(ID)
    every = np.indices((3,) * 8).reshape(8, -1).T
    truth = env.truth(every)
    assert np.array_equal(every[truth.argmax()], designs_of(["22212202"])[0])
    assert truth.max() == pytest.approx(93.127, abs=1e-3)
    assert np.median(truth) == pytest.approx(90.99, abs=0.01)
    assert truth.min() == pytest.approx(45.36, abs=0.01)
