"""Every default, written out once more: changing one changes everybody's results, so it takes two edits."""

import yaml

from autolfads_spec import dump_run, load_run

LEAST = """\
apiVersion: autolfads.dev/v1alpha1
kind: AutoLFADSRun
metadata: {name: reach}
spec:
  data: {uri: reach.mat}
  output: {uri: runs/reach}
  population: {searchSpacePreset: None}
"""

DEFAULTS = """\
data:
  uri: reach.mat
  format: Auto
  layout: Auto
  validation: {everyNth: 5, seed: 0}
  heldOutNeurons: 0
  forwardBins: 0
output:
  uri: runs/reach
  posteriorSamples: 50
  formats: [HDF5, Matlab]
  report: true
  keepGenerations: 2
model:
  preset: Default
  icEncoderUnits: 64
  ciEncoderUnits: 64
  controllerUnits: 64
  inferredInputs: 4
  icDim: 64
  generatorUnits: 64
  factors: 40
  ciLag: 1
  causal: false
  icSegmentBins: 0
  cellClip: 5.0
  icPriorVariance: 0.1
  icPosteriorMinVariance: 0.0001
  inputPrior: Autoregressive
  inputPriorTau: 10.0
  inputPriorNoiseVariance: 0.1
  inputKl: Analytic
  outputDistribution: Poisson
  readoutBias: MeanRate
training:
  batchSize: 256
  learningRate: 0.004
  dropoutRate: 0.05
  coordinatedDropoutRate: 0.3
  coordinatedDropoutPassRate: 0.0
  sampleValidationRate: 0.0
  l2Generator: 0.0001
  l2Controller: 0.0001
  l2IcEncoder: 0.0
  l2CiEncoder: 0.0
  klInitialCondition: 0.00001
  klInferredInputs: 0.00001
  klRamp: {startEpoch: 0, epochs: 80}
  l2Ramp: {startEpoch: 0, epochs: 80}
  adamBeta1: 0.9
  adamBeta2: 0.999
  adamEpsilon: 0.00000001
  gradientClipNorm: 200.0
  lossScale: 10000.0
  logFactorial: Exact
population:
  size: 20
  generations: 50
  epochsPerGeneration: 25
  seed: 0
  searchSpacePreset: None
  searchSpace: []
  exploit: {strategy: BinaryTournament}
  explore: {strategy: Perturb, resampleProbability: 0.0}
  stopping: {patience: 5, minImprovement: 0.0005}
  metric: HeldIn
  smoothing: 0.7
compute:
  workers: {desired: 1, min: 1}
  membersPerCohort: Auto
  provisioning: OnDemand
  head: {cpu: "2", memory: 8Gi}
suspend: false
schedule: {deadline: 24h, provisioningTimeout: 45m}
retry: {maxAttempts: 5, maxMemberFailures: 3}
resume: {policy: IfPresent}
budget: {onExceeded: Suspend}
ttl: {clusterAfterFinished: 120s}
deletionPolicy: Stop
"""


def test_defaults_are_these():
    assert yaml.safe_load(dump_run(load_run(LEAST)))["spec"] == yaml.safe_load(DEFAULTS)
