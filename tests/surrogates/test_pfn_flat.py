"""Checkpoints of the published architecture: what loads, what they compute, and what is refused."""

import math
import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from designopt.surrogates import PFN
from designopt.surrogates.pfn.flat import FlatPFN

FEATURES, WIDTH, HIDDEN, LAYERS, BARS = 5, 16, 24, 2, 12


class Reference(nn.Module):
    """The published network made of torch's own layers, evaluated in one pass with a mask."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, 4, HIDDEN, 0.0, "gelu", batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.x, self.y = nn.Linear(FEATURES, WIDTH), nn.Linear(1, WIDTH)
        self.head = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, BARS))
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3)

    def forward(self, X, y, new):
        n, q, d = len(X), len(new), X.shape[-1]
        both = (torch.cat([X, new]) - 0.5) / math.sqrt(1 / 12) * FEATURES / d
        tokens = self.x(nn.functional.pad(both, (0, FEATURES - d)))
        tokens = tokens + torch.cat([self.y(y[:, None]), torch.zeros(q, WIDTH)])
        blocked = torch.zeros(n + q, n + q, dtype=torch.bool)
        blocked[:, n:] = True  # nobody attends to a query
        return self.head(self.transformer_encoder(tokens[None], mask=blocked)[0, n:])

    def checkpoint(self):
        """Under the authors' names."""
        state = {}
        for name, value in self.state_dict().items():
            name = name.replace("x.", "encoder.1.base_encoder.") if name.startswith("x.") else name
            name = name.replace("y.", "y_encoder.") if name.startswith("y.") else name
            name = name.replace("head.", "decoder_dict.standard.") if name.startswith("head.") else name
            state[name] = value
        borders = torch.linspace(-3, 3, BARS + 1)
        return state | {
            "criterion.borders": borders,
            "criterion.smoothing": torch.tensor(0.0),
            "criterion.bucket_widths": borders.diff(),
        }


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(0)
    return Reference().eval().requires_grad_(False)


@pytest.fixture
def checkpoint(tmp_path, reference):
    file = tmp_path / "published.pt"
    torch.save(reference.checkpoint(), file)
    return file


def data(n=7, d=3):
    rng = np.random.default_rng(0)
    X = torch.as_tensor(rng.random((n, d)))
    return X, torch.as_tensor(rng.random((n, 2)))


def test_computes_what_the_published_network_does(checkpoint, reference):
    X, Y = data()
    new = torch.as_tensor(np.random.default_rng(1).random((9, 3)))
    bars = PFN.load(checkpoint, "flat").condition_on(X, Y).bars(new)
    for output in range(2):
        y = (Y[:, output] - Y[:, output].mean()) / Y[:, output].std(correction=0)
        logits = reference(X.float(), y.float(), new.float())
        assert torch.allclose(bars.logits[:, output].float(), logits, atol=1e-4)
    assert torch.allclose(bars.location[0], Y.mean(0))
    assert torch.allclose(bars.scale[0], Y.std(0, correction=0))


def test_a_safetensors_checkpoint_loads_alike(tmp_path, checkpoint, reference):
    file = tmp_path / "published.safetensors"
    save_file({name: value.contiguous() for name, value in reference.checkpoint().items()}, file)
    X, Y = data()
    ours, theirs = (PFN.load(path, "flat").condition_on(X, Y).bars(X) for path in (file, checkpoint))
    assert torch.equal(ours.logits, theirs.logits)


def test_the_head_may_be_named_as_in_older_checkpoints(tmp_path, reference, checkpoint):
    state = {
        name.replace("decoder_dict.standard.", "decoder."): value for name, value in reference.checkpoint().items()
    }
    del state["criterion.smoothing"], state["criterion.bucket_widths"]
    file = tmp_path / "older.pt"
    torch.save(state, file)
    X, Y = data()
    old, new = (PFN.load(path, "flat").condition_on(X, Y).bars(X) for path in (file, checkpoint))
    assert torch.equal(old.logits, new.logits)


def without(name):
    return lambda state: {key: value for key, value in state.items() if key != name}


BROKEN = {
    "missing": (without("y_encoder.weight"), "y_encoder.weight is missing"),
    "missing borders": (without("criterion.borders"), "criterion.borders is missing"),
    "foreign": (lambda s: s | {"style_encoder.weight": torch.ones(1)}, "style_encoder.weight is not a parameter"),
    "shape": (lambda s: s | {"y_encoder.weight": torch.ones(WIDTH, 2)}, r"has shape \(16, 2\) instead"),
    "rank": (lambda s: s | {"criterion.borders": torch.ones(2, 2)}, r"criterion.borders has shape \(2, 2\)"),
    "unsorted": (lambda s: s | {"criterion.borders": torch.ones(BARS + 1)}, "not ascending"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_another_networks_checkpoint_is_refused_in_one_line(tmp_path, reference, case):
    change, message = BROKEN[case]
    file = tmp_path / "other.pt"
    torch.save(change(reference.checkpoint()), file)
    with pytest.raises(ValueError, match=message) as caught:
        PFN.load(file, "flat")
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


class Intruder:
    """Leaves a trace when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("save", [torch.save, lambda thing, file: file.write_bytes(pickle.dumps(thing))])
@pytest.mark.parametrize("whole", [True, False])
def test_nothing_in_a_pickle_is_run(tmp_path, save, whole):
    trace, file = tmp_path / "trace", tmp_path / "network.pt"
    save(Intruder(trace) if whole else {"encoder": Intruder(trace)}, file)
    with pytest.raises(ValueError, match="nothing in it was run"):
        PFN.load(file, "flat")
    assert not trace.exists()


def test_a_pickled_network_is_refused(tmp_path, reference):
    file = tmp_path / "network.pt"
    torch.save(reference, file)
    with pytest.raises(ValueError, match=r"save network.state_dict\(\)"):
        PFN.load(file, "flat")


def test_other_contents_are_refused(tmp_path):
    file = tmp_path / "list.pt"
    torch.save([torch.ones(2)], file)
    with pytest.raises(ValueError, match="must map names to tensors"):
        PFN.load(file, "flat")


@pytest.mark.parametrize("architecture", ["anchored", "flat"])
@pytest.mark.parametrize("content", [b"", b"not weights", b"\x00" * 500])
def test_damaged_files_are_refused(tmp_path, architecture, content):
    for name in ("w.safetensors", "w.pt"):
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(ValueError, match=name):
            PFN.load(file, architecture)


def test_missing_files_and_unknown_architectures_are_refused(tmp_path):
    for architecture in ("anchored", "flat"):
        with pytest.raises(ValueError, match="no weights file"):
            PFN.load(tmp_path / "nowhere.safetensors", architecture)
    with pytest.raises(ValueError, match="architecture = 'round'; allowed: 'anchored', 'flat'"):
        PFN.load(architecture="round")
    with pytest.raises(ValueError, match="no weights of the flat architecture are shipped"):
        PFN.load(architecture="flat")


def test_flat_weights_are_no_anchored_network(tmp_path, reference):
    file = tmp_path / "published.safetensors"
    save_file({name: value.contiguous() for name, value in reference.checkpoint().items()}, file)
    with pytest.raises(ValueError, match=str(file)):
        PFN.load(file)


def test_more_parameters_than_it_has_room_for_are_refused(checkpoint):
    with pytest.raises(ValueError, match="6 dimensions, but the network was trained on at most 5 and has no room"):
        PFN.load(checkpoint, "flat").condition_on(torch.rand(4, 6), torch.rand(4, 1))


def test_long_contexts_are_thinned_to_what_was_published(checkpoint):
    with pytest.warns(UserWarning, match="60 designs, but the network was trained on at most 49"):
        assert len(PFN.load(checkpoint, "flat").condition_on(*data(60)).X) == 49


def test_joint_draws_are_refused_for_want_of_correlations(checkpoint):
    X, Y = data()
    model = PFN.load(checkpoint, "flat").condition_on(X, Y)
    assert model.posterior(X[:, None]).rsample(torch.Size([2])).shape == (2, 7, 1, 2)
    with pytest.raises(ValueError, match="cannot draw jointly at q = 7"):
        model.posterior(X).rsample()


def test_an_untrained_layer_is_the_identity_up_to_normalisation():
    network = FlatPFN(FEATURES, WIDTH, HIDDEN, 1, torch.linspace(-3, 3, BARS + 1))
    tokens = torch.randn(1, 4, WIDTH)
    layer = network.layers[0]
    expected = layer.norm2(layer.norm1(tokens))
    assert torch.allclose(layer(tokens, *layer.keys_values(tokens)), expected, atol=1e-6)
