"""ENet (arXiv 1606.02147): PReLU, asymmetric and dilated bottlenecks, transposed convolutions with output padding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def layer(channels_in: int, channels_out: int, kernel: int | tuple[int, int], **options: object) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, kernel, bias=False, **options)  # type: ignore[arg-type]  # Conv2d's own
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.PReLU(channels_out))


class Initial(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 13, 3, 2, 1, bias=False)
        self.norm, self.act = nn.BatchNorm2d(16), nn.PReLU(16)

    def forward(self, image: Tensor) -> Tensor:
        return self.act(self.norm(torch.cat((self.convolution(image), F.max_pool2d(image, 2)), 1)))


class Bottleneck(nn.Module):
    """``kind``: plain, down, asymmetric, or a dilation."""

    def __init__(self, channels_in: int, channels_out: int, kind: str | int = "plain") -> None:
        super().__init__()
        middle = channels_out // 4
        self.down, self.more = kind == "down", channels_out - channels_in
        if kind == "asymmetric":
            inner = nn.Sequential(layer(middle, middle, (5, 1), padding=(2, 0)), layer(middle, middle, (1, 5), padding=(0, 2)))
        else:
            dilation = kind if isinstance(kind, int) else 1
            inner = layer(middle, middle, 3, padding=dilation, dilation=dilation)
        first = layer(channels_in, middle, 2, stride=2) if self.down else layer(channels_in, middle, 1)
        last = nn.Sequential(nn.Conv2d(middle, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out))
        self.body = nn.Sequential(first, inner, last, nn.Dropout2d(0.1))
        self.act = nn.PReLU(channels_out)

    def forward(self, value: Tensor) -> Tensor:
        short = F.max_pool2d(value, 2) if self.down else value
        if self.more:
            short = F.pad(short, [0, 0, 0, 0, 0, self.more])
        return self.act(self.body(value) + short)


class Up(nn.Module):
    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        middle = channels_out // 4
        self.body = nn.Sequential(
            *(layer(channels_in, middle, 1), nn.ConvTranspose2d(middle, middle, 3, 2, 1, output_padding=1, bias=False)),
            *(
                nn.BatchNorm2d(middle),
                nn.PReLU(middle),
                nn.Conv2d(middle, channels_out, 1, bias=False),
                nn.BatchNorm2d(channels_out),
            ),
        )
        self.short = nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out))
        self.act = nn.PReLU(channels_out)

    def forward(self, value: Tensor) -> Tensor:
        return self.act(self.body(value) + F.interpolate(self.short(value), scale_factor=2, mode="nearest"))


class ENet(nn.Module):
    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *(Initial(), Bottleneck(16, 64, "down"), Bottleneck(64, 64), Bottleneck(64, 128, "down"), Bottleneck(128, 128)),
            *(Bottleneck(128, 128, 2), Bottleneck(128, 128, "asymmetric"), Bottleneck(128, 128, 4), Bottleneck(128, 128, 8)),
        )
        self.decoder = nn.Sequential(Up(128, 64), Bottleneck(64, 64), Up(64, 16), Bottleneck(16, 16))
        self.head = nn.ConvTranspose2d(16, classes, 3, 2, 1, output_padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.decoder(self.encoder(image)))


def make() -> nn.Module:
    return ENet()
