"""SharpSepConv, and the operations and discrete cells of DARTS."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays

from designopt.envs.nas.darts_cell import EDGES, discrete_cell
from designopt.envs.nas.darts_ops import DARTS_OPS, SHARP_OPS, DARTSCell, operation
from designopt.envs.nas.sharp import ResizablePool, SharpSepConv

IMAGES = torch.randn(4, 8, 9, 9, generator=torch.Generator().manual_seed(0))


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def convolutions(module):
    return [m for m in module.modules() if isinstance(m, torch.nn.Conv2d)]


def test_a_sharp_separable_convolution_has_the_parameters_counted_by_hand():
    block = SharpSepConv(8, 16, 3)
    assert parameters(block) == 8 * 9 + 8 * 16 + 16 * 9 + 16 * 16
    assert parameters(SharpSepConv(8, 16, 3, multiplier=4)) == 8 * 9 + 8 * 64 + 64 * 9 + 64 * 16
    assert parameters(SharpSepConv(8, 16, 5, c_mid=32)) == 8 * 25 + 8 * 32 + 32 * 25 + 32 * 16
    assert parameters(SharpSepConv(8, 16, 3, affine=True)) == parameters(block) + 2 * (16 + 16)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize(("stride", "side"), [(1, 9), (2, 5)])
def test_a_sharp_separable_convolution_keeps_the_size_and_strides_once(kernel, dilation, stride, side):
    block = SharpSepConv(8, 6, kernel, stride, dilation=dilation, multiplier=4)
    assert block(IMAGES).shape == (4, 6, side, side)
    assert [c.dilation[0] for c in convolutions(block)] == [dilation, 1, 1, 1]
    assert [c.stride[0] for c in convolutions(block)] == [stride, 1, 1, 1]
    assert all(c.bias is None for c in convolutions(block))


def test_an_even_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel = 4; it must be odd"):
        SharpSepConv(8, 8, 4)


def test_a_resizable_pool_has_weights_only_where_the_width_changes():
    same, wider = ResizablePool(8, 8), ResizablePool(8, 16, 2)
    assert parameters(same) == 0
    assert torch.equal(same(IMAGES), torch.nn.functional.max_pool2d(IMAGES, 3, 1, 1))
    assert parameters(wider) == 8 * 16
    assert wider(IMAGES).shape == (4, 16, 5, 5)


@pytest.mark.parametrize("name", dict.fromkeys(DARTS_OPS + SHARP_OPS))
@pytest.mark.parametrize(("stride", "side"), [(1, 9), (2, 5)])
def test_every_operation_keeps_channels_and_strides(name, stride, side):
    for sharp in (False, True):
        for supernet in (False, True):
            op = operation(name, 8, stride, sharp=sharp, supernet=supernet)
            assert op(IMAGES).shape == (4, 8, side, side)


def test_a_dilated_convolution_is_half_as_deep_in_darts_and_as_deep_in_sharpdarts():
    depth = {
        (name, sharp): len(convolutions(operation(name, 8, sharp=sharp)))
        for name in ("sep_conv_3x3", "dil_conv_3x3")
        for sharp in (False, True)
    }
    assert depth[("sep_conv_3x3", False)] == depth[("sep_conv_3x3", True)] == depth[("dil_conv_3x3", True)] == 4
    assert depth[("dil_conv_3x3", False)] == 2
    dilated = convolutions(operation("dil_conv_5x5", 8))
    assert [c.dilation[0] for c in dilated] == [2, 1]
    assert dilated[0].kernel_size == (5, 5)


def test_flood_and_choke_change_the_width_inside():
    inside = {name: convolutions(operation(name, 8))[1].out_channels for name in SHARP_OPS if "conv" in name}
    assert inside == {
        "sep_conv_3x3": 8, "dil_conv_3x3": 8, "flood_conv_3x3": 32, "dil_flood_conv_3x3": 32, "choke_conv_3x3": 32,
        "dil_choke_conv_3x3": 32,
    }  # fmt: skip
    assert convolutions(operation("flood_conv_3x3", 16))[1].out_channels == 64
    assert convolutions(operation("choke_conv_3x3", 16))[1].out_channels == 32


def test_pools_leave_padding_out_of_averages_and_are_normalised_in_a_supernet_alone():
    ones = torch.ones(1, 8, 5, 5)
    assert torch.equal(operation("avg_pool_3x3", 8, supernet=False)(ones), ones)
    pooled = operation("max_pool_3x3", 8)(IMAGES)
    assert torch.allclose(pooled.mean((0, 2, 3)), torch.zeros(8), atol=1e-5)


def test_skip_copies_and_none_gives_nothing():
    assert torch.equal(operation("skip_connect", 8)(IMAGES), IMAGES)
    assert not operation("none", 8)(IMAGES).any()


def test_a_halving_skip_looks_at_pixels_of_both_parities():
    op = operation("skip_connect", 8, 2)
    x = IMAGES.abs().clone().requires_grad_()
    (op(x) ** 3).sum().backward()
    seen = x.grad.abs().sum((0, 1)) > 0
    assert seen[0::2, 0::2].all()
    assert seen[1::2, 1::2].all()
    assert not seen[0::2, 1::2].any()


def test_an_unknown_operation_is_named():
    with pytest.raises(ValueError, match="operation 'conv_9x9'; allowed: none, max_pool_3x3"):
        operation("conv_9x9", 8)


# Cells --------------------------------------------------------------------------------------------------------------


def test_a_cell_has_fourteen_edges_into_four_nodes():
    assert len(EDGES) == 14
    assert [sum(target == node for _, target in EDGES) for node in (2, 3, 4, 5)] == [2, 3, 4, 5]
    assert all(source < target for source, target in EDGES)
    assert len(set(EDGES)) == 14


@given(arrays(np.float64, (14, 8), elements=st.floats(0, 1)))
def test_a_discrete_cell_keeps_two_different_sources_a_node_and_never_none(mixture):
    cell = discrete_cell(mixture, DARTS_OPS)
    assert [edge.target for edge in cell] == [2, 2, 3, 3, 4, 4, 5, 5]
    for first, second in zip(cell[0::2], cell[1::2], strict=True):
        assert first.source < second.source < first.target
    assert all(edge.operation != "none" for edge in cell)


def test_a_discrete_cell_keeps_the_strongest_edges_whatever_weight_none_has():
    mixture = np.full((14, 8), 0.05)
    mixture[:, 0] = 0.9
    rows = {edge: row for row, edge in enumerate(EDGES)}
    mixture[rows[(1, 4)], 3] = 0.5
    mixture[rows[(3, 4)], 7] = 0.6
    mixture[rows[(3, 4)], 4] = 0.55  # stronger than the other kept edge, yet an edge has one operation
    kept = [edge for edge in discrete_cell(mixture, DARTS_OPS) if edge.target == 4]
    assert kept == [(1, 4, "skip_connect"), (3, 4, "dil_conv_5x5")]


def test_none_may_be_allowed_to_compete():
    mixture = np.full((14, 8), 0.05)
    mixture[0, 0] = 0.9
    assert discrete_cell(mixture, DARTS_OPS, excluded=None)[0].operation == "none"
    assert discrete_cell(mixture, DARTS_OPS)[0].operation != "none"


def test_a_mixture_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"shape \(13, 8\); a cell of these operations needs \(14, 8\)"):
        discrete_cell(np.zeros((13, 8)), DARTS_OPS)


@pytest.mark.parametrize(("reduction", "side"), [(False, 9), (True, 5)])
def test_a_cell_joins_its_four_nodes(reduction, side):
    torch.manual_seed(0)
    cell = DARTSCell(8, 8, 4, reduction=reduction)
    mixture = torch.full((14, 8), 0.125)
    assert cell(IMAGES, IMAGES, mixture).shape == (4, 16, side, side)
    larger = torch.randn(4, 8, 18, 18)
    assert DARTSCell(8, 8, 4, shrunk=True)(larger, IMAGES, mixture).shape == (4, 16, 9, 9)


def test_a_cell_of_skips_adds_its_inputs_node_by_node():
    torch.manual_seed(0)
    cell = DARTSCell(8, 8, 4)
    mixture = torch.zeros(14, 8)
    mixture[:, DARTS_OPS.index("skip_connect")] = 1.0
    with torch.no_grad():
        inputs = cell.before(IMAGES) + cell.last(IMAGES)
        out = cell(IMAGES, IMAGES, mixture)
    for node, times in enumerate((1, 2, 4, 8)):
        assert torch.allclose(out[:, 4 * node : 4 * node + 4], times * inputs, atol=1e-5)
