"""Ways to break a plugin, each in one thing: where, what the kit's check is that must fail, and its words."""

from __future__ import annotations

from kit_site import Change

TAKE = "return Batch(self.windows[indices].to(key.device))"
FILES = 'files = [folder / f"{number:04d}.csv" for number in range(1, len(samples) + 1)]'
SPEC = 'Spec({"length": config.length})'
JUDGED = "return self.layers(embedded).squeeze(1)"
MODEL = 'return likelihood_game(lambda: IndependentNormals(spec["length"]))'
LOG_PROB = "return distribution.log_prob(data).sum(1)  # nats a sample"
SAMPLED = "return self.mean + self.log_scale.exp() * key.normal(n, len(self.mean))"
LAYERS = "self.layers = dense(length, width, 1)"
LOG_SCALE = "self.log_scale = nn.Parameter(torch.zeros(length))"
GENERATOR = 'generator=lambda: dense(8, config.width, spec["length"])'
NETWORK = "nn.Linear(inputs, width), nn.LeakyReLU(0.2), nn.Linear(width, outputs)"
WIDTH = 'width: int = Field(64, ge=1, description="units of the hidden layers")'

WIDER = """

    @field_validator("width")
    @classmethod
    def wider(cls, width):
        return width + 1
"""

CUT = """
class Cut(nn.Sequential):
    def forward(self, x):
        return super().forward(x).detach()


class DenseDiscriminator(Discriminator):"""

ONCE = """
class Halved(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x / 2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0]


class DenseDiscriminator(Discriminator):"""

LOST = ONCE.replace("    @torch.autograd.function.once_differentiable\n", "").replace(
    "gradient * ctx.saved_tensors[0]", "(gradient * ctx.saved_tensors[0]).detach()"
)

SCALED = '''
class Scaled(Representation):
    """Divides by a spread that is {where}."""

    def __init__(self):
        super().__init__()
        {init}

    def fit(self, train):
        {fit}

    def encode(self, batch):
        return Batch(batch.data / self.spread, batch.condition)

    def decode(self, outputs):
        return outputs * self.spread{away}

    def log_det(self, batch):
        return -batch.data.shape[1] * self.spread.log().expand(len(batch)){wrong}


class Normal(Recipe):'''
BUFFER = {"where": "in a buffer", "init": 'self.register_buffer("spread", torch.ones(()))'}
HELD = {"fit": "self.spread.fill_(0.8)", "away": "", "wrong": ""}
ATTRIBUTE = {"where": "nowhere kept", "init": "self.spread = torch.ones(())"}


def with_scale(**parts: str) -> list[Change]:
    """A recipe that trains on scaled values."""
    imports = "from gancore.games import R1, Discriminator, adversarial_game, likelihood_game, normal"
    return [
        Change("recipes.py", imports, f"{imports}, Representation\nfrom gancore import Batch"),
        Change("recipes.py", "\nclass Normal(Recipe):", SCALED.format(**{**HELD, **BUFFER, **parts})),
        Change("recipes.py", MODEL, MODEL[:-1] + ", representation=Scaled())"),
    ]


def more(line: str, another: str) -> Change:
    """One more line in an __init__ of the networks."""
    return Change("recipes.py", line, f"{line}\n        {another}")


def judge(new: str) -> Change:
    return Change("recipes.py", JUDGED, new)


def take(new: str) -> Change:
    return Change("domain.py", TAKE, new)


def method(text: str) -> Change:
    """One more method of the domain."""
    return Change("domain.py", "    def tiny_config(self):", f"{text}\n\n    def tiny_config(self):")


FEATURES = """

class Levels(FeatureExtractor):
    name = "levels"
    digest = "{digest}"

    def prepare(self, bench):
        {prepare}

    def embed(self, samples, spec):
        return {embed}
{more}

spectrum_distance ="""
GOOD = {"digest": "0" * 64, "prepare": "pass", "embed": "samples[:, :4]", "more": ""}
POSTERIORS = """
    classes = ("low", "high")

    def log_posteriors(self, samples, spec):
        return {said}
"""


def with_features(classifier: bool = False, **parts: str) -> list[Change]:
    """The domain has features of its own."""
    entry = (
        f'FeatureExtractorEntry("levels", "gancore_tides.metrics:Levels", "values", classifier={classifier})'
    )
    return [
        Change("metrics.py", "from gancore import Metric", "from gancore import FeatureExtractor, Metric"),
        Change("metrics.py", "\n\nspectrum_distance =", FEATURES.format(**{**GOOD, **parts})),
        Change("domain.py", "DataConfig, Domain,", "DataConfig, Domain, FeatureExtractorEntry,"),
        Change(
            "domain.py",
            "    metrics = {",
            f'    feature_extractors = {{"levels": {entry}}}\n    metrics = {{',
        ),
    ]


def measured(**parts: str) -> list[Change]:
    """The domain's measure with other fields, in Python."""
    fields = "".join(f", {name}={text}" for name, text in parts.items())
    imports = "from gancore import Interval, Metric"
    return [
        Change("metrics.py", "from gancore import Metric", imports),
        Change("metrics.py", "higher_is_better=False", f"higher_is_better=False{fields}"),
    ]


Broken = tuple[list[Change], str, tuple[str, ...]]

PLUGIN: dict[str, Broken] = {
    "heavy import": (
        [Change("__init__.py", "from gancore import", "import torch\nfrom gancore import")],
        "imports_light",
        ("imports torch", "gancore_tides/__init__.py:3", "name classes as strings"),
    ),
    "heavy import at second hand": (
        [Change("__init__.py", "from gancore import", "import gancore_tides.domain\nfrom gancore import")],
        "imports_light",
        ("imports torch", "gancore_tides/domain.py:6"),
    ),
    "a class that is not there": (
        [Change("__init__.py", ":TidesDomain", ":TideDomain")],
        "resolves_entries",
        ("TideDomain",),
    ),
    "a measure of another kind": (
        [Change("metrics.py", "spectrum_distance = Metric(", "spectrum_distance = dict(compute=")],
        "resolves_entries",
        ("'spectrum_distance' is dict, not a Metric",),
    ),
    "features of another kind": (
        [*with_features(), Change("domain.py", "metrics:Levels", "metrics:mean_spectrum_db")],
        "resolves_entries",
        ("for 'levels', which is not a subclass of gancore.FeatureExtractor",),
    ),
    "a recipe under another name": (
        [
            Change(
                "domain.py",
                '"dense": RecipeEntry(\n            "dense"',
                '"dens": RecipeEntry(\n            "dense"',
            )
        ],
        "resolves_entries",
        ("recipes['dens'] has the name 'dense'",),
    ),
}

DOMAIN: dict[str, Broken] = {
    "a key without description": (
        [Change("domain.py", ', description="values in a window"', "")],
        "documents_its_keys",
        ("data.length", "has no description"),
    ),
    "a key of tiny that nobody knows": (
        [Change("domain.py", '"model": {"width": 16', '"model": {"widht": 16')],
        "tiny_config_is_valid",
        ("tiny_config() has the unknown key model.widht; did you mean 'width'?",),
    ),
    "an empty split": (
        [Change("domain.py", "return Data(", "valid.windows = valid.windows[:0]\n        return Data(")],
        "opens",
        ("valid has no rows",),
    ),
    "splits that share a name": (
        [Change("domain.py", 'values"])', 'values"], splits={"train": ["a", "b"], "test": ["b"]})')],
        "opens",
        ("'b' is in both train and test", "memorised training data"),
    ),
    "data split by chance": (
        [Change("domain.py", "parts = np.split(series", "parts = np.split(np.random.permutation(series)")],
        "opens_reproducibly",
        ("train has other rows",),
    ),
    "a tuple in the spec": (
        [Change("domain.py", SPEC, 'Spec({"length": config.length, "shape": (config.length,)})')],
        "spec_is_json",
        ("spec['shape']", "reads back as [16]", "lists instead of tuples"),
    ),
    "a numpy number in the spec": (
        [Change("domain.py", SPEC, 'Spec({"length": config.length, "mean": np.float32(0)})')],
        "spec_is_json",
        ("spec['mean'] is not JSON",),
    ),
    "take from a global generator": (
        [take("return Batch(self.windows[indices] + 0.1 * torch.randn(len(indices), 1))")],
        "batches_depend_on_key_only",
        ("it draws from a global generator", "from its key"),
    ),
    "take that remembers": (
        [
            take("self.asked += 1\n        return Batch(self.windows[indices] + self.asked)"),
            Change("domain.py", "self.windows = series", "self.asked = 0\n        self.windows = series"),
        ],
        "batches_depend_on_key_only",
        ("it depends on earlier calls",),
    ),
    "take that normalises over the batch": (
        [take("rows = self.windows[indices]\n        return Batch(rows - rows.mean(0))")],
        "batches_rows_independently",
        ("rows 0 to 2",),
    ),
    "take that draws for the rows it sees": (
        [take("return Batch(self.windows[indices] + key.with_rows(None).normal(len(indices), 1))")],
        "batches_rows_independently",
        ("read alone, differ",),
    ),
    "a label that is not there": (
        [method("    def make_condition(self, label, n, spec, key):\n        return None")],
        "makes_conditions",
        ("accepts an unknown label", "raise ConfigError"),
    ),
    "a file that was not written": (
        [Change("domain.py", "return files", 'return [*files, folder / "overview.txt"]')],
        "returns_the_files_it_writes",
        ("write returns overview.txt",),
    ),
    "a file that is not named": (
        [
            Change(
                "domain.py",
                "return files",
                'np.savetxt(folder / "all.csv", samples.data)\n        return files',
            )
        ],
        "returns_the_files_it_writes",
        ("all.csv",),
    ),
    "a file outside its folder": (
        [Change("domain.py", FILES, FILES.replace("folder /", "folder.parent /"))],
        "returns_the_files_it_writes",
        ("write puts 0001.csv outside its folder",),
    ),
    "a preview that is no picture": (
        [method("    def preview(self, samples):\n        return samples.data.numpy()")],
        "makes_previews",
        ("preview returns ndarray", "return a PIL picture, or None"),
    ),
    "a measure that points the wrong way": (
        [Change("metrics.py", "higher_is_better=False", "higher_is_better=True")],
        "metrics_rank_real_data_first",
        ("spectrum_distance does not rank real data first", "higher_is_better is True"),
    ),
    "a measure of nothing": (
        [Change("metrics.py", "return float(", "return 0.0 * float(")],
        "metrics_rank_real_data_first",
        ("real data 0, noise 0",),
    ),
    "features that cannot be had": (
        with_features(prepare='from gancore import ConfigError; raise ConfigError("no file", "get it")'),
        "embeds_rows_independently",
        ("'levels' cannot be prepared: no file",),
    ),
    "features without a digest": (
        with_features(digest="one"),
        "embeds_rows_independently",
        ("the digest of levels is 'one'", "sha256"),
    ),
    "features of the whole set": (
        with_features(embed="samples - samples.mean(0)"),
        "embeds_rows_independently",
        ("levels of a row changes with the other rows", "batch normalisation"),
    ),
    "features by chance": (
        with_features(embed="samples + torch.rand(len(samples), 1)"),
        "embeds_rows_independently",
        ("levels of the same samples differs between calls", "from a fixed key"),
    ),
    "features without rows": (
        with_features(embed="samples.mean(0)"),
        "embeds_rows_independently",
        ("levels gives shape (16,) for 64 rows",),
    ),
    "features that are not finite": (
        with_features(embed="(samples - 9).log()"),
        "embeds_rows_independently",
        ("levels gives values that are not finite for 64 rows",),
    ),
    "features prepared by chance": (
        with_features(prepare="self.digest = torch.rand(1).numpy().tobytes().hex() * 8"),
        "embeds_rows_independently",
        ("levels has another digest",),
    ),
    "a classifier that does not say so": (
        with_features(more=POSTERIORS.format(said="samples[:, :2].log_softmax(1)")),
        "embeds_rows_independently",
        ("classifier=False",),
    ),
    "posteriors that do not add up": (
        with_features(classifier=True, more=POSTERIORS.format(said="samples[:, :2]")),
        "embeds_rows_independently",
        ("levels gives 2 posteriors for 2 classes", "log_softmax"),
    ),
    "a measure that needs what it does not say": (
        [*with_features(), Change("metrics.py", "sampled.samples", "sampled.features")],
        "intervals_contain_values",
        ("spectrum_distance of real data raises", "requires"),
    ),
    "an interval beside the value": (
        measured(interval='lambda inputs: Interval(100.0, 200.0, "guessed")'),
        "intervals_contain_values",
        ("outside its interval 100 to 200",),
    ),
    "an interval without a method": (
        measured(interval='lambda inputs: Interval(0.0, 200.0, "")'),
        "intervals_contain_values",
        ("has no method",),
    ),
    "details that are no JSON": (
        measured(details="lambda inputs: {'fake': inputs.fake}"),
        "intervals_contain_values",
        ("the details of spectrum_distance are not JSON",),
    ),
    "a measure by chance": (
        [Change("metrics.py", "return float(", "return float(torch.rand(1)) + float(")],
        "intervals_contain_values",
        ("spectrum_distance of the same samples differs", "draw from inputs.key"),
    ),
    "a measure with a name of the core's": (
        [
            Change("domain.py", '"spectrum_distance": MetricEntry(', '"recall": MetricEntry('),
            Change("domain.py", '            "spectrum_distance",', '            "recall",'),
        ],
        "intervals_contain_values",
        ("the metric recall has the name",),
    ),
    "a diagnosis of real data": (
        [
            method(
                "    def diagnose(self, samples):\n        from gancore import Diagnostic\n\n"
                '        return [Diagnostic("flat", "all are flat", "wait")]'
            )
        ],
        "diagnoses_no_real_data",
        ("diagnose finds 'flat' in real data",),
    ),
}

DENSE: dict[str, Broken] = {
    "a configuration that does not read back": (
        [
            Change("recipes.py", WIDTH, WIDTH + WIDER),
            Change("recipes.py", "import Field", "import Field, field_validator"),
        ],
        "configuration_round_trips",
        ("does not read back equal", "model.width: 17 reads back as 18"),
    ),
    "parameters by numpy": (
        [
            more(LAYERS, "self.layers[2].bias.data.fill_(np.random.rand())"),
            Change("recipes.py", "import torch\n", "import numpy as np\nimport torch\n"),
        ],
        "builds",
        ("discriminator.layers.2.bias differs",),
    ),
    "samples of another shape": (
        [
            Change(
                "recipes.py",
                'dense(8, config.width, spec["length"])',
                'dense(8, config.width, spec["length"] + 1)',
            ),
            judge("return self.layers(embedded[:, :16]).squeeze(1)"),
        ],
        "matches_shapes",
        ("(rows, 17) float32", "(rows, 16) float32"),
    ),
    "logits without rows": (
        [judge("return self.layers(embedded).mean()")],
        "gives_finite_logits",
        ("logits of shape () for 8 real rows",),
    ),
    "logits that are not finite": (
        [judge("return (self.layers(embedded).squeeze(1) - 1e9).log()")],
        "gives_finite_logits",
        ("logits that are not finite",),
    ),
    "a mean of the batch": (
        [judge("return self.layers(embedded - embedded.mean(0)).squeeze(1)")],
        "scores_rows_independently",
        ("discriminator mixes rows", "batch_coupled = True"),
    ),
    "batch normalisation": (
        [
            Change(
                "recipes.py", NETWORK, NETWORK.replace("nn.LeakyReLU", "nn.BatchNorm1d(width), nn.LeakyReLU")
            )
        ],
        "scores_rows_independently",
        ("mixes rows", "BatchNorm1d at layers.1"),
    ),
    "a graph that is cut before the judge": (
        [judge("return self.layers(embedded.detach()).squeeze(1)")],
        "reaches_every_parameter",
        ("no gradient reaches the generator: logits does not use its input",),
    ),
    "a generator that is cut off": (
        [
            Change("recipes.py", "\nclass DenseDiscriminator(Discriminator):", CUT),
            Change("recipes.py", GENERATOR, GENERATOR.replace("dense(", "Cut(*dense(") + ")"),
        ],
        "reaches_every_parameter",
        ("no gradient reaches the generator: the generator's output is detached",),
    ),
    "a parameter that nobody uses": (
        [more(LAYERS, "self.spare = nn.Parameter(torch.ones(1))")],
        "reaches_every_parameter",
        ("no gradient reaches discriminator.spare", "do not create it"),
    ),
    "an operation that is differentiable once": (
        [
            Change("recipes.py", "\nclass DenseDiscriminator(Discriminator):", ONCE),
            judge("return self.layers(Halved.apply(embedded)).squeeze(1)"),
        ],
        "differentiates_twice",
        ("double backward", "once_differentiable", "Halved"),
    ),
    "a backward whose own derivative is lost": (
        [
            Change("recipes.py", "\nclass DenseDiscriminator(Discriminator):", LOST),
            judge("return Halved.apply(self.layers(embedded)).squeeze(1)"),
        ],
        "differentiates_twice",
        ("second derivative of Halved",),
    ),
    "dropout": (
        [Change("recipes.py", NETWORK, NETWORK.replace("nn.LeakyReLU", "nn.Dropout(), nn.LeakyReLU"))],
        "costs_are_pure",
        ("evaluated twice on one draw", "Dropout at", "gancore.games.noise"),
    ),
    "a counter in the forward pass": (
        [
            more(LAYERS, 'self.register_buffer("seen", torch.zeros(()))'),
            judge("self.seen.add_(1)\n        return self.layers(embedded).squeeze(1)"),
        ],
        "costs_are_pure",
        ("changes discriminator.seen", "after_move or after_step"),
    ),
    "latents that lead out of the prior": (
        [
            Change(
                "recipes.py",
                "prior=normal(8)",
                "prior=Prior(8, normal(8).draw_latents, lambda a, b, t: a / 0)",
            ),
            Change("recipes.py", "games import R1", "games import Prior, R1"),
        ],
        "interpolates",
        ("samples between two latents are not finite", "interpolate"),
    ),
    "a rate that destroys": (
        [
            Change("recipes.py", "ema_halflife=5_000", "ema_halflife=5_000, generator_optimizer=SGD(1e30)"),
            Change("recipes.py", "games import R1", "games import SGD, R1"),
        ],
        "trains",
        ("is nan after 12 steps", "lower the learning rates"),
    ),
    "what it declares and has not": (
        [
            Change(
                "domain.py",
                'capabilities=frozenset({"parallel"})',
                'capabilities=frozenset({"parallel", "inversion"})',
            )
        ],
        "has_declared_capabilities",
        ("declares 'inversion'", "its sampler GeneratorSampler does not"),
    ),
}

NORMAL: dict[str, Broken] = {
    "state outside state_dict": (
        with_scale(**ATTRIBUTE, fit="self.spread = torch.tensor(0.8)"),
        "model_folder_round_trips",
        ("other samples", "register_buffer"),
    ),
    "state that no checkpoint holds": (
        with_scale(**ATTRIBUTE, fit="self.spread = torch.tensor(0.8)"),
        "resumes",
        ("saved at step 6", "register_buffer"),
    ),
    "decode that does not undo encode": (
        with_scale(away=" + 1"),
        "encodes_and_decodes",
        ("decode(encode(x))", "from x by", "encode is invertible"),
    ),
    "a wrong log_det": (
        with_scale(wrong=" / 2"),
        "log_det_matches_jacobian",
        ("log_det is 1.78", "the Jacobian is 3.57"),
    ),
    "likelihoods summed over the batch": (
        [Change("recipes.py", LOG_PROB, "return distribution.log_prob(data).sum()")],
        "gives_likelihoods",
        ("log_prob of a row changes with the other rows of its batch",),
    ),
    "likelihoods that hang on the batch": (
        [Change("recipes.py", LOG_PROB, "return distribution.log_prob(data - data.mean(0)).sum(1)")],
        "gives_likelihoods",
        ("log_prob of a row changes with the other rows of its batch",),
    ),
    "a cost that does not add up": (
        [Change("recipes.py", LOG_PROB, "return distribution.log_prob(data - data.mean(0)).sum(1)")],
        "micro_batches_add_up",
        ("the gradient of", "two halves"),
    ),
    "a bound that is called a likelihood": (
        [
            Change(
                "recipes.py",
                "def log_prob(self, data):",
                "lower_bound = True\n\n    def log_prob(self, data):",
            )
        ],
        "has_declared_capabilities",
        ("log_prob is a lower bound",),
    ),
    "samples from a global generator": (
        [Change("recipes.py", SAMPLED, SAMPLED.replace("key.normal(", "torch.randn("))],
        "samples_depend_on_key_only",
        ("other samples for the same key", "not from a global generator"),
    ),
    "samples that ignore the key": (
        [Change("recipes.py", SAMPLED, "return self.mean.expand(n, -1)")],
        "samples_depend_on_key_only",
        ("the same samples for every key",),
    ),
    "samples that disturb training": (
        [
            Change("recipes.py", SAMPLED, f"self.taken.add_(1)\n        {SAMPLED}"),
            more(LOG_SCALE, 'self.register_buffer("taken", torch.zeros(()))'),
        ],
        "run_equals_loop",
        ("model.taken differs", "change no state in sample"),
    ),
}
