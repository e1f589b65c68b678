"""Write the table of ``docs/networks.md`` from the networks themselves (``make docs``)."""

from __future__ import annotations

from pathlib import Path

from nunbit.networks import describe, find_network, network_names

TARGET = Path(__file__).parents[2] / "docs" / "networks.md"
BEGIN, END = "<!-- made from the code: begin -->\n", "<!-- made from the code: end -->\n"


def table() -> str:
    """Return the table of all networks, by year."""
    lines = [
        "| network | also | year | input | parameters | multiply-adds | reported by its source |",
        "|---|---|---|---|---|---|---|",
    ]
    for info in sorted(map(find_network, network_names()), key=lambda info: info.year):
        shown = describe(info.name)
        cells = [
            f"`{info.name}`",
            ", ".join(f"`{alias}`" for alias in info.aliases),
            str(info.year or ""),
            "×".join(map(str, shown.input)),
            f"{shown.parameters:,}",
            f"{shown.multiply_adds:,}",
            info.reported.replace("|", "/"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def render(page: str) -> str:
    """Return the page with its table made anew."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{table()}{END}{tail}"


if __name__ == "__main__":
    TARGET.write_text(render(TARGET.read_text(encoding="utf-8")), encoding="utf-8")
    print(TARGET)
