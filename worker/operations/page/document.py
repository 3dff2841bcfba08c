"""The page as a whole: the same parts make what is served at first and what is sent when it changes."""

from collections.abc import Mapping

from worker.operations.group import GroupView
from worker.operations.health import health
from worker.operations.page import assets, figures, tables
from worker.operations.page.markup import Html, html


def live_parts(view: GroupView) -> dict[str, Html]:
    """The content of every element that changes, by the name that the element has in `data-live`."""
    found = health(view)
    return {
        "seen": figures.seen(view),
        "health": figures.sentence(found),
        "state": figures.state(found),
        "figures": figures.key_figures(view),
        "hour": figures.hour(view),
        "partitions": tables.partitions(view),
        "customers": tables.customers(view),
        "dead-letters": tables.dead_letters(view),
        "outcomes": tables.outcomes(view),
        "upstream": tables.upstream(view),
        "replicas": tables.replicas(view),
        "rebalances": tables.rebalances(view),
        "differing": tables.differing(view.differing),
    }


def document(view: GroupView, parts: Mapping[str, Html]) -> Html:
    """The page; without JavaScript it stays as it was when it was loaded."""
    return html(
        _PAGE,
        title=health(view).name,
        level=health(view).level,
        style=assets.STYLE.path,
        script=assets.SCRIPT.path,
        icon=assets.ICON.path,
        assets=assets.VERSION,
        settings=tables.settings(view.own.settings),
        **{name.replace("-", "_"): part for name, part in parts.items()},
    )


_PAGE = """<!doctype html>
<html lang="en" data-assets="{assets}" data-level="{level}">
<head>
<meta charset="utf-8">
<title>{title} · customer-sync</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<link rel="icon" href="{icon}" type="image/svg+xml">
<link rel="stylesheet" href="{style}">
<script src="{script}" defer></script>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<p class="name">customer-sync</p>
<div class="seen" data-live="seen">{seen}</div>
<p class="live" id="live"><noscript>Without JavaScript this page stays as it is. <a href="/">Load it again</a>
</noscript></p>
</header>
<main id="main" tabindex="-1">
<section class="health" aria-label="Health">
<p class="state" role="status" data-live="state">{state}</p>
<div data-live="health">{health}</div>
<dl class="figures" data-live="figures">{figures}</dl>
</section>
<section aria-labelledby="hour"><h2 id="hour">The last hour</h2>
<div class="hour" data-live="hour">{hour}</div></section>
<div class="pair">
<section aria-labelledby="partitions"><h2 id="partitions">Partitions</h2>
<div data-live="partitions">{partitions}</div></section>
<section aria-labelledby="customers"><h2 id="customers">Customers that wait</h2>
<div data-live="customers">{customers}</div></section>
</div>
<section aria-labelledby="dead-letters"><h2 id="dead-letters">Dead letters</h2>
<div data-live="dead-letters">{dead_letters}</div></section>
<div class="pair">
<section aria-labelledby="outcomes"><h2 id="outcomes">Outcomes</h2>
<div data-live="outcomes">{outcomes}</div></section>
<section aria-labelledby="upstream"><h2 id="upstream">Upstream</h2>
<div data-live="upstream">{upstream}</div></section>
</div>
<div class="pair">
<section aria-labelledby="replicas"><h2 id="replicas">Replicas</h2>
<div data-live="replicas">{replicas}</div></section>
<section aria-labelledby="rebalances"><h2 id="rebalances">Rebalances</h2>
<div data-live="rebalances">{rebalances}</div></section>
</div>
<section aria-labelledby="settings"><h2 id="settings">Settings</h2>
<div data-live="differing">{differing}</div>
{settings}</section>
</main>
<footer><nav aria-label="For programs"><ul>
<li><a href="/api/group">Group as JSON</a></li>
<li><a href="/api/replica">This replica as JSON</a></li>
<li><a href="/metrics">Metrics</a></li>
<li><a href="/asyncapi">AsyncAPI</a></li>
<li><a href="/livez">Alive?</a></li>
<li><a href="/readyz">Ready?</a></li>
</ul></nav></footer>
</body>
</html>
"""
