"""BASNet: the published parameter count, the published code's names, and which BatchNorm follows which layer."""

from __future__ import annotations

import torch

from onenet.models.basnet import SYSTEM, BASNet
from onenet.models.scaled import Scaled


def test_the_published_size_and_names() -> None:
    with torch.device("meta"):
        net = BASNet(SYSTEM.published)
    assert sum(p.numel() for p in net.parameters()) == 87_060_360  # 87.06 M in the second paper's table
    state = net.state_dict()
    expected = {
        "inconv.weight": (64, 3, 3, 3),
        "encoder3.0.downsample.0.weight": (256, 128, 1, 1),
        "encoder4.2.bn2.running_mean": (512,),
        "resb6_3.conv2.weight": (512, 512, 3, 3),
        "convbg_m.weight": (512, 512, 3, 3),
        "bn6d_2.weight": (512,),
        "conv4d_1.weight": (512, 1024, 3, 3),
        "conv4d_2.weight": (256, 512, 3, 3),
        "conv1d_1.weight": (64, 128, 3, 3),
        "outconv3.weight": (1, 128, 3, 3),
        "outconvb.bias": (1,),
        "refunet.conv_d1.weight": (64, 128, 3, 3),
        "refunet.bn5.weight": (64,),
        "refunet.conv_d0.weight": (1, 64, 3, 3),
    }
    assert {key: tuple(state[key].shape) for key in expected} == expected


def test_layers_behind_which_another_ones_norm_stands() -> None:
    torch.manual_seed(0)
    net, image = BASNet(Scaled(2, 1)).eval(), torch.rand(1, 3, 32, 64)
    seen = {}
    for name in ("bn6d_2", "bn5d_2", "bn4d_2"):
        net.get_submodule(name).register_forward_hook(lambda *_, name=name: seen.update({name: seen.get(name, 0) + 1}))
    with torch.no_grad():
        net(image)
    assert seen == {"bn5d_2": 2, "bn4d_2": 1}


def test_the_refinement_is_added_to_the_mask() -> None:
    torch.manual_seed(1)
    net, image = BASNet(Scaled(2, 3)).eval(), torch.rand(1, 3, 32, 64)
    masks = []
    net.refunet.register_forward_hook(lambda _, given, result: masks.extend([given[0], result]))
    with torch.no_grad():
        found = net(image)
    assert torch.equal(found, masks[1]) and not torch.equal(masks[0], masks[1])
    net.refunet.conv_d0.weight.data.zero_()
    net.refunet.conv_d0.bias.data.zero_()
    with torch.no_grad():
        torch.testing.assert_close(net(image), masks[0])
