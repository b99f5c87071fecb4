"""NetGAN's discriminator without one-hot rows beside the dense form, and what a trained model gives.

    python benchmarks/graph_netgan.py
    python benchmarks/graph_netgan.py --model runs/netgan/model --walks 50000

Without arguments: processor time of one move of each player at 2,810 nodes and batch 128, one thread, in
turn. The dense form makes one-hot rows of reals, fakes and interpolates, and has its penalty by them; both
draw the same fakes. ``--model``: of a model folder of netgan on cora_ml, the overlap of edges with train
in three graphs, and ROC and average precision of held-out edges by the counts of generated walks.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from gancore_graph.canonical import each_graph, keys_of
from gancore_graph.config import GraphConfig
from gancore_graph.domain import GraphDomain
from gancore_graph.link_scores import average_precision, roc_auc
from gancore_graph.netgan import NetGan, NetGanConfig
from gancore_graph.walk_networks import WalkDiscriminator
from torch import Tensor
from torch.nn.functional import one_hot

import gancore
from gancore import Data
from gancore.data.sources import resolve_source
from gancore.games import Discriminator, Game, Move
from gancore.games.training_step import TrainingStep
from gancore.random import Key
from gancore.training.setup import set_up

REPEATS, GRAPHS = 15, 3


class OneHotDiscriminator(WalkDiscriminator):
    """The dense form: its embedding is the one-hot rows themselves, (batch, length, nodes)."""

    def embed(self, data: Any) -> Tensor:
        return data if data.is_floating_point() else one_hot(data, len(self.embedding)).float()

    def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
        return super().logits(embedded @ self.embedding, condition)

    def squared_norm(self, gradients: Any) -> Tensor:
        return Discriminator.squared_norm(self, gradients)


def open_cora_ml(root: Path | None) -> Data:
    domain = GraphDomain()
    return domain.open(resolve_source("cora_ml", domain.sources, root, print), GraphConfig())


def game_of(form: type[WalkDiscriminator], data: Data) -> Game:
    torch.manual_seed(0)
    game = NetGan().build(NetGanConfig(), data.spec)
    if form is not WalkDiscriminator:
        dense = form(int(data.spec["max_nodes"]), 128, 30)
        dense.load_state_dict(game.discriminator.state_dict())
        game.discriminator = dense
    return game


def compare_forms(data: Data) -> None:
    """Processor time of the gradient of each player's move, the forms in turn."""
    forms = {"embedding": WalkDiscriminator, "one-hot rows": OneHotDiscriminator}
    setups = {name: set_up(game_of(form, data), data.train, batch_size=128) for name, form in forms.items()}
    for setup in setups.values():
        setup.game.representation.fit(data.view("train"))
    spent: dict[tuple[str, str], list[float]] = {}
    for number in range(REPEATS + 1):
        for name, setup in setups.items():
            step = TrainingStep(setup, setup.game.phases[0], number, 0, 1.0)
            for index, player in enumerate(("discriminator", "generator")):
                draw, began = step.draw(index), time.process_time()
                step.gradient(Move(player), draw)
                spent.setdefault((player, name), []).append(time.process_time() - began)
    for player in ("discriminator", "generator"):
        times = {name: spent[player, name][1:] for name in forms}
        ratio = statistics.median(b / a for a, b in zip(*times.values(), strict=True))
        listed = ", ".join(f"{name} {1000 * statistics.median(t):.0f} ms" for name, t in times.items())
        print(f"{player}: {listed}; {ratio:.2f} times, median of {REPEATS}, batch 128")


def judge_model(folder: Path, walks: int, data: Data) -> None:
    model: Any = gancore.load(folder, "cpu").sampler.model
    model.counted_walks = walks
    nodes, spec, began = model.generator.vocab_size, data.spec, time.process_time()
    counts = model.counts()
    print(f"{walks:,} walks in {time.process_time() - began:.1f} s, {len(counts.keys):,} different pairs")
    rows = [
        next(each_graph(data.view(name).get_batch(torch.tensor([0]), Key.of(0)).data))[0] for name in SPLITS
    ]
    train, valid, test = (keys_of(edges, nodes) for edges in rows)
    for number, (edges, _) in enumerate(each_graph(model.sample(GRAPHS, Key.of(0)))):
        share = float(torch.isin(train, keys_of(edges, nodes)).double().mean())
        print(f"graph {number}: {len(edges):,} edges, overlap with train {100 * share:.1f} %")
    held = {"valid": rows[1][~torch.isin(valid, train)], "test": rows[2][~torch.isin(test, valid)]}
    for name, edges in held.items():
        scores = [counts.of_pairs(pairs).double() for pairs in (edges, spec[f"{name}_non_edges"])]
        values = f"ROC {roc_auc(*scores):.3f}, average precision {average_precision(*scores):.3f}"
        print(f"{name}: {values}, {len(edges)} edges and as many other pairs")


SPLITS = ("train", "valid", "test")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, help="a model folder of netgan on cora_ml")
    parser.add_argument("--walks", type=int, default=50_000)
    parser.add_argument("--data-root", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = open_cora_ml(given.data_root)
    if given.model:
        judge_model(given.model, given.walks, data)
    else:
        compare_forms(data)


if __name__ == "__main__":
    main()
