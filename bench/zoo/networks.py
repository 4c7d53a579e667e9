"""The networks: where each comes from, at what size, and how it is made. No weights are downloaded."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

SEED = 0


@dataclass(frozen=True)
class Network:
    """A public network."""

    name: str
    origin: str
    """The package and the name in it, as a reader would look it up."""
    kind: str
    """``segmentation``, ``classification``, ``depth``, ``image`` (to image) or ``detection``."""
    make: Callable[[], Any]
    size: int = 128
    pick: Callable[[Any], Any] | None = None
    """From what it returns to tensors; None where it returns them."""


def timm(name: str, size: int = 128, **options: Any) -> Network:
    def make() -> Any:
        return importlib.import_module("timm").create_model(name, pretrained=False, **options)

    return Network(f"timm-{name}", f"timm `{name}`", "classification", make, size)


def torchvision(name: str, size: int = 128, **options: Any) -> Network:
    def make() -> Any:
        return importlib.import_module("torchvision.models").get_model(name, weights=None, **options)

    return Network(f"torchvision-{name}", f"torchvision `{name}`", "classification", make, size)


def torchvision_segmentation(name: str, size: int = 128) -> Network:
    def make() -> Any:
        return importlib.import_module("torchvision.models").get_model(
            name, weights=None, weights_backbone=None, num_classes=21
        )

    return Network(f"torchvision-{name}", f"torchvision `{name}`", "segmentation", make, size, lambda result: result["out"])


def smp(architecture: str, encoder: str, size: int = 128) -> Network:
    def make() -> Any:
        package = importlib.import_module("segmentation_models_pytorch")
        return getattr(package, architecture)(encoder, encoder_weights=None, classes=4)

    origin = f"segmentation-models-pytorch `{architecture}`, encoder `{encoder}`"
    return Network(f"smp-{architecture.lower()}-{encoder}", origin, "segmentation", make, size)


def transformers(name: str, model: str, config: str, kind: str, field: str, size: int = 128, **options: Any) -> Network:
    def make() -> Any:
        package = importlib.import_module("transformers")
        return getattr(package, model)(getattr(package, config)(**options))

    return Network(f"transformers-{name}", f"transformers `{model}`", kind, make, size, lambda result: getattr(result, field))


def written(name: str, kind: str, size: int = 128) -> Network:
    def make() -> Any:
        return importlib.import_module(f"tests.networks.{name}").make()

    return Network(name, f"written anew, tests/networks/{name}.py", kind, make, size)


NETWORKS: dict[str, Network] = {
    each.name: each
    for each in (
        written("u2netp", "segmentation"),
        written("bisenetv2", "segmentation"),
        written("fast_scnn", "segmentation"),
        written("pidnet", "segmentation"),
        written("nnunet", "segmentation"),
        written("ffnet", "segmentation"),
        written("unet", "segmentation"),
        written("enet", "segmentation"),
        written("espcn", "image"),
        written("srvgg", "image"),
        written("pix2pix", "image"),
        written("yolo", "detection"),
        smp("Unet", "resnet18"),
        smp("UnetPlusPlus", "mobilenet_v2"),
        smp("Linknet", "resnet18"),
        smp("FPN", "mobilenet_v2"),
        smp("PSPNet", "resnet18"),
        smp("DeepLabV3Plus", "mobilenet_v2"),
        smp("PAN", "resnet18"),
        smp("MAnet", "resnet18"),
        torchvision_segmentation("lraspp_mobilenet_v3_large"),
        torchvision_segmentation("deeplabv3_mobilenet_v3_large"),
        torchvision_segmentation("fcn_resnet50", 64),
        transformers(
            "segformer-b0", "SegformerForSemanticSegmentation", "SegformerConfig", "segmentation", "logits", num_labels=19
        ),
        transformers(
            "mobilevit-deeplab", "MobileViTForSemanticSegmentation", "MobileViTConfig", "segmentation", "logits", num_labels=21
        ),
        transformers("glpn", "GLPNForDepthEstimation", "GLPNConfig", "depth", "predicted_depth", 64),
        torchvision("mobilenet_v2"),
        torchvision("mobilenet_v3_small"),
        torchvision("resnet18"),
        torchvision("squeezenet1_1"),
        torchvision("shufflenet_v2_x1_0"),
        torchvision("efficientnet_b0"),
        torchvision("regnet_y_400mf"),
        torchvision("mnasnet1_0"),
        torchvision("convnext_tiny", 64),
        torchvision("densenet121", 64),
        timm("mobilenetv4_conv_small"),
        timm("efficientnet_lite0"),
        timm("ghostnet_100"),
        timm("repvgg_a0"),
        timm("mobileone_s0"),
        timm("lcnet_050"),
        timm("tinynet_e"),
        timm("hrnet_w18_small"),
        timm("edgenext_xx_small"),
        timm("mobilevit_xxs"),
        timm("convnextv2_atto"),
        timm("starnet_s1"),
        timm("repghostnet_050"),
        timm("efficientvit_b0"),
        timm("levit_128s", 224),
        timm("vit_tiny_patch16_224", 224),
        timm("poolformer_s12", 64),
        timm("fastvit_t8"),
    )
}


def build(network: Network) -> nn.Module:
    """The network with seeded random weights, in evaluation mode, returning tensors only."""
    import torch
    from torch import nn

    class Picked(nn.Module):
        """A network whose result is no tensor, and the part of it that is wanted."""

        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, image: torch.Tensor) -> Any:
            assert network.pick is not None
            return network.pick(self.inner(image))

    torch.manual_seed(SEED)
    module: nn.Module = network.make()
    return (Picked(module) if network.pick else module).eval()


def settle(module: nn.Module, images: Any) -> None:
    """Give every BatchNorm the statistics of real images, layer by layer: a signal then neither dies nor grows on its way.

    Training keeps a channel that hardly varies small; scaled up to the others it would drown the rest in noise.

    Args:
        images: (N, C, H, W) float32, N > 1.
    """
    import torch
    from torch import nn

    kinds = (nn.BatchNorm1d, nn.BatchNorm2d)

    def observe(norm: Any, inputs: tuple[Any, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0].detach(), [0, *range(2, inputs[0].dim())])
        norm.running_mean, norm.running_var = mean, variance.clamp_min(float(variance.mean()) / 10)

    norms = [each for each in module.modules() if isinstance(each, kinds) and each.running_mean is not None]
    hooks = [norm.register_forward_pre_hook(observe) for norm in norms]
    with torch.no_grad():
        module(images)
    for hook in hooks:
        hook.remove()
