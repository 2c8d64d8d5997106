"""What was recorded, as a table in Markdown and as a chart in SVG."""

import statistics
from xml.sax.saxutils import escape

# In the order of the report: what each leaves behind, in a few words.
CONTENDERS = {
    "duckdb-struct": "typed, rows replaced by key",
    "duckdb-text": "members as text, rows replaced by key",
    "duckdb-nokey": "typed, no key: deleted and inserted by a join",
    "clickhouse-text": "members as text, rows replaced when merged",
    "clickhouse-typed": "typed, columns merged, users",
    "postgres-doc": "a document, replaced by key",
    "postgres-merge": "members merged by name, users",
    "sqlite-doc": "a document, replaced by key",
    "sqlite-merge": "members merged by name, users",
    "polars-parquet": "a floor: files without keys",
}
IMPORTS = ["first import", "re-import"]
# In the order of the report; an unsettled store is read before it is settled.
AFTERWARDS = ["settled", "read out, unsettled", "read out, settled"]


def ordered(record):
    return sorted(record, key=lambda call: list(CONTENDERS).index(call["contender"]))


def median(calls, who, step, figure):
    values = [result[figure] for call in calls for result in call["results"] if result["who"] in who and result["step"] == step]
    return statistics.median(values)


def table(record):
    if not record:
        return "Nothing was measured."
    calls = ordered(record)
    one = {name: distinct(calls, name) for name in ["threads", "runs", "date", "machine", "pinport"]}
    loads = [call["load"] for call in calls]
    lines = [
        f"NDJSON, {one['threads']} CPUs; {one['runs']} runs of each in turn with pinport, medians; {one['date']}, "
        f"{one['machine']}; load average {min(loads):.1f} to {max(loads):.1f} before; {one['pinport']}.",
    ]
    for title, size, steps in [("import", "store, MB", IMPORTS), ("afterwards", "store or lines, MB", AFTERWARDS)]:
        rows = [row for step in steps for row in of_step(step, calls)]
        if rows:
            lines += [
                "",
                f"| {title} | contender | what is stored | rows | rows/s | CPU µs a row | peak RSS, MB | {size} "
                "| pinport beside it, rows/s | pinport's rows/s are |",
                "|---|---|---|---:|---:|---:|---:|---:|---:|---:|",
                *rows,
            ]
    return "\n".join(lines) + "\n"


def of_step(step, calls):
    # A record may hold calls that are older than a step.
    calls = [call for call in calls if any(result["step"] == step for result in call["results"])]
    if not calls:
        return
    yield line(step, "**pinport**", "members merged by name, users", calls, ["pinport"], "", "")
    for call in calls:
        name = call["contender"]
        ours, theirs = (median([call], [who], step, "seconds") for who in ["pinport", name])
        ratio = theirs / ours
        yield line(step, f"{name} ({call['version']})", CONTENDERS[name], [call], [name],
                   f"{rows_of(step, call) / ours:,.0f}", f"{ratio:.{1 if ratio >= 1 else 2}f} times")


def rows_of(step, call):
    """The rows that a step works on: settling has those that both imports wrote."""
    return call["rows"] * (len(IMPORTS) if step == "settled" else 1)


def distinct(calls, name):
    return ", ".join(dict.fromkeys(str(call[name]) for call in calls))


def line(step, label, kind, calls, who, beside, ratio):
    rows = max(rows_of(step, call) for call in calls)
    calls = [call for call in calls if rows_of(step, call) == rows]
    seconds, cpu, rss, disk = (median(calls, who, step, name) for name in ["seconds", "cpu_seconds", "rss_bytes", "disk_bytes"])
    return (f"| {step} | {label} | {kind} | {rows:,} | {rows / seconds:,.0f} | {cpu / rows * 1e6:.1f} | {rss / 1e6:,.0f} "
            f"| {disk / 1e6:,.0f} | {beside} | {ratio} |")


STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f; } .dim { fill: #57606a; } .title { font-weight: 600; font-size: 15px; }
.ours { fill: #1a7f37; } .first { fill: #6e7781; } .again { fill: #afb8c1; } .ours.again { fill: #4ac26b; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .dim { fill: #9198a1; } .ours { fill: #3fb950; } .first { fill: #8b949e; } .again { fill: #57606a; }
  .ours.again { fill: #238636; }
}
"""
LEFT, WIDTH, BAR, GAP = 150, 430, 12, 12


def chart(record):
    """Two bars for each contender: the first import and the re-import, in rows a second."""
    calls = ordered(record)
    entries = [("pinport", calls, "ours ")] + [(call["contender"], [call], "") for call in calls]
    rate = {}
    for name, of, _ in entries:
        for step in IMPORTS:
            rows = max(call["rows"] for call in of)
            rate[name, step] = rows / median([call for call in of if call["rows"] == rows], [name], step, "seconds")
    most, height = max(rate.values()), 78 + len(entries) * (2 * BAR + GAP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" width="720" height="{height}" role="img" '
        'aria-label="Rows imported a second by pinport and by databases">',
        f"<style>{STYLE}</style>",
        '<text class="title" x="0" y="16">Rows a second, durable, two CPUs</text>',
        '<rect class="first" x="0" y="30" width="12" height="12"/><text class="dim" x="18" y="41">first import</text>',
        '<rect class="again" x="120" y="30" width="12" height="12"/><text class="dim" x="138" y="41">the same ids again, other values</text>',
    ]
    y = 60
    for name, _, ours in entries:
        out.append(f'<text x="{LEFT - 10}" y="{y + BAR + 4}" text-anchor="end">{escape(name)}</text>')
        for step, kind in zip(IMPORTS, ["first", "again"]):
            width = rate[name, step] / most * WIDTH
            out.append(f'<rect class="{ours}{kind}" x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}"/>')
            out.append(f'<text class="dim" x="{LEFT + width + 6:.1f}" y="{y + BAR - 1}">{rate[name, step]:,.0f}</text>')
            y += BAR
        y += GAP
    return "\n".join(out) + "\n</svg>\n"
