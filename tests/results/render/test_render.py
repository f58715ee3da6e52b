"""Renderers against golden text, and against labels and notes that try to break the format."""

import csv
import io
import re
from html import unescape

import pytest
from markdown_it import MarkdownIt

from results.render import Entry, TableView, formats, render, to_json
from results.render.github import WIDTH
from results.render.grid import printable


def small():
    entries = [
        Entry("2 stages", "GFLOPs", "gflops", 302.84, 302.0, "done", inferred="r = 74 at 1, 13", record="a1"),
        Entry("2 stages", "Top-1", "top1", 84.375, 84.5, "partial", evaluated=60, listed=64, record="b2"),
        Entry("2 stages", "clips/s", "clips_per_s", 31.26, None, "done", flags=["IQR is 14 % of the median"]),
        Entry("3 stages", "GFLOPs", "gflops", 308.0, 308.0, "done"),
        Entry("3 stages", "Top-1", "top1", None, 85.0, "running", progress=0.379),
        Entry("3 stages", "clips/s", "clips_per_s", None, None, "failed", note="out of memory"),
        Entry("4 stages", "GFLOPs", "gflops", None, 305.0),
        Entry("4 stages", "Top-1", "top1", 96.0, 84.8, "projected", note="from 3 of 8 shards"),
    ]
    return TableView(
        name="table3",
        title="Table 3. Number of STA blocks",
        corner="STA",
        rows=["2 stages", "3 stages", "4 stages"],
        columns=["GFLOPs", "Top-1", "clips/s"],
        entries={(entry.row, entry.column): entry for entry in entries},
        notes=["paper: ViT-L on Kinetics-400"],
    )


GITHUB = """\
### Table 3. Number of STA blocks

| STA        | GFLOPs measured | paper | diff | Top-1 measured | paper |   diff | clips/s |
|------------|-----------------|-------|------|----------------|-------|--------|---------|
| 2 stages † |           302.8 |   302 | +0.8 |  84.38 (60/64) |  84.5 |  -0.12 |  31.3 ! |
| 3 stages   |           308.0 |   308 | +0.0 |   running 37 % |  85.0 |        |  failed |
| 4 stages   |         pending |   305 |      |         ~96.00 |  84.8 | +11.20 |         |

- paper: ViT-L on Kinetics-400
- † 2 stages: inferred, r = 74 at 1, 13
- ~ projected, not measured
- ! 2 stages, clips/s: IQR is 14 % of the median
- 3 stages, clips/s failed: out of memory
- 4 stages, Top-1: from 3 of 8 shards
"""

LATEX = r"""\begin{table}[t]
\centering
\small
\setlength{\tabcolsep}{4pt}
\caption{Table 3. Number of STA blocks}
\label{tab:table3}
\begin{tabular}{lrrrrrrr}
\toprule
& \multicolumn{3}{c}{GFLOPs} & \multicolumn{3}{c}{Top-1} & \\
\cmidrule(lr){2-4} \cmidrule(lr){5-7}
STA & measured & paper & diff & measured & paper & diff & clips/s \\
\midrule
2 stages \textsuperscript{\dag} & 302.8 & 302 & +0.8 & 84.38\textsuperscript{a} & 84.5 & $-$0.12 & 31.3 ! \\
3 stages & 308.0 & 308 & +0.0 & run 37 \% & 85.0 & & failed \\
4 stages & pending & 305 & & \textasciitilde{}96.00 & 84.8 & +11.20 & \\
\bottomrule
\end{tabular}
\par\smallskip
\begin{minipage}{\linewidth}\footnotesize\raggedright
paper: ViT-L on Kinetics-400\par
\textsuperscript{a} partial: 60 of 64 videos\par
\textsuperscript{\dag} 2 stages: inferred, r = 74 at 1, 13\par
\textasciitilde{} projected, not measured\par
! 2 stages, clips/s: IQR is 14 \% of the median\par
3 stages, clips/s failed: out of memory\par
4 stages, Top-1: from 3 of 8 shards\par
\end{minipage}
\end{table}
"""

CSV = """\
table,row,column,metric,value,published,difference,status,note,record,inferred
table3,2 stages,GFLOPs,gflops,302.84,302.0,0.84,done,,a1,"r = 74 at 1, 13"
table3,2 stages,Top-1,top1,84.375,84.5,-0.125,partial,60 of 64 videos,b2,
table3,2 stages,clips/s,clips_per_s,31.26,,,done,IQR is 14 % of the median,,
table3,3 stages,GFLOPs,gflops,308.0,308.0,0.0,done,,,
table3,3 stages,Top-1,top1,,85.0,,running,37 %,,
table3,3 stages,clips/s,clips_per_s,,,,failed,out of memory,,
table3,4 stages,GFLOPs,gflops,,305.0,,pending,,,
table3,4 stages,Top-1,top1,96.0,84.8,11.2,projected,from 3 of 8 shards,,
"""


def test_the_formats_are_the_files():
    assert formats() == ["csv", "github", "latex"]
    with pytest.raises(ValueError, match="'word' is none of csv, github, latex"):
        render([small()], "word")


def test_github():
    assert render([small()], "github") == GITHUB


def test_latex():
    # How far tabulate pads its source is not the point.
    squeezed = re.sub(r"(?m)^ +", "", re.sub(r" +", " ", render([small()], "latex")))
    assert squeezed == LATEX


def test_csv():
    assert render([small()], "csv") == CSV


def test_json():
    first, second, *_ = to_json([small()])
    assert first == {
        "table": "table3",
        "row": "2 stages",
        "column": "GFLOPs",
        "metric": "gflops",
        "value": 302.84,
        "published": 302.0,
        "status": "done",
        "record": "a1",
        "note": "",
        "inferred": "r = 74 at 1, 13",
    }
    assert (second["status"], second["note"]) == ("partial", "60 of 64 videos")


def test_several_tables_follow_each_other():
    views = [small(), small()]
    assert render(views, "github") == f"{GITHUB}\n{GITHUB}"
    assert render(views, "latex").count(r"\end{table}") == 2
    assert render(views, "csv") == CSV + CSV.split("\n", 1)[1]
    assert [render([], name) for name in ("github", "latex")] == ["", ""]


def grid(status, rows=("2x3", "16x3"), columns=("r=0", "r=48", "r=64", "r=80"), **values):
    entries = {
        (row, column): Entry(row, column, "top1", published=84.91, status=status, **values)
        for row in rows
        for column in columns
    }
    return TableView("table2", "Table 2", "Views", list(rows), list(columns), entries)


@pytest.mark.parametrize(
    ("view", "cell"),
    [
        (grid("done", value=74.11), "| 74.11 | 84.91 | -10.80 |"),
        (grid("partial", value=74.11, evaluated=19790, listed=19796), "| 74.11ᵃ | 84.91 | -10.80 |"),
        (grid("done", value=74.11, flags=["slow"]), "| 74.11 ! | 84.91 | -10.80 |"),
        (grid("running", progress=0.999), "| run 99 % | 84.91 |      |"),
        (grid("pending"), "| pending | 84.91 |      |"),
        (grid("failed", note="no such file"), "| failed | 84.91 |      |"),
    ],
)
def test_four_columns_beside_the_paper_fit_a_terminal(view, cell):
    lines = render([view], "github").splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert len({len(line) for line in lines if line.startswith("|")}) == 1
    assert cell in lines[4]


def test_partial_values_of_different_coverage_are_told_apart():
    view = grid("partial", value=80.0, evaluated=60, listed=64)
    odd = Entry("2x3", "r=48", "top1", 80.0, 84.91, "partial", evaluated=61, listed=64)
    view.entries["2x3", "r=48"] = odd
    text = render([view], "github")
    assert "- ᵃ partial: 60 of 64 videos\n- ᵇ partial: 61 of 64 videos\n" in text
    assert text.count("80.00ᵇ") == 1
    for number, key in enumerate(view.entries):
        view.entries[key] = Entry(*key, "top1", 80.0, 84.91, "partial", evaluated=number, listed=64)
    many = grid("done", rows=[f"{n}x3" for n in range(40)], value=80.0)
    for number, key in enumerate(many.entries):
        many.entries[key] = Entry(*key, "top1", 80.0, 84.91, "partial", evaluated=number, listed=160)
    assert "80.00 (159/160)" in render([many], "github")


def test_a_note_shared_by_many_cells_is_said_once():
    text = render([grid("failed", note="labels.txt: line 3: no label")], "github")
    assert text.count("no label") == 1
    assert "- 8 cells failed: labels.txt: line 3: no label\n" in text


def test_columns_that_nothing_was_published_for_stand_alone():
    view = small()
    view.columns[:] = ["clips/s"]
    assert "| STA      | clips/s |\n" in render([view], "github")
    assert r"\cmidrule" not in render([view], "latex")


def hostile(text):
    entries = {(text, text): Entry(text, text, "top1", 80.0, 81.0, "done", note=text, flags=[text], inferred=text)}
    return TableView("a_b", text, text, [text], [text], entries, [text])


NASTY = [
    r"a_b & 5 % of #1 {x} $y$ ^z ~w \input{/etc/passwd}",
    "[t] starts like an option",
    "new\nline\r\n\ttab \x1b[31mred\x07 \x00",
    "pipe | `code` <script> [link](javascript:x) *bold*",
    'say "hi", ok; a,b',
    "-1",
    "=HYPERLINK(1)",
    "+1 ~~gone~~ ~so~ &copy; &#64; __init__ _x_ snake_case",
    "@team a@b.org see https://x.org/a_b, www.x.org; #12 owner/repo#3 :smile: $x$ Cost@ 2 GHz",
    "视频/ü.mp4 → 😀 Łódź ą \u0301",
    "# 1",
    "> a",
    "1. a",
    "- a",
    "---",
    "~~~",
]


@pytest.mark.parametrize("text", NASTY)
def test_latex_stays_well_formed(text):
    source = render([hostile(text)], "latex")
    assert re.findall(r"\\(begin|end)\{(\w+)\}", source) == [
        ("begin", "table"),
        ("begin", "tabular"),
        ("end", "tabular"),
        ("begin", "minipage"),
        ("end", "minipage"),
        ("end", "table"),
    ]
    assert r"\label{tab:a-b}" in source
    commands = set(re.findall(r"\\([A-Za-z]+)", source))
    assert "input" not in commands
    bare = re.sub(r"\\[\\&%$#_{}]|\\\^\{\}", "", source)
    assert bare.count("{") == bare.count("}")
    assert not set("%#_^") & set(bare)
    assert bare.count("$") % 2 == 0
    body = source.split("\\midrule\n")[1].split("\\bottomrule")[0]
    assert len(re.findall(r"(?<!\\)&", body)) == 3
    assert not body.lstrip().startswith("[")
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", source)


def test_latex_escapes_each_special_character():
    assert r"a\_b \& 5 \% of \#1 \{x\} \$y\$ \^{}z \textasciitilde{}w \textbackslash{}input" in render(
        [hostile(NASTY[0])], "latex"
    )


@pytest.mark.parametrize("text", NASTY)
def test_markdown_stays_one_table(text):
    lines = render([hostile(text)], "github").splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 3
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {5}
    assert all(line.isprintable() for line in lines)
    assert not re.search(r"(?<!\\)[<`*\[]", "".join(lines).replace("<!-- -->", "").replace("[31m", ""))


@pytest.mark.parametrize("text", NASTY)
def test_github_shows_text_as_it_is(text):
    """As a Markdown reader sees it; GitHub then looks for links and names in each run of text between two tags."""
    html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(render([hostile(text)], "github"))
    tags = {tag.strip("</> ") for tag in re.findall(r"<[^>]*>", html.replace(' style="text-align:left"', ""))}
    tags = {tag.replace(' style="text-align:right"', "") for tag in tags}
    assert tags <= {"h3", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "!-- --"}
    runs = [unescape(run) for run in re.split(r"<[^>]*>", html)]
    plain = printable(text)
    linked = r"://\S|(?i:\bwww\.)|@\w|#\d|:[a-z+][\w+-]*:"
    assert not any(re.search(linked, run) for run in runs)
    shown = [unescape(re.sub("<!--.*?-->", "", part)) for part in re.findall(r"<(?:h3|t[hd]|li)[^>]*>(.*)</", html)]
    assert shown[2] in (plain, f"{plain} measured")
    assert shown == [
        *(plain, plain, shown[2], "paper", "diff", f"{plain} †", "80.00 !", "81", "-1.00", plain),
        *(f"† {plain}: inferred, {plain}", f"! {plain}, {plain}: {plain}", f"{plain}, {plain}: {plain}"),
    ]


@pytest.mark.parametrize("text", NASTY)
def test_latex_has_only_characters_that_pdflatex_takes(text):
    source = render([hostile(text)], "latex")
    assert set(source) - {chr(code) for code in range(32, 127)} <= set("\nüŁódź")


def test_latex_names_other_characters_by_their_code():
    source = render([hostile("视频 é ü Ł 😀 → ą 5 ±")], "latex")
    code = r"\textbackslash{}"
    expected = rf"{code}u89c6{code}u9891 é ü Ł {code}U0001f600 $\to$ {code}u0105 5 $\pm$"
    assert rf"\caption{{{expected}}}" in source
    assert rf"\multicolumn{{3}}{{c}}{{{expected}}}" in source


def test_latex_has_greek_letters_and_signs():
    source = render([hostile("β η ς Λ Ω ≤ ≥ ≈")], "latex")
    assert r"\caption{$\beta$ $\eta$ $\varsigma$ $\Lambda$ $\Omega$ $\le$ $\ge$ $\approx$}" in source


@pytest.mark.parametrize("text", NASTY)
def test_csv_reads_back(text):
    (line,) = csv.DictReader(io.StringIO(render([hostile(text)], "csv"), newline=""))
    text = text.replace("\r\n", "\n")
    safe = f"'{text}" if text[0] in "=+-@" else text
    assert (line["row"], line["column"], line["inferred"]) == (safe, safe, safe)
    assert (float(line["value"]), float(line["difference"])) == (80.0, -1.0)
    assert line["note"] == f"{safe}; {text}"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_csv_text_is_no_formula_and_numbers_stay_numbers(text):
    entry = Entry(text, text, "gflops", -2.0, 1.0, "done", note=text)
    view = TableView(text, text, text, [text], [text], {(text, text): entry})
    (line,) = csv.DictReader(io.StringIO(render([view], "csv"), newline=""))
    assert {line[name] for name in ("table", "row", "column", "note")} == {f"'{text}".replace("\r", "\n")}
    assert (line["value"], line["published"], line["difference"]) == ("-2.0", "1.0", "-3.0")


def test_an_entry_needs_a_value_to_be_done():
    with pytest.raises(AssertionError):
        Entry("a", "b", "top1", status="done")
