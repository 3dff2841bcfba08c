"""HTML that is put together from parts."""

from worker.operations.page.markup import Html, html, together


def test_what_comes_from_outside_is_escaped() -> None:
    """In text and in attributes."""
    assert html('<p title="{x}">{x}</p>', x="<b>\"&'") == (
        '<p title="&lt;b&gt;&quot;&amp;&#x27;">&lt;b&gt;&quot;&amp;&#x27;</p>'
    )


def test_markup_is_put_in_as_it_is() -> None:
    """It was escaped where it was made."""
    inner = html("<b>{x}</b>", x="<")

    assert html("<p>{inner}</p>", inner=inner) == "<p><b>&lt;</b></p>"
    assert together([inner, Html("<hr>")]) == "<b>&lt;</b><hr>"


def test_a_part_that_is_none_is_left_out() -> None:
    """And one that is 0 is not."""
    assert html("<p>{nothing}{zero}</p>", nothing=None, zero=0) == "<p>0</p>"


def test_braces_in_a_part_mean_nothing() -> None:
    """Parts are never templates."""
    assert html("<p>{x}</p>", x="{x}{0.__class__}") == "<p>{x}{0.__class__}</p>"
