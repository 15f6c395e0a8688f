"""The equations of docs/method.md, sections 5 and 6, written down again in numpy, give the network's estimate."""

import numpy as np
import pytest
import torch
from numpy import log, maximum, tanh

from aqreanalysis.models.aqnet.analysis import to_tensors
from aqreanalysis.models.aqnet.network import AnalysisSizes, AQNet, TargetCovariates
from aqreanalysis.models.aqnet.station_inputs import StationMeans, assemble
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import find_neighbourhood

STATIONS, TARGETS, HOURS, K, COVARIATES = 30, 4, 24, 20, 10
DAY = slice(12, 36)


@pytest.fixture(scope="module")
def case():
    """A network with random weights, neighbours, and what the network reads."""
    rng = np.random.default_rng(7)
    torch.manual_seed(7)
    network = AQNet(AnalysisSizes(covariates=COVARIATES)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    places = (rng.uniform(36, 40, n) if degrees == "lat" else rng.uniform(113, 119, n)
              for n in (STATIONS, TARGETS) for degrees in ("lat", "lon"))
    shape = (STATIONS, 48)
    means = StationMeans(*rng.uniform(5, 200, (5, *shape)).astype("f4"), rng.random(shape) > 0.3,
                         rng.uniform(0, 12, shape).astype("f4"))
    return network, find_neighbourhood(*places, K, Correlation()), {
        "means": means, "clock": rng.normal(0, 1, (48, 6)).astype("f4"),
        "stations": rng.normal(0, 1, (STATIONS, COVARIATES)).astype("f4"),
        "targets": rng.normal(0, 1, (TARGETS, COVARIATES)).astype("f4")}


def softmax(scores, axis):
    powers = np.exp(scores - scores.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def geo(x):
    return maximum(np.exp(np.minimum(x, 8)) - 5, 0)


def ell(x):
    return log(np.asarray(x, float) + 5)


def layer(weights, name, x):
    return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0)


def inputs_of(means):
    """x (stations, 48, 7), scaled."""
    v = ell(means.value)
    return np.stack([v - 3.5, 1.5 * (ell(means.three_days) - v), 1.5 * (ell(means.month) - v),
                     1.5 * (ell(means.same_hour) - v), 4 * (ell(means.smooth) - v), means.observed, means.age / 12], -1)


def encoded(weights, network, x, clock):
    """p (stations, 12) and r (stations, 24, 24)."""
    steps = np.concatenate([x[:, 0::3], x[:, 1::3], x[:, 2::3],
                            np.broadcast_to(clock[1::3], (STATIONS, 16, 6))], -1).astype("f4")
    with torch.inference_mode():
        z = network.encoder.lstm(network.encoder.embed(torch.from_numpy(steps)))[0].numpy().astype(float)
    query, key, value = np.split(z @ weights["attention.in_proj_weight"].T + weights["attention.in_proj_bias"], 3, -1)
    heads = [softmax(query[..., of] @ key[..., of].transpose(0, 2, 1) / np.sqrt(12), -1) @ value[..., of]
             for of in (slice(0, 12), slice(12, 24))]
    z = layer(weights, "attention.out_proj", np.concatenate(heads, -1)) + z
    alpha = softmax(layer(weights, "pool", z), 1)
    changes = np.stack([1.5 * (x[:, 12 + lag:36 + lag, 0] - x[:, DAY, 0])
                        for lag in (-12, -6, -3, -2, -1, 1, 2, 3, 6, 12)], -1)
    r = layer(weights, "series", z).repeat(3, axis=1)[:, DAY] + layer(weights, "direct", np.concatenate(
        [x[:, DAY], changes], -1))
    r = r * sigmoid(r)
    r = (r - r.mean(-1, keepdims=True)) / np.sqrt(r.var(-1, keepdims=True) + 1e-5)
    return layer(weights, "day", (alpha * z).sum(1)), r * weights["norm.weight"] + weights["norm.bias"]


def corrected_weights(weights, p, near, e):
    """The weights (targets, k) and the vector of each neighbourhood."""
    d, w = near.distance.astype(float), near.weight.astype(float)
    g = np.stack([log(1 + d / 10) - 1.5, np.sin(near.bearing), np.cos(near.bearing), 4 * w,
                  np.broadcast_to(0.5 * (log(near.variance.astype(float) + 0.02) + 1.5)[:, None], d.shape),
                  d / (d.mean(1, keepdims=True) + 1) - 1], -1)
    around = (w[..., None] * p[near.index]).sum(1)
    h = maximum(layer(weights, "geometry", g) + layer(weights, "neighbour", p[near.index])
                + layer(weights, "surroundings", around)[:, None], 0)
    prior = log(maximum(w, 0) + 0.01)
    return w + e * (softmax(layer(weights, "score", h)[..., 0] + prior, 1) - softmax(prior, 1)), around


def by_the_page(network, near, arrays):
    """Estimate and scale (targets, hours)."""
    weights = {name: parameter.detach().numpy().astype(float) for name, parameter in network.named_parameters()}
    part = {room: {name.removeprefix(f"{room}."): array for name, array in weights.items() if name.startswith(room)}
            for room in ("encoder", "knn", "head", "effect")}
    means, clock, sigma2 = arrays["means"], arrays["clock"].astype(float), near.variance.astype(float)
    p, r = encoded(part["encoder"], network, inputs_of(means), clock)
    e = np.minimum(sigma2 / 0.02, 1)[:, None]
    w, around = corrected_weights(part["knn"], p, near, e)

    def mixed(series):
        return np.einsum("ik,ik...->i...", w, series[near.index])

    day, clock = means[:, DAY], clock[DAY]
    v, smooth = mixed(day.value.astype(float)), mixed(day.smooth.astype(float))
    logs, log_smooth = mixed(ell(day.value)), mixed(ell(day.smooth))
    q = np.stack([logs - 3.5, 5 * (log(maximum(v, 0) + 5) - logs),
                  3 * np.sqrt(maximum(mixed(ell(day.value) ** 2) - logs**2, 1e-4)), 4 * (log_smooth - logs),
                  *(1.5 * (mixed(ell(mean)) - logs) for mean in (day.three_days, day.month, day.same_hour))], -1)
    clock = np.broadcast_to(clock, (TARGETS, HOURS, 6))
    d, site = near.distance.astype(float), 0.5 * log(sigma2 + 0.02) + 0.75
    daily = np.column_stack([around, log(1 + d[:, 0] / 10) - 1, site, log(1 + d.mean(1) / 10) - 2,
                             4 * (near.weight.astype(float) ** 2).sum(1)])
    hidden = maximum(layer(part["head"], "hourly", np.concatenate([q, mixed(r), clock], -1))
                     + layer(part["head"], "daily", daily)[:, None], 0)
    phi = layer(part["head"], "out", maximum(layer(part["head"], "middle", hidden), 0))
    difference = arrays["targets"] - mixed(arrays["stations"].astype(float))
    effect = (layer(part["effect"], "places", difference)[:, None]
              * layer(part["effect"], "times", np.concatenate([q, clock], -1))).sum(-1)
    g, m = e * sigmoid(phi[..., 1]), sigmoid(phi[..., 2])
    estimate = ((1 - m) * maximum(v + g * (smooth - v), 0)
                + m * geo(logs + g * (log_smooth - logs) + 0.25 * e * abs(tanh(phi[..., 3])))) * np.exp(
                    0.6 * tanh(e * phi[..., 0] + effect))
    sigma = np.sqrt(sigma2)[:, None]
    return estimate, 0.35 * sigma * (estimate + 20) * np.exp(np.clip(phi[..., 4], -4, 4)) + 0.3


def test_the_page_says_what_the_network_does(case):
    network, near, arrays = case
    inputs, series = assemble(arrays["means"])
    clock = torch.from_numpy(arrays["clock"])
    window = torch.cat([torch.from_numpy(inputs), clock.expand(STATIONS, 48, 6)], -1)
    covariates = TargetCovariates(*(torch.from_numpy(arrays[name]) for name in ("stations", "targets")))
    with torch.inference_mode():
        found = network(window, torch.arange(12, 36), torch.from_numpy(series[:, DAY]), clock[DAY], to_tensors(near),
                        covariates)
        without, _ = network(window, torch.arange(12, 36), torch.from_numpy(series[:, DAY]), clock[DAY],
                             to_tensors(near))
    for one, other in zip(by_the_page(network, near, arrays), found, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=5e-4, atol=5e-3)
    assert (without - found[0]).abs().max() > 1


def test_the_page_counts_the_weights(case):
    assert sum(parameter.numel() for parameter in case[0].parameters()) == 12_698
