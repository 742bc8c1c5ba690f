"""The table of options as docs/serving.md shows it. Run it to print the table."""

from __future__ import annotations

from repartee.server.options import option_table


def option_markdown() -> str:
    """Rows of Markdown, one an option."""
    rows = ["| flag | field | default | what it is |", "|---|---|---|---|"]
    for option in option_table():
        if option.kind is bool:
            default = "on" if option.default else "off"
        elif option.default in ((), ""):
            default = "none"
        else:
            number = f"{option.default:,}" if option.kind is int else str(option.default)
            default = f"{number.removesuffix('.0')} {option.unit}".strip()
        help = option.help.replace("|", r"\|")
        rows.append(f"| `{option.flag}` | `{option.field}` | {default} | {help} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(option_markdown())
