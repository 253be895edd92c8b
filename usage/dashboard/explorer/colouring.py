"""Which colour a series has. Models keep theirs on every page; other groups keep theirs as far as ten colours reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from zlib import crc32

from usage.reports import colours
from usage.reports.explorer.answer import Series, Value
from usage.reports.explorer.question import Dimension

OTHER = "mo"
LONE = "accent"
MOST_SHADES = 4


def of(series: Sequence[Series], group: Dimension | None, subgroup: Dimension | None = None) -> list[tuple[str, int]]:
    """A colour's name and its shade (0 the fullest) for each series. Subgroups are shades of their group's colour; if a
    group has more of them than shades can be told apart, groups are shades of their subgroup's colour."""
    pairs = [(each.group, each.subgroup) for each in series]
    sizes = Counter(outer.id for outer, inner in pairs if outer and inner)
    if max(sizes.values(), default=0) > MOST_SHADES:
        return _shaded([(inner, outer) for outer, inner in pairs], subgroup)
    return [(LONE, 0)] if group is None else _shaded(pairs, group)


def _shaded(pairs: Sequence[tuple[Value | None, Value | None]], dimension: Dimension | None) -> list[tuple[str, int]]:
    names = _of_groups([outer for outer, _ in pairs if outer], dimension)
    used: Counter[str] = Counter()
    found = []
    for outer, _inner in pairs:
        if outer is None:
            found.append((OTHER, 0))
            continue
        found.append((names[outer.id], min(used[outer.id], MOST_SHADES - 1)))
        used[outer.id] += 1
    return found


def _of_groups(groups: Iterable[Value], dimension: Dimension | None) -> Mapping[str, str]:
    ids = list(dict.fromkeys(group.id for group in groups))
    if dimension is Dimension.MODEL:
        known = colours.of(ids)
        return {each: known.get(each, OTHER) for each in ids}
    return _spread(ids)


def _spread(ids: Sequence[str]) -> dict[str, str]:
    """By its id, so that a filter or another rank does not move it; the next free colour where two would meet."""
    taken: dict[int, str] = {}
    found = {}
    for each in ids:
        wanted = crc32(each.encode()) % colours.PALETTE_SIZE
        steps = ((wanted + step) % colours.PALETTE_SIZE for step in range(colours.PALETTE_SIZE))
        place = next((step for step in steps if step not in taken), wanted)
        taken[place] = each
        found[each] = f"m{place + 1}"
    return found
