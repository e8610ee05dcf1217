"""Train a real network on handwritten digits, and stop trainings early that will not lead anywhere.

First one objective: the share of unseen digits that the network reads, pruned by asynchronous
successive halving. Then two, accuracy and size, pruned when even an optimistic end would add
nothing to the front. Both keep their record in memory; the numbers of trials may be given:
    python examples/prune_network.py 40 20
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator

import torch
from torch import Tensor, nn

import workbench as wb

EPOCHS = 16
BATCH = 64
WORST = 0.5  # a network that reads no more is of no use, however small

SPACE = wb.Space(
    [
        wb.Float("lr", 1e-4, 1.0, log=True, description="learning rate"),
        wb.Float("momentum", 0.0, 0.99),
        wb.Float("decay", 1e-6, 1e-1, log=True, description="weight decay"),
        wb.Int("width", 4, 128, log=True, description="hidden units"),
        wb.Float("dropout", 0.0, 0.6),
    ]
)


@functools.cache
def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images to learn from, their digits, unseen images, their digits."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    seen, unseen, told, asked = train_test_split(images / 16.0, labels, train_size=800, random_state=0, stratify=labels)
    return (
        torch.tensor(seen, dtype=torch.float32), torch.tensor(told),
        torch.tensor(unseen, dtype=torch.float32), torch.tensor(asked),
    )  # fmt: skip


def accuracies(trial: wb.Trial) -> Iterator[float]:
    """Train the network of a trial; after each epoch, the share of unseen digits that it reads."""
    seen, told, unseen, asked = digits()
    draw = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same trial always trains the same network
        width = trial["width"]
        network = nn.Sequential(
            nn.Linear(64, width), nn.ReLU(), nn.Dropout(trial["dropout"]), nn.Linear(width, width), nn.ReLU(),
            nn.Linear(width, 10),
        )  # fmt: skip
        optimizer = torch.optim.SGD(
            network.parameters(), lr=trial["lr"], momentum=trial["momentum"], weight_decay=trial["decay"]
        )
        for _ in range(EPOCHS):
            network.train()
            for rows in torch.randperm(len(seen), generator=draw).split(BATCH):
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(seen[rows]), told[rows]).backward()
                optimizer.step()
            network.eval()
            with torch.no_grad():
                yield (network(unseen).argmax(dim=1) == asked).float().mean().item()


def train(trial: wb.Trial) -> float:
    """Report every epoch, and stop where the rule says so."""
    accuracy = 0.0
    for epoch, accuracy in enumerate(accuracies(trial), start=1):
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise wb.TrialPruned
    return accuracy


def train_small(trial: wb.Trial) -> dict[str, float]:
    """The same with two objectives; the size is known from the first epoch on."""
    width = trial["width"]
    weights = 64 * width + width + width * width + width + 10 * width + 10
    values = {"accuracy": 0.0, "weights": float(weights)}
    for epoch, accuracy in enumerate(accuracies(trial), start=1):
        values["accuracy"] = accuracy
        trial.report(values, epoch)
        if trial.should_prune():
            raise wb.TrialPruned
    return values


def epochs_trained(study: wb.Study) -> int:
    """How many epochs all trials together reported."""
    return len({(report.number, report.step) for report in study.history().reports})


def summary(study: wb.Study) -> str:
    """What pruning did."""
    pruned = sum(trial.state == wb.TrialState.PRUNED for trial in study.trials)
    spent, whole = epochs_trained(study), EPOCHS * len(study.trials)
    return (
        f"{len(study.trials)} trials, {pruned} of them pruned; {spent} epochs instead of {whole}: "
        f"{1 - spent / whole:.0%} saved"
    )


def one_objective(trials: int) -> None:
    study = wb.create_study(
        "digits",
        SPACE,
        objectives=[wb.Objective("accuracy", "maximize")],
        sampler="gp",  # it learns from pruned trials too: from what they showed
        pruner=wb.AshaPruner(min_resource=1, reduction_factor=3),  # rungs after 1, 3 and 9 epochs
        seed=1,
        budget=trials,
    )
    study.optimize(train, n_trials=trials, progress=False)
    best = study.best_trial
    print(summary(study))
    print(f"best: trial {best.number} reads {best.value:.1%} of unseen digits")
    for name, value in best.params.items():
        print(f"  {name:9s} {value:.4g}")
    print(f"why the last one ended: {next((t.reason for t in study.trials[::-1] if t.reason), 'none was pruned')}")


def two_objectives(trials: int) -> None:
    study = wb.create_study(
        "small-digits",
        SPACE,
        objectives=[wb.Objective("accuracy", "maximize", reference=WORST), wb.Objective("weights", "minimize")],
        sampler="sobol",
        pruner=wb.HypervolumePruner(n_startup_trials=4),
        seed=1,
        budget=trials,
    )
    study.optimize(train_small, n_trials=trials, progress=False)
    print(summary(study))
    print("accuracy  weights")
    for trial in sorted(study.pareto_trials, key=lambda trial: trial.values["weights"]):
        if trial.values["accuracy"] > WORST:
            print(f"{trial.values['accuracy']:8.1%}  {trial.values['weights']:7.0f}")


def main() -> None:
    torch.set_num_threads(1)
    single, several = (int(word) for word in (sys.argv[1:] or ["30", "20"]))
    one_objective(single)
    print()
    two_objectives(several)


if __name__ == "__main__":
    main()
