"""Features of designs from a network that learned to fill in masked columns, without any values.

References: [Devlin2019] BERT: pre-training of deep bidirectional transformers for language understanding, NAACL (the
task). [Sahoo2024] Simple and effective masked diffusion language models, NeurIPS (any share of a design is masked).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from designopt.surrogates.vae import Coding


class MaskedEncoder(nn.Module):
    """A transformer over the columns of a design; its features are the mean over columns of the last hidden layer.

    Letters enter as scores, so that gradients reach relaxed ones.

    Args:
        coding: of the designs.
        width: of a column's vector, and number of features.
        seed: of the weights and of training.
    """

    def __init__(self, coding: Coding, width: int = 64, seed: int = 0) -> None:
        super().__init__()
        self.coding = coding
        self._rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.letters = nn.ModuleList(nn.Linear(size, width, bias=False) for _, _, size in coding.letters)
            self.numbers = nn.Parameter(torch.randn(len(coding.others), width))
            self.places = nn.Parameter(0.1 * torch.randn(coding.columns, width))
            self.mask = nn.Parameter(0.1 * torch.randn(width))
            block = nn.TransformerEncoderLayer(
                width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            self.blocks = nn.TransformerEncoder(block, 2, nn.LayerNorm(width), enable_nested_tensor=False)
            self.back = nn.ModuleList(nn.Linear(width, size) for _, _, size in coding.letters)
            self.number = nn.Linear(width, 1)

    def _hidden(self, codes: Tensor, masked: Tensor | None = None) -> Tensor:
        """codes: (n, width of a code), masked: (n, columns) -> (n, columns, width); letters first, then numbers."""
        parts = [
            layer(codes[:, start : start + columns * size].unflatten(1, (columns, size)))
            for layer, (start, columns, size) in zip(self.letters, self.coding.letters, strict=True)
        ]
        x = torch.cat([*parts, codes[:, self.coding.others, None] * self.numbers], dim=1)
        if masked is not None:
            x = torch.where(masked[..., None], self.mask, x)
        hidden: Tensor = self.blocks(x + self.places)
        return hidden

    def forward(self, codes: Tensor) -> Tensor:
        """codes: (n, width of a code) -> (n, width) features."""
        return self._hidden(codes).mean(1)

    def _loss(self, codes: Tensor, masked: Tensor) -> Tensor:
        """Cross-entropy of the masked letters and squared error of the masked numbers, mean over masked columns."""
        hidden = self._hidden(codes, masked)
        total, first = hidden.new_zeros(()), 0
        for layer, (start, columns, size) in zip(self.back, self.coding.letters, strict=True):
            scores = layer(hidden[:, first : first + columns]).log_softmax(-1)
            chosen = (scores * codes[:, start : start + columns * size].unflatten(1, (columns, size))).sum(-1)
            total = total - (chosen * masked[:, first : first + columns]).sum()
            first += columns
        errors = (self.number(hidden[:, first:])[..., 0] - codes[:, self.coding.others]).square()
        total = total + (errors * masked[:, first:]).sum()
        return torch.as_tensor(total / masked.sum())

    def fit(self, codes: Tensor, steps: int, batch: int = 128, learning_rate: float = 1e-3) -> list[float]:
        """Learn from (N, width of a code) designs by Adam; then the weights stay. -> loss of every step."""
        adam = torch.optim.Adam(self.parameters(), lr=learning_rate)
        losses = []
        for _ in range(steps):
            here = codes[torch.randint(len(codes), (min(batch, len(codes)),), generator=self._rng)]
            share = torch.rand(len(here), 1, generator=self._rng)
            masked = torch.rand(len(here), self.coding.columns, generator=self._rng) < share
            masked[:, 0] |= ~masked.any(1)
            loss = self._loss(here, masked)
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(float(loss.detach()))
        self.requires_grad_(False)
        return losses
