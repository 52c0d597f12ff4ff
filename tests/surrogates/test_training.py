import json
from dataclasses import replace

import pytest
import torch
import typer
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

from designopt.surrogates import agp_training, heldout, train_command
from designopt.surrogates.inference_network import Architecture, InferenceNetwork
from designopt.surrogates.training import (
    Trainer,
    TrainingConfig,
    learning_rate,
    load_state,
    read_weights,
    write_weights,
)

CONFIG = TrainingConfig(steps=40, learning_rate=0.05)


def line():
    torch.manual_seed(0)
    return nn.Linear(2, 1)


def squared_error(network, rng):
    X = torch.randn(16, 2, generator=rng)
    return ((network(X)[:, 0] - X @ torch.tensor([2.0, -1.0]) - 0.5) ** 2).mean()


def test_training_finds_the_line():
    trainer = Trainer(line(), squared_error, replace(CONFIG, steps=300))
    first = trainer.advance()
    while not trainer.done:
        last = trainer.advance()
    assert trainer.step == 300
    assert last < 1e-3 < first
    for network in (trainer.network, trainer.average):
        torch.testing.assert_close(network.weight.detach(), torch.tensor([[2.0, -1.0]]), atol=0.1, rtol=0)


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(tmp_path):
    whole = Trainer(line(), squared_error, CONFIG)
    for _ in range(15):
        whole.advance()
    whole.curve.append({"step": 15, "loss": 1.25})
    whole.save(tmp_path)
    resumed = Trainer(line(), squared_error, CONFIG)
    assert resumed.resume(tmp_path)
    assert resumed.step == 15
    assert resumed.curve == whole.curve
    while not whole.done:
        assert resumed.advance() == whole.advance()
    assert torch.equal(resumed.average.weight, whole.average.weight)


def test_the_inference_network_resumes_identically(tmp_path):
    def build():
        torch.manual_seed(0)
        return InferenceNetwork(Architecture(width=8, memory=2))

    config = TrainingConfig(steps=6)
    whole = Trainer(build(), agp_training.loss, config)
    for _ in range(2):
        whole.advance()
    whole.save(tmp_path)
    resumed = Trainer(build(), agp_training.loss, config)
    resumed.resume(tmp_path)
    assert resumed.advance() == whole.advance()


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path):
    assert not Trainer(line(), squared_error, CONFIG).resume(tmp_path / "none")


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path):
    Trainer(line(), squared_error, CONFIG).save(tmp_path)
    with pytest.raises(ValueError, match=r"'steps': 40.*'steps': 41"):
        Trainer(line(), squared_error, replace(CONFIG, steps=41)).resume(tmp_path)


def test_a_crash_while_saving_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    trainer = Trainer(line(), squared_error, CONFIG)
    trainer.advance()
    trainer.save(tmp_path)
    trainer.advance()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        trainer.save(tmp_path)
    resumed = Trainer(line(), squared_error, CONFIG)
    resumed.resume(tmp_path)
    assert resumed.step == 1


def test_a_batch_without_a_gradient_changes_nothing():
    trainer = Trainer(line(), lambda network, rng: network(torch.full((1, 2), torch.inf)).sum(), CONFIG)
    before = trainer.network.weight.detach().clone()
    trainer.advance()
    assert torch.equal(trainer.network.weight, before)
    assert trainer.step == 1


def test_the_average_lags_behind_and_forgets_its_beginning():
    trainer = Trainer(line(), squared_error, replace(CONFIG, averaging=0.9))
    start = trainer.network.weight.detach().clone()
    trainer.advance()
    moved = trainer.network.weight.detach()
    torch.testing.assert_close(trainer.average.weight, 0.1 * start + 0.9 * moved)
    average = trainer.average.weight.clone()
    for _ in range(9):
        trainer.advance()
    torch.testing.assert_close(trainer.average.weight.requires_grad, False)
    assert not torch.equal(trainer.average.weight, average)


def test_the_learning_rate_rises_then_falls_to_its_floor():
    config = TrainingConfig(steps=200, learning_rate=1.0, warmup=0.1, floor=0.02)
    rates = [learning_rate(config, step) for step in range(200)]
    assert rates[9] == pytest.approx(0.5)
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) == 19
    assert rates[109] == pytest.approx(0.51)
    assert rates[-1] == pytest.approx(0.02)


def test_weights_come_back_with_their_facts(tmp_path):
    network, facts = line(), {"model": "line", "curve": [{"step": 1}]}
    write_weights(tmp_path / "line.safetensors", network, facts)
    weights, found = read_weights(tmp_path / "line.safetensors")
    assert found == facts == json.loads((tmp_path / "line.json").read_text())
    other = nn.Linear(2, 1)
    load_state(other, weights, tmp_path)
    assert torch.equal(other.weight, network.weight)


def test_files_that_are_not_weights_are_refused_in_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"no weights file .*missing"):
        read_weights(tmp_path / "missing.safetensors")
    torch.save(line(), tmp_path / "pickled.safetensors")
    with pytest.raises(ValueError, match=r"pickled.safetensors is not a safetensors file"):
        read_weights(tmp_path / "pickled.safetensors")
    write_weights(tmp_path / "cut.safetensors", line(), {})
    whole = (tmp_path / "cut.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-3])
    with pytest.raises(ValueError, match=r"cut.safetensors is not a safetensors file"):
        read_weights(tmp_path / "cut.safetensors")
    save_file({"weight": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match=r"foreign.safetensors was not written by designopt"):
        read_weights(tmp_path / "foreign.safetensors")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"weight": torch.zeros(1, 3), "bias": torch.zeros(1)}, r"'weight' has shape \(1, 3\), expected \(1, 2\)"),
        ({"weight": torch.zeros(1, 2)}, r"'bias' has shape missing, expected \(1,\)"),
        ({"weight": torch.zeros(1, 2), "bias": torch.zeros(1), "x": torch.zeros(1)}, "'x' .* none of that name"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, weights, message):
    with pytest.raises(ValueError, match=message):
        load_state(line(), weights, tmp_path / "w.safetensors")


# The command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch):
    """``train-pfn`` with one small held-out cell."""
    monkeypatch.setattr(heldout, "CELLS", ((3, 30),))
    app = typer.Typer()
    app.command()(train_command.train_pfn)
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)])


def test_the_command_writes_weights_that_load_and_goes_on_where_it_stopped(command, tmp_path):
    from designopt.surrogates import AmortizedGP

    done = command("agp", "--folder", tmp_path, "--steps", 3, "--measure-every", 2)
    assert done.exit_code == 0, done.output
    agp = AmortizedGP.load(tmp_path / "agp.safetensors")
    assert (agp.most_points, agp.most_dimensions) == (200, 18)
    facts = json.loads((tmp_path / "agp.json").read_text())
    assert facts["config"]["steps"] == 3
    assert [row["step"] for row in facts["curve"]] == [2, 3]
    assert set(facts["curve"][0]) == {"step", "cpu_seconds", "loss", "3,30", "spread 3,30"}
    again = command("agp", "--folder", tmp_path, "--steps", 3)
    assert again.exit_code == 0
    assert json.loads((tmp_path / "agp.json").read_text())["curve"] == facts["curve"]


def test_the_command_starts_from_the_shipped_weights_when_told_to(command, tmp_path):
    arguments = ("agp", "--folder", tmp_path, "--steps", 1, "--learning-rate", 0)
    assert command(*arguments, "--continue-shipped").exit_code == 0
    shipped, _ = read_weights(train_command.Path(train_command.__file__).parent / "weights" / "agp.safetensors")
    written, facts = read_weights(tmp_path / "agp.safetensors")
    assert facts["history"][-1]["command"].startswith("designopt train-pfn agp")
    for name, weight in shipped.items():
        torch.testing.assert_close(written[name], weight)


def test_the_command_names_the_networks_that_it_trains(command, tmp_path):
    result = command("gp", "--folder", tmp_path)
    assert isinstance(result.exception, ValueError)
    assert str(result.exception) == "model = 'gp'; allowed: 'agp', 'pfn', 'classifier'"


def test_a_tiny_network_trained_for_seconds_reads_the_context():
    """Shares of the available gain; one common length-scale for all parameters would have a spread of 0."""
    torch.manual_seed(0)
    network = InferenceNetwork(Architecture(width=48, memory=16))
    trainer = Trainer(network, _small_loss, TrainingConfig(steps=150, learning_rate=5e-3, averaging=0.9))
    before = agp_training.measure(trainer.average)
    while not trainer.done:
        trainer.advance()
    after = agp_training.measure(trainer.average)
    assert max(before.values()) < 0.1
    assert after["1,30"] > 0.8  # measured: .86, .66, .44, 1.4
    assert after["3,30"] > 0.55
    assert after["6,30"] > 0.3
    assert after["spread 3,30"] > 0.9


def _small_loss(network, rng):
    """At most 40 designs and 8 parameters: a fraction of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agp_training, "CONTEXT", (4, 40))
        patch.setattr(agp_training, "PARAMETERS", (1, 8))
        patch.setattr(agp_training, "STEPS", (3, 5))
        return agp_training.loss(network, rng)
