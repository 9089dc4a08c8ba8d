"""Train a small network on two simulated days, and downscale with it.

    python train_on_simulated_days.py

Half a minute on two cores shows that it runs; docs/training.md has what a useful network needs.
"""

from pathlib import Path

from deepcams.methods import build
from deepcams.simulation import simulate
from deepcams.training import prepare, read_experiment, train

EXPERIMENT = """
version: 1
data:
  stores: [{path: india.zarr}]
split:
  train: {periods: [2019-12-01]}
  validation: {periods: [2019-12-02]}
samples: {task: spatial, crop: 16}
network:
  name: cellnet
  options: {width: 16, blocks: 2}
  scaling: {name: linear, options: {unit: 1.0}}
training:
  optimizer: {name: adamw, lr: 1e-3}
  batch: 8
  steps: 30
validation: {every: 30, samples: 8, margin: 2, baselines: [bicubic, log-bicubic]}
output: {name: cellnet-india, card: An example; of no use on real data.}
"""

if __name__ == "__main__":  # data workers may start this file again
    simulate("fields", "geos-cf", "2019-12-01..2019-12-02", bbox=(72, 14, 90, 32))
    prepare("fields", "india.zarr")
    Path("experiment.yaml").write_text(EXPERIMENT)
    summary = train(read_experiment("experiment.yaml"), "run", device="cpu")
    print(summary.text())
    chain = build("flow", str(summary.checkpoint))
    print(f"a chain with these weights: {chain.name}")
