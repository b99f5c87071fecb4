"""Polygons as pictures: the published construction, and the rasteriser against areas and scipy's hulls."""

import math

import pytest
import torch
from gancore_synthetic.polygons import MIN_ANGLE, N_GREYS, Polygons, polygon_vertices, rasterise
from scipy.spatial import ConvexHull

from gancore.random import Key


def shoelace(vertices):
    x, y = vertices[..., 0], vertices[..., 1]
    return 0.5 * (x * y.roll(-1, 1) - y * x.roll(-1, 1)).sum(1).abs()


@pytest.mark.parametrize("count", [3, 4, 8])
def test_a_picture_is_as_black_as_its_polygon_is_large(count):
    vertices = polygon_vertices(500, count, 28, Key.of(count))
    black = (N_GREYS - rasterise(vertices, 28).double()).sum((1, 2)) / N_GREYS
    apart = (black - shoelace(vertices)).abs()
    assert apart.max() < 1.5 and apart.mean() < 0.3  # of some 150 pixels; a sub-pixel is 1/64


def test_a_square_is_rasterised_sub_pixel_by_sub_pixel():
    """From (2, 2) to (4.5, 3.25): whole, half and quarter pixels."""
    corners = torch.tensor([[[2.0, 2.0], [4.5, 2.0], [4.5, 3.25], [2.0, 3.25]]], dtype=torch.float64)
    black = N_GREYS - rasterise(corners, 8).int()[0]
    assert black[2].tolist() == [0, 0, 64, 64, 32, 0, 0, 0]
    assert black[3].tolist() == [0, 0, 16, 16, 8, 0, 0, 0]
    assert black.sum() == 2 * (64 + 64 + 32) - (64 + 64 + 32) + 16 + 16 + 8


def test_each_sub_pixel_is_on_the_side_that_the_edges_say():
    """Against the plain test of every sub-pixel's centre with every edge."""
    vertices = polygon_vertices(20, 5, 12, Key.of("plain"))
    axis = (torch.arange(12 * 8, dtype=torch.float64) + 0.5) / 8
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    start, edge = vertices, vertices.roll(-1, 1) - vertices
    dx, dy = edge[..., 0, None, None], edge[..., 1, None, None]
    inside = (dx * (y - start[..., 1, None, None]) - dy * (x - start[..., 0, None, None]) >= 0).all(1)
    white = N_GREYS - inside.view(20, 12, 8, 12, 8).sum((2, 4))
    assert torch.equal(rasterise(vertices, 12).long(), white)


@pytest.mark.parametrize("count", [3, 5, 8, 12])
def test_polygons_are_convex_and_their_vertices_keep_apart(count):
    vertices = polygon_vertices(200, count, 28, Key.of(count))
    assert all(len(ConvexHull(polygon).vertices) == count for polygon in vertices.numpy())
    centre = vertices.mean(1)
    torch.testing.assert_close(centre, torch.full_like(centre, 14.0))
    chords = (vertices - vertices.roll(-1, 1)).norm(dim=2)
    shortest = 2 * (0.75 * 28 / 2) * math.sin(MIN_ANGLE / 4)  # an angle of a/2 at the circle's centre
    assert chords.min() > shortest * 0.999


def test_every_number_of_vertices_is_as_frequent():
    _, component = Polygons(image_size=8, seed=0, vertices=6).sample_counts(4000, Key.of("counts"))
    shares = torch.bincount(component).double() / 4000
    assert len(shares) == 4 and (shares - 0.25).abs().max() < 0.03


def test_pictures_are_white_around_and_black_within():
    pictures = Polygons(image_size=28, seed=0).sample(100, Key.of("white"))[0]
    assert pictures.shape == (100, 1, 28, 28)
    assert pictures[:, :, ::27, ::27].min() == 1 and pictures[:, :, 0].mean() > 0.99
    assert pictures.amin((1, 2, 3)).max() == 0


def test_what_is_not_convex_is_off_the_support():
    own = Polygons(image_size=28, seed=0, vertices=8)
    true = own.sample(200, Key.of("held out"))[0]
    assert own.on_support(true).double().mean() > 0.98
    two = torch.minimum(true[:100].roll(8, 3), true[100:].roll(-8, 3))  # beside each other
    noise = torch.rand(50, 1, 28, 28, dtype=torch.float64)
    grey = 0.7 * true + 0.3
    hollow = true.clone()
    hollow[:, :, 12:16, 12:16] = 1
    for false in (noise, hollow, grey, 1 - true, torch.ones(3, 1, 28, 28).double()):
        assert own.on_support(false).double().mean() < 0.05
    assert own.on_support(two).double().mean() < 0.2
