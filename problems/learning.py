"""Tuning real classifiers of handwritten digits: accuracy, and what it costs.

The images ship with scikit-learn. A classifier learns from few images and is judged on all
others, so that its settings matter; the splits are fixed, so the same settings always score
the same.
"""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.problem import Constraint, Objective
from workbench.space import Bool, Categorical, Float, Int, Space, Vector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Params = Mapping[str, Any]

_SOURCE = (
    "Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository; "
    "1,797 images of 8 x 8 pixels, sklearn.datasets.load_digits"
)
_SEED = 0
_NODE = 64  # bytes of a node of a tree as scikit-learn keeps it
_LEARNT = 1200  # images that a network learns from
_MOST_STEPS = 20_000  # of the SVM solver: bounds one evaluation where C and gamma are hopeless


@dataclass(frozen=True, slots=True)
class DigitsProblem:
    """Settings of a classifier to the share of unseen digits that it reads correctly.

    Args:
        name: Name of the problem.
        space: Settings of the classifier.
        classifier: Makes an untrained scikit-learn estimator from settings.
        learned: Images that each repetition learns from.
        repetitions: Random stratified splits into images to learn from and all others.
        source: Where the data comes from.
        optimum: Unknown.
    """

    name: str
    space: Space
    classifier: Callable[[Params], Any]
    learned: int
    repetitions: int
    source: str = _SOURCE
    optimum: float | None = None

    @property
    def objectives(self) -> Sequence[Objective]:
        """Mean accuracy over the splits, a share from 0 to 1; exact, because the splits are fixed."""
        return (Objective("accuracy", "maximize", noise="none"),)

    @property
    def constraints(self) -> Sequence[Constraint]:
        """None."""
        return ()

    def evaluate(self, params: Params) -> dict[str, float]:
        """Train and judge one classifier on every split; values of inactive settings are left aside."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.model_selection import cross_val_score
        from threadpoolctl import threadpool_limits

        images, digits = _digits()
        splits = _splits(self.learned, self.repetitions)
        active = self.space.active(params)
        classifier = self.classifier({name: value for name, value in params.items() if name in active})
        # One thread: the matrices are small, and the sums do not depend on the number of cores.
        with threadpool_limits(1), warnings.catch_warnings():
            # A solver that ran out of steps made a classifier all the same; its accuracy tells.
            warnings.simplefilter("ignore", ConvergenceWarning)
            scores = cross_val_score(classifier, images, digits, cv=splits, error_score="raise")
        return {"accuracy": float(scores.mean())}


@dataclass(frozen=True, slots=True)
class DigitsTradeoff:
    """A forest that reads digits: how well, how fast and how large; good settings for one are bad for another.

    Args:
        name: Name of the problem.
        space: Settings of the forest.
        learned: Images that it learns from; it is judged on all others.
        timings: Predictions of the unseen images of which the fastest counts.
        source: Where the data comes from.
        optimum: None: there are several objectives.
    """

    name: str
    space: Space
    learned: int
    timings: int
    source: str = _SOURCE
    optimum: float | None = None

    @property
    def objectives(self) -> Sequence[Objective]:
        """Share of digits read correctly; microseconds an image, as measured, so noisy; size, exact."""
        return (
            Objective("accuracy", "maximize", noise="none", reference=0.5),
            Objective("latency", "minimize", unit="us", noise="unknown", reference=100.0),
            Objective("size", "minimize", unit="KiB", noise="none", reference=2000.0),
        )

    @property
    def constraints(self) -> Sequence[Constraint]:
        """None."""
        return ()

    def evaluate(self, params: Params) -> dict[str, float]:
        """Train one forest, judge it, time it and weigh its trees: nodes of 64 bytes each."""
        from threadpoolctl import threadpool_limits

        images, digits = _digits()
        train, rest = _splits(self.learned, 1)[0]
        active = self.space.active(params)
        forest = _forest({name: value for name, value in params.items() if name in active})
        with threadpool_limits(1):
            forest.fit(images[train], digits[train])
            read = forest.predict(images[rest])
            seconds = []
            for _ in range(self.timings):
                began = time.perf_counter()
                forest.predict(images[rest])
                seconds.append(time.perf_counter() - began)
        nodes = sum(tree.tree_.node_count for tree in forest.estimators_)
        return {
            "accuracy": float((read == digits[rest]).mean()),
            "latency": 1e6 * min(seconds) / len(rest),
            "size": nodes * _NODE / 1024,
        }


def digits_tradeoff() -> DigitsTradeoff:
    """Accuracy against latency against size of a random forest; about 0.2 s an evaluation."""
    return DigitsTradeoff("digits_tradeoff", digits_forest().space, learned=400, timings=3)


def digits_svm() -> DigitsProblem:
    """A support vector machine on blurred images in principal components; about 0.4 s an evaluation."""
    space = Space(
        [
            Categorical("kernel", ["linear", "rbf", "poly", "sigmoid"]),
            Float("C", 1e-3, 1e4, log=True, description="weight of the errors made in training"),
            Float("gamma", 1e-5, 10.0, log=True, when={"kernel": ["rbf", "poly", "sigmoid"]}),
            Int("degree", 2, 5, when={"kernel": "poly"}),
            Float("coef0", 0.0, 2.0, when={"kernel": "poly"}),
            Int("components", 2, 64, description="principal components that are kept"),
            Bool("whiten", description="scale the components to equal variance"),
            Float("blur", 0.0, 1.5, unit="px", description="width of the Gaussian blur"),
        ]
    )
    return DigitsProblem("digits_svm", space, _svm, learned=200, repetitions=25)


def digits_forest() -> DigitsProblem:
    """A random forest on the raw pixels; about 0.3 s an evaluation."""
    space = Space(
        [
            Int("n_estimators", 5, 100, log=True, description="number of trees"),
            Int("max_depth", 2, 20),
            Float("max_features", 0.02, 1.0, description="share of the pixels tried at each node"),
            Int("min_samples_leaf", 1, 20),
            Categorical("criterion", ["gini", "entropy"]),
            Bool("bootstrap"),
            Float("max_samples", 0.1, 1.0, when={"bootstrap": True}, description="share of images a tree sees"),
        ]
    )
    return DigitsProblem("digits_forest", space, _forest, learned=400, repetitions=4)


@dataclass(frozen=True, slots=True)
class DigitsNetwork:
    """The weights of a small network that reads digits: trained by whatever finds them, without gradients.

    64 pixels, one hidden layer of `hidden` units (tanh), ten digits. The first 1,200 images are learnt from.

    Args:
        name: Name of the problem.
        hidden: Units of the hidden layer.
        source: Where the data comes from.
        optimum: Unknown.
    """

    name: str
    hidden: int
    source: str = _SOURCE
    optimum: float | None = None

    @property
    def space(self) -> Space:
        """All weights and biases in one vector, in units of a good starting scale of each layer."""
        return Space([Vector("weights", self._sizes[-1], prior="normal")])

    @property
    def objectives(self) -> Sequence[Objective]:
        """Mean cross-entropy over the images that are learnt from, nats."""
        return (Objective("loss", "minimize", noise="none", unit="nat"),)

    @property
    def constraints(self) -> Sequence[Constraint]:
        """None."""
        return ()

    @property
    def _sizes(self) -> tuple[int, int, int, int]:
        a = 64 * self.hidden
        return a, a + self.hidden, a + self.hidden + 10 * self.hidden, a + 11 * self.hidden + 10

    def evaluate(self, params: Params) -> dict[str, float]:
        """The loss of one network."""
        import numpy as np

        loss = self.evaluate_batch({"weights": np.asarray(params["weights"])[None]})["loss"]
        return {"loss": float(loss[0])}

    def evaluate_batch(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
        """Losses (n,) of networks with weights (n, k)."""
        import numpy as np

        logits, digits = self._logits(columns["weights"], slice(0, _LEARNT))  # (n, images, 10)
        top = logits.max(axis=2, keepdims=True)
        sums = np.log(np.exp(logits - top).sum(axis=2)) + top[..., 0]
        right = logits[:, np.arange(len(digits)), digits]
        return {"loss": np.asarray((sums - right).mean(axis=1), dtype=np.float64)}

    def accuracy(self, weights: NDArray[np.float64]) -> float:
        """Share of the images that were not learnt from that a network (k,) reads correctly."""
        logits, digits = self._logits(weights[None], slice(_LEARNT, None))
        return float((logits[0].argmax(axis=1) == digits).mean())

    def _logits(self, W: NDArray[np.float64], rows: slice) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        import numpy as np

        images, digits = _digits()
        order = np.random.default_rng(_SEED).permutation(len(images))[rows]
        x = images[order].astype(np.float32)
        W = W.astype(np.float32)
        a, b, c, d = self._sizes
        first = W[:, :a].reshape(-1, 64, self.hidden) / 4.0
        second = W[:, b:c].reshape(-1, self.hidden, 10) / np.float32(self.hidden**0.5)
        hidden = np.tanh(x[None] @ first + W[:, None, a:b] / 4.0)
        logits = 3.0 * (hidden @ second + W[:, None, c:d] / np.float32(self.hidden**0.5))
        return np.asarray(logits, dtype=np.float32), digits[order]


def digits_network(hidden: int = 12) -> DigitsNetwork:
    """A network with so many hidden units: 910 numbers with 12 of them."""
    return DigitsNetwork(f"digits_network-{hidden}", hidden)


def _svm(params: Params) -> Any:
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer
    from sklearn.svm import SVC

    wanted = ("kernel", "C", "gamma", "degree", "coef0")
    return make_pipeline(
        FunctionTransformer(_blurred, kw_args={"width": params["blur"]}),
        PCA(params["components"], whiten=params["whiten"], svd_solver="full"),
        SVC(max_iter=_MOST_STEPS, **{name: params[name] for name in wanted if name in params}),
    )


def _forest(params: Params) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(random_state=_SEED, **params)


def _blurred(images: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    from scipy.ndimage import gaussian_filter

    blurred: NDArray[np.float64] = gaussian_filter(images.reshape(-1, 8, 8), (0, width, width))
    return blurred.reshape(-1, 64)


@functools.cache
def _digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Images with pixels from 0 to 1, shape (1797, 64), and the digits they show, shape (1797,)."""
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    return images / 16.0, digits


@functools.cache
def _splits(learned: int, repetitions: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    from sklearn.model_selection import StratifiedShuffleSplit

    images, digits = _digits()
    return list(StratifiedShuffleSplit(repetitions, train_size=learned, random_state=_SEED).split(images, digits))
