"""The equations of docs/method.md, sections 5 and 6, written down again in numpy, give the network's estimate."""

import numpy as np
import pytest
import torch

from aqreanalysis.models.aqnet.analysis import to_tensors
from aqreanalysis.models.aqnet.network import AnalysisSizes, AQNet
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import find_neighbourhood

STATIONS, TARGETS, HOURS, K = 30, 4, 24, 20


@pytest.fixture(scope="module")
def case():
    """A network with random weights, and everything that it reads."""
    rng = np.random.default_rng(7)
    torch.manual_seed(7)
    network = AQNet(AnalysisSizes()).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    places = (rng.uniform(36, 40, n) if degrees == "lat" else rng.uniform(113, 119, n)
              for n in (STATIONS, TARGETS) for degrees in ("lat", "lon"))
    neighbourhood = find_neighbourhood(*places, K, Correlation())
    value = rng.uniform(5, 200, (STATIONS, HOURS)).astype("f4")
    arrays = {"window": rng.normal(0, 1, (STATIONS, 48, 23)).astype("f4"), "value": value,
              "smooth": value + rng.normal(0, 3, value.shape).astype("f4"),
              "observed": (rng.random(value.shape) > 0.3).astype("f4"),
              "clock": rng.normal(0, 1, (HOURS, 6)).astype("f4")}
    return network, neighbourhood, arrays


def softmax(scores, axis):
    powers = np.exp(scores - scores.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def unlog(x):
    return np.maximum(np.exp(np.minimum(x, 8)) - 5, 0)


def encoded(weights, network, window):
    """p (stations, 16) and r (stations, 24, 8)."""
    with torch.inference_mode():
        z = network.encoder.lstm(network.encoder.embed(torch.from_numpy(window)))[0].numpy().astype(float)
    query, key, value = np.split(z @ weights["attention.in_proj_weight"].T + weights["attention.in_proj_bias"], 3, -1)
    heads = [softmax(query[..., of] @ key[..., of].transpose(0, 2, 1) / np.sqrt(16), -1) @ value[..., of]
             for of in (slice(0, 16), slice(16, 32))]
    z = np.concatenate(heads, -1) @ weights["attention.out_proj.weight"].T + weights["attention.out_proj.bias"] + z
    alpha = softmax(z @ weights["pool.weight"].T + weights["pool.bias"], 1)
    return ((alpha * z).sum(1) @ weights["day.weight"].T + weights["day.bias"],
            (z @ weights["series.weight"].T + weights["series.bias"])[:, 12:36])


def by_the_page(network, neighbourhood, arrays):
    """Estimate and scale (targets, hours)."""
    weights = {name: parameter.detach().numpy().astype(float) for name, parameter in network.named_parameters()}
    part = {room: {name.removeprefix(f"{room}."): array for name, array in weights.items() if name.startswith(room)}
            for room in ("encoder", "knn", "head")}
    p, r = encoded(part["encoder"], network, arrays["window"])
    index, d, theta, w = (getattr(neighbourhood, name) for name in ("index", "distance", "bearing", "weight"))
    variance = neighbourhood.variance.astype(float)
    v, smooth, observed, clock = (arrays[name].astype(float) for name in ("value", "smooth", "observed", "clock"))
    positive, mean_d = np.maximum(w, 0), d.mean(1)
    g = np.stack([np.log(1 + d / 10) - 1.5, np.sin(theta), np.cos(theta), 4 * w,
                  np.broadcast_to(0.5 * (np.log(variance + 0.02) + 1.5)[:, None], d.shape),
                  d / (mean_d[:, None] + 1) - 1], -1)
    around = (w[..., None] * p[index]).sum(1)
    h = np.maximum(g @ part["knn"]["geometry.weight"].T + part["knn"]["geometry.bias"]
                   + p[index] @ part["knn"]["neighbour.weight"].T
                   + (around @ part["knn"]["surroundings.weight"].T)[:, None], 0)
    a = softmax(h @ part["knn"]["score.weight"].T + np.log(positive + 0.01)[..., None], 1)

    def mixed(weight, series):
        return np.einsum("ik,ikt->it", weight, series[index])

    b = np.maximum(mixed(w, v), 0)
    u = b + 20
    q = [unlog(mixed(w, np.log(v + 5)) + 0.5 * 0.2 * variance[:, None]), np.maximum(mixed(w, smooth), 0)]
    for m in (0, 1):
        q += [mixed(a[..., m], v), unlog(mixed(a[..., m], np.log(v + 5)))]
    delta = [(each - b) / u for each in q]
    spread = np.sqrt(np.maximum(mixed(a[..., 0], v**2) - q[2] ** 2, 0) + 1) / u
    hourly = [mixed(positive / positive.sum(1, keepdims=True), observed), np.log(1 + b) - 3.5,
              *(mixed(a[..., m], r[..., 4 * m + c]) for m in (0, 1) for c in range(4)), *delta, spread]
    daily = np.concatenate([around, np.stack([np.log(1 + d[:, 0] / 10) - 1, 0.5 * np.log(variance + 0.02) + 0.75,
                                              np.log(1 + mean_d / 10) - 2], 1)], 1)
    read = np.concatenate([np.stack(hourly, -1), np.broadcast_to(clock, (TARGETS, HOURS, 6))], -1)
    hidden = np.maximum(read @ part["head"]["hourly.weight"].T + part["head"]["hourly.bias"]
                        + (daily @ part["head"]["daily.weight"].T)[:, None], 0)
    phi = hidden @ part["head"]["out.weight"].T + part["head"]["out.bias"]
    rho = np.sqrt(variance)[:, None]
    shift = rho * phi[..., 0] + np.tanh(4 * rho) * sum(phi[..., 1 + n] * delta[n - 1] for n in range(1, 7))
    return np.maximum(b + u * shift, 0), 0.35 * rho * u * np.exp(np.clip(phi[..., 1], -4, 4)) + 0.3


def test_the_page_says_what_the_network_does(case):
    network, neighbourhood, arrays = case
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    with torch.inference_mode():
        found = network(inner=slice(12, 36), near=to_tensors(neighbourhood), **tensors)
    for one, other in zip(by_the_page(network, neighbourhood, arrays), found, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=2e-4, atol=1e-3)


def test_the_page_counts_the_weights(case):
    assert sum(parameter.numel() for parameter in case[0].parameters()) == 13_697
