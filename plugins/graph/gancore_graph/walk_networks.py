"""NetGAN's networks: a generator and a discriminator of walks, both LSTMs on embeddings of nodes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gancore.games import TokenDiscriminator
from gancore.nn import Recurrent, SequenceGenerator
from gancore.random import Key

NODES_AT_ONCE = 1 << 14
"""Nodes whose logits are in memory at once when walks are drawn without gradient."""


class LatentLSTM(Recurrent):
    """An LSTM whose first state is two layers of tanh of latents: h = tanh(A_h s), c = tanh(A_c s) with
    s = tanh(B z), (batch, latent) to (batch, units) each. Its forget gates start with a bias of 1.
    """

    def __init__(self, in_features: int, units: int, latent: int) -> None:
        super().__init__(in_features, units, cell="lstm", condition=units)
        self.shared = nn.Linear(latent, units)
        with torch.no_grad():
            self.body.get_parameter("bias_ih_l0")[units : 2 * units] = 1.0

    def initial(self, rows: int, condition: Tensor | None = None) -> tuple[Tensor, ...]:
        assert condition is not None  # the generator, which has latents, always gives them
        return super().initial(rows, self.shared(condition).tanh())


class WalkGenerator(SequenceGenerator):
    """NetGAN's generator (Bojchevski et al. 2018, section 3.1): from latents, walks of ``length`` nodes.

    A node is read through its embedding, (nodes, embedding_dim), and the logits of the next one are those of
    a matrix of their own, (nodes, units).
    """

    def __init__(self, nodes: int, length: int, embedding_dim: int, units: int, latent: int) -> None:
        super().__init__(LatentLSTM(embedding_dim, units, latent), nodes, length, latent=latent)
        self.output = nn.Linear(units, nodes, bias=False)
        for matrix in (self.embedding, self.output.weight):
            nn.init.xavier_uniform_(matrix)

    def head(self, features: Tensor) -> Tensor:
        logits: Tensor = self.output(features) + self.bias
        return logits

    @torch.no_grad()
    def sample(self, n: int, key: Key, condition: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Walks (n, length), int64; row i is a function of the key's row i.

        The memory for logits is that of NODES_AT_ONCE nodes, whatever the size of the graph.
        """
        walks = torch.empty(n, self.length, dtype=torch.int64, device=key.device)
        state = self.initial(n, condition, self.draw_latents(n, key))
        inputs = self.start.expand(n, -1)
        for t in range(self.length):
            features, state = self.trunk.step(state, inputs)
            walks[:, t] = self.draw_next(features, key / "x" / t, temperature)
            inputs = self.embed(walks[:, t])
        return walks

    def draw_next(self, features: Tensor, key: Key, temperature: float = 1.0) -> Tensor:
        """A node of each row of ``features`` (n, units), by the argmax of logits + Gumbel noise, (n).

        The largest of a chunk is Gumbel noise plus the logarithm of the chunk's sum of weights, and is at one
        of its nodes with a chance in proportion to the node's weight (Maddison et al. 2014). So a chunk takes
        two draws a row, not one for each node, and the best of the chunks so far is kept.
        """
        n, chunks = len(features), range(0, self.vocab_size, NODES_AT_ONCE)
        uniform = (key / "node").uniform(n, len(chunks))
        noise = -(-(key / "chunk").uniform(n, len(chunks)).clamp_min(1e-10).log()).log()
        best = uniform.new_full((n,), -torch.inf)
        chosen = torch.zeros(n, dtype=torch.int64, device=features.device)
        for number, start in enumerate(chunks):
            nodes = slice(start, start + NODES_AT_ONCE)
            logits = torch.addmm(self.bias[nodes], features, self.output.weight[nodes].T).float()
            found, log_sum = draw_with_sum(logits.div_(temperature), uniform[:, number])
            score = log_sum + noise[:, number]
            chosen = torch.where(score > best, found + start, chosen)
            best = torch.maximum(score, best)
        return chosen


def draw_with_sum(logits: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """The class of each row at the quantile ``uniform`` (n), and log sum exp of ``logits`` (n, classes).

    The logits are overwritten. Float sums: a third of the time of :func:`gancore.nn.sample_categorical`,
    whose draws are the same on every device.
    """
    most = logits.amax(1, keepdim=True)
    sums = torch.cumsum(logits.sub_(most).exp_(), 1)
    total = sums[:, -1]
    quantile = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(sums, quantile[:, None], right=True)[:, 0], total.log() + most[:, 0]


class WalkDiscriminator(TokenDiscriminator):
    """NetGAN's discriminator: an LSTM on embeddings of nodes, and a linear function of its last output.

    Walks are ids, (batch, length), or simplex rows, (batch, length, nodes); the embedding has as many columns
    as ``embedding_dim``. Penalties are with respect to one-hot rows, none of which is made: see the base
    class. There is no last bias, as it cancels in the loss. The LSTM is in elementary operations, whose
    second derivatives every device has, and take less time than those of ``nn.LSTM``.
    """

    def __init__(self, nodes: int, embedding_dim: int, units: int) -> None:
        super().__init__(nodes, embedding_dim)
        self.units = units
        self.inputs = nn.Linear(embedding_dim, 4 * units)  # gates: in, forget, out; then the new content
        self.recurrence = nn.Parameter(torch.empty(units, 4 * units))
        self.last = nn.Linear(units, 1, bias=False)
        for matrix in (self.embedding, self.inputs.weight, self.recurrence, self.last.weight):
            nn.init.xavier_uniform_(matrix)
        with torch.no_grad():
            self.inputs.bias.zero_()
            self.inputs.bias[units : 2 * units] = 1.0

    def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
        hidden = content = embedded.new_zeros(len(embedded), self.units)
        for part in self.inputs(embedded).unbind(1):
            sums = torch.addmm(part, hidden, self.recurrence)
            enters, stays, leaves = sums[:, : 3 * self.units].sigmoid().chunk(3, 1)
            content = stays * content + enters * sums[:, 3 * self.units :].tanh()
            hidden = leaves * content.tanh()
        logits: Tensor = self.last(hidden)[:, 0]
        return logits
