"""Figures of forecasts: what is handed in is what is drawn."""

import numpy as np

from aqreanalysis.figures import forecast as figures


def lines_of(ax):
    return {line.get_label(): line.get_xydata() for line in ax.get_lines() if not line.get_label().startswith("_")}


def test_a_week_shows_both_series_of_each_slot_on_one_scale():
    slots = [figures.TimeSlot("morning", np.arange(7.0), np.arange(7.0) + 5),
             figures.TimeSlot("evening", np.full(7, 90.0), np.full(7, np.nan))]
    figure = figures.week_figure(slots, "a week")
    first, second = figure.axes
    np.testing.assert_array_equal(lines_of(first)["forecast"][:, 1], np.arange(7.0) + 5)
    np.testing.assert_array_equal(lines_of(second)["observed"][:, 1], 90.0)
    assert first.get_ylim() == second.get_ylim() and first.get_ylim()[1] > 90


def test_two_heads_are_drawn_against_time_and_all_are_laid_out():
    profile = np.array([[0.1, 0.9], [0.5, 0.5], [0.6, 0.4]])
    found = figures.HeadProfiles(profile, 0.01 * profile, np.arange(6.0).reshape(3, 2), np.array([0, 1, 1]), (0, 2),
                          np.array([1.0, 0.0]))
    left, right = figures.heads_figure(found, "heads").axes
    drawn = lines_of(left)
    np.testing.assert_array_equal(drawn["head 1 (cluster 1)"], [[-1.0, 0.1], [0.0, 0.9]])
    np.testing.assert_array_equal(drawn["head 2 (cluster 2)"], [[-1.0, 0.6], [0.0, 0.4]])
    np.testing.assert_array_equal(right.collections[0].get_offsets(), found.place)


def test_blocks_are_labelled_with_their_share():
    figure = figures.blocks_figure(np.array([[0.25, 0.75], [0.5, 0.5]]), ["-2", "-1"], ["+1 d", "+2 d"], "blocks")
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.texts] == ["25", "75", "50", "50"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["-2", "-1"]
