//! Renders files from a context alone: pages and LaTeX through templates, CSV, figures.

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use serde::Serialize;
use serde_json::Value as Json;

use crate::domain::plural;

use super::ReportContext;
use super::ReportError;
use super::figures::{FONT_BOLD, FONT_REGULAR, Figure, figure_svg, inline_svg, png};
use super::tables::{CSV_COLUMNS, RenderedCell, ReportSection, ReportTable, TableCell};

/// A file of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportFile {
    /// Its path inside the report's folder.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// A table with its cells in words.
#[derive(Serialize)]
struct RenderedTable<'c> {
    id: &'c str,
    section: ReportSection,
    title: &'c str,
    #[serde(rename = "reading")]
    caption: &'c str,
    #[serde(rename = "head")]
    label_header: &'c str,
    columns: &'c [String],
    rows: Vec<RenderedRow<'c>>,
}

#[derive(Serialize)]
struct RenderedRow<'c> {
    heading: Option<&'c str>,
    label: &'c str,
    cells: Vec<RenderedCell>,
}

#[derive(Serialize)]
struct RenderedFigure<'c> {
    id: &'c str,
    section: ReportSection,
    title: &'c str,
    #[serde(rename = "reading")]
    caption: &'c str,
    svg: String,
}

/// A figure as files and for use inside a page.
#[derive(Clone, Debug)]
pub struct FigureFiles {
    /// The picture for use inside a page.
    pub inline_svg: String,
    /// The picture as files, `figures/<id>.svg` and `.png`.
    pub files: [ReportFile; 2],
}

/// All files of a report.
///
/// # Errors
/// If a figure cannot be drawn or a template is broken.
pub fn render(context: &ReportContext) -> Result<Vec<ReportFile>, ReportError> {
    let mut files = vec![text_file("context.json", context.to_json())];
    let mut figures = Vec::new();
    for figure in &context.figures {
        let drawn = render_figure(figure)?;
        figures.push(RenderedFigure {
            id: &figure.id,
            section: figure.section,
            title: &figure.title,
            caption: &figure.caption,
            svg: drawn.inline_svg,
        });
        files.extend(drawn.files);
    }
    let tables: Vec<RenderedTable<'_>> = context.tables.iter().map(rendered_table).collect();
    let environment = template_environment()?;
    for (table, raw) in tables.iter().zip(&context.tables) {
        let values = context! { table => template_value(table) };
        let tex = environment.get_template("table.tex")?.render(values)?;
        let path = format!("tables/{}", table.id);
        files.push(text_file(&format!("{path}.tex"), tex));
        files.push(text_file(&format!("{path}.csv"), table_csv(raw)));
    }
    let values = context! {
        report => template_value(context), tables => template_value(&tables),
        figures => template_value(&figures), fonts => template_value(&base64_fonts())
    };
    for page in ["index.html", "index.md"] {
        let text = environment.get_template(page)?.render(&values)?;
        files.push(text_file(page, text));
    }
    Ok(files)
}

/// Draws a figure.
///
/// # Errors
/// If it cannot be drawn.
pub fn render_figure(figure: &Figure) -> Result<FigureFiles, ReportError> {
    let drawing = figure_svg(figure)?;
    let path = format!("figures/{}", figure.id);
    let image = ReportFile {
        path: format!("{path}.png"),
        bytes: png(&figure.id, &drawing)?,
    };
    Ok(FigureFiles {
        inline_svg: inline_svg(&drawing, &format!("{}. {}", figure.title, figure.caption)),
        files: [text_file(&format!("{path}.svg"), drawing), image],
    })
}

/// The page `claims/<name>` in the style of a report, filled with `view`.
///
/// # Errors
/// If the template is broken.
pub fn page(name: &str, view: &impl Serialize) -> Result<ReportFile, ReportError> {
    let values =
        context! { view => template_value(view), fonts => template_value(&base64_fonts()) };
    let environment = template_environment()?;
    let template = environment.get_template(&format!("claims/{name}"))?;
    Ok(text_file(name, template.render(values)?))
}

/// The regular and the bold weight of the embedded font, in base 64.
fn base64_fonts() -> (String, String) {
    (encode_base64(FONT_REGULAR), encode_base64(FONT_BOLD))
}

fn text_file(path: &str, text: String) -> ReportFile {
    ReportFile {
        path: path.to_owned(),
        bytes: text.into_bytes(),
    }
}

fn rendered_table(table: &ReportTable) -> RenderedTable<'_> {
    let rows = table.rows.iter().map(|row| RenderedRow {
        heading: row.heading.as_deref(),
        label: &row.label,
        cells: row.cells.iter().map(TableCell::render).collect(),
    });
    RenderedTable {
        id: &table.id,
        section: table.section,
        title: &table.title,
        caption: &table.caption,
        label_header: &table.label_header,
        columns: &table.columns,
        rows: rows.collect(),
    }
}

/// The templates by name; the ending decides how text is escaped.
const TEMPLATES: [(&str, &str); 6] = [
    (
        "index.html",
        include_str!("../../templates/report/index.html.jinja"),
    ),
    (
        "style.css",
        include_str!("../../templates/report/style.css"),
    ),
    (
        "index.md",
        include_str!("../../templates/report/index.md.jinja"),
    ),
    (
        "table.tex",
        include_str!("../../templates/report/table.tex.jinja"),
    ),
    (
        "claims/index.html",
        include_str!("../../templates/claims/index.html.jinja"),
    ),
    (
        "claims/index.md",
        include_str!("../../templates/claims/index.md.jinja"),
    ),
];

/// The templates, with undefined values as errors and escaping by kind of file.
fn template_environment() -> Result<Environment<'static>, ReportError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true)
            .build()?,
    );
    environment.set_auto_escape_callback(|name| match name.rsplit('.').next() {
        Some("html" | "css") => AutoEscape::Html,
        _ => AutoEscape::None,
    });
    environment.add_filter("plural", |count: usize, noun: String| plural(count, &noun));
    environment.add_filter("md", |text: String| escape_markdown(&text));
    environment.add_filter("tex", |text: String| escape_latex(&text));
    environment.add_filter("fence", |text: String| fenced_block(&text));
    for (name, template) in TEMPLATES {
        environment.add_template(name, template)?;
    }
    Ok(environment)
}

/// Plain data as the templates see it.
fn template_value<T: Serialize>(data: &T) -> Value {
    fn value(json: Json) -> Value {
        match json {
            Json::Null => Value::from(()),
            Json::Bool(truth) => Value::from(truth),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Value::from(whole),
                (None, wide) => Value::from(wide.unwrap_or_default()),
            },
            Json::String(text) => Value::from(text),
            Json::Array(items) => Value::from(items.into_iter().map(value).collect::<Vec<_>>()),
            Json::Object(members) => Value::from_pairs(
                members
                    .into_iter()
                    .map(|(name, member)| (name, value(member))),
            ),
        }
    }
    value(serde_json::to_value(data).expect("a context is plain data"))
}

/// One line per row and column of the table, numbers as fractions.
fn table_csv(table: &ReportTable) -> String {
    let mut lines = vec![format!(
        "group,{},column,{}",
        csv_field(&table.label_header),
        CSV_COLUMNS.join(",")
    )];
    let mut group = "";
    for row in &table.rows {
        group = row.heading.as_deref().unwrap_or(group);
        for (column, cell) in table.columns.iter().zip(&row.cells) {
            let numbers = cell.csv_values();
            let values = CSV_COLUMNS.map(|name| {
                let found = numbers.iter().find(|(known, _)| *known == name);
                found.map_or_else(String::new, |(_, number)| csv_field(number))
            });
            let names = [group, &row.label, column].map(csv_field).join(",");
            lines.push(format!("{names},{}", values.join(",")));
        }
    }
    lines.join("\n") + "\n"
}

/// A CSV field, in quotes where it needs them (RFC 4180).
fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Text that Markdown takes literally, within a paragraph or a table cell. Brackets around numbers stay
/// as they are, so that intervals can be read in the raw file too.
fn escape_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        let next = letters.peek().copied().unwrap_or(' ');
        let special = match c {
            '\\' | '`' | '*' | '_' | '{' | '}' | '<' | '>' | '#' | '|' | '~' => true,
            '[' => !(next.is_ascii_digit() || next == '\u{2212}'),
            ']' => "([".contains(next),
            _ => false,
        };
        if special {
            escaped.push('\\');
        }
        escaped.push(if c == '\n' || c == '\r' { ' ' } else { c });
    }
    escaped
}

/// A fenced block that the text cannot close.
fn fenced_block(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let ticks = "`".repeat(longest.max(2) + 1);
    format!("{ticks}text\n{}\n{ticks}", text.trim_end_matches('\n'))
}

/// Text that LaTeX takes literally.
fn escape_latex(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '<' => escaped.push_str("\\textless{}"),
            '>' => escaped.push_str("\\textgreater{}"),
            '`' => escaped.push_str("\\textasciigrave{}"),
            '\u{2212}' => escaped.push_str("$-$"),
            '→' => escaped.push_str("$\\to$"),
            '≥' => escaped.push_str("$\\ge$"),
            '·' => escaped.push_str("$\\cdot$"),
            '–' => escaped.push_str("--"),
            '\n' | '\r' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Base 64 (RFC 4648), for fonts inside the page.
fn encode_base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let all = chunk
            .iter()
            .fold(0_u32, |all, &byte| (all << 8) | u32::from(byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(all >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::super::fixtures;
    use super::*;

    /// The report of the sample, rendered once for all tests.
    fn files() -> &'static [ReportFile] {
        static FILES: LazyLock<Vec<ReportFile>> =
            LazyLock::new(|| render(&ReportContext::from_data(&fixtures::sample_data())).unwrap());
        &FILES
    }

    fn text(files: &[ReportFile], path: &str) -> String {
        let file = files
            .iter()
            .find(|file| file.path == path)
            .unwrap_or_else(|| panic!("{path} is missing"));
        String::from_utf8(file.bytes.clone()).unwrap()
    }

    #[test]
    fn base64_by_hand() {
        assert_eq!(
            ["f", "fo", "foo", "foob"].map(|x| encode_base64(x.as_bytes())),
            ["Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]
        );
    }

    #[test]
    fn specials_are_taken_literally() {
        assert_eq!(
            escape_markdown("a|b *c* <d>\n_e_"),
            r"a\|b \*c\* \<d\> \_e\_"
        );
        assert_eq!(
            escape_markdown("up 3.1 [−2.0, 8.2], [x](y)"),
            r"up 3.1 [−2.0, 8.2], \[x\](y)"
        );
        assert_eq!(
            escape_latex(r"50 % of {x_1} & \y ~ −3"),
            r"50 \% of \{x\_1\} \& \textbackslash{}y \textasciitilde{} $-$3"
        );
        assert_eq!(csv_field("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(fenced_block("```\nx"), "````text\n```\nx\n````");
    }

    #[test]
    fn the_page_is_one_file_that_needs_no_network() {
        let page = text(files(), "index.html");
        let outside = page.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !outside.contains("http") && !outside.contains("src=") && !outside.contains("@import")
        );
        assert!(
            page.contains("<svg class=\"figure\"") && page.contains("prefers-color-scheme: dark")
        );
    }

    #[test]
    fn what_runs_say_cannot_become_markup() {
        let mut data = fixtures::sample_data();
        data.question = "Is <script>alert(1)</script> a *question* | or not?".to_owned();
        let files = render(&ReportContext::from_data(&data)).unwrap();
        assert!(!text(&files, "index.html").contains("<script>alert"));
        assert!(
            text(&files, "index.md")
                .contains(r"Is \<script\>alert(1)\</script\> a \*question\* \| or not?")
        );
    }

    #[test]
    fn rendering_depends_on_the_context_file_alone() {
        let context = ReportContext::from_data(&fixtures::sample_data());
        let back: ReportContext = serde_json::from_str(&context.to_json()).unwrap();
        assert_eq!(files(), render(&back).unwrap());
    }

    #[test]
    fn the_main_table_as_latex() {
        insta::assert_snapshot!(text(files(), "tables/main-base-weak.tex"), @r#"
            % base = weak; needs \usepackage{booktabs}.
            \begin{table}[t]
            \centering\small
            \caption{base = weak. Percent of problems solved, with the 95 \% interval below and the paired gain over the row's own m1@t1 in parentheses (60 problems, 2 seeds in the last row). m1@t5 votes over 5 turns of one dialogue, and m5@t1 votes over 5 independent first turns. p1@t5 counts a problem as solved if any turn is right.}
            \label{tab:main-base-weak}
            \begin{tabular}{lrrrrrr}
            \toprule
            checkpoint & m1@t1 & m5@t1 & m1@t5 & p1@t5 & m1@t5 $-$ m1@t1 & m1@t5 $-$ m5@t1 \\
            \midrule
            base & \begin{tabular}[t]{@{}r@{}}26.7\\{}{\scriptsize [19.2, 34.2]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}28.3 (+1.7)\\{}{\scriptsize [20.8, 36.7]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}20.0 ($-$6.7)\\{}{\scriptsize [14.2, 26.7]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}29.2 (+2.5)\\{}{\scriptsize [21.7, 36.7]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}$-$6.7\\{}{\scriptsize [$-$12.5, 0.0]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}$-$8.3\\{}{\scriptsize [$-$17.5, 0.0]}\end{tabular} \\
            sft & \begin{tabular}[t]{@{}r@{}}51.7\\{}{\scriptsize [40.0, 65.0]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}86.7 (+35.0)\\{}{\scriptsize [78.3, 95.0]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}46.7 ($-$5.0)\\{}{\scriptsize [35.0, 60.0]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}55.0 (+3.3)\\{}{\scriptsize [43.3, 66.7]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}$-$5.0\\{}{\scriptsize [$-$13.3, 3.3]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}$-$40.0\\{}{\scriptsize [$-$53.3, $-$26.7]}\end{tabular} \\
            round 1 & \begin{tabular}[t]{@{}r@{}}40.8\\{}{\scriptsize [31.7, 50.8]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}56.7 (+15.8)\\{}{\scriptsize [46.6, 66.7]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}60.8 (+20.0)\\{}{\scriptsize [51.7, 70.0]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}75.8 (+35.0)\\{}{\scriptsize [68.3, 83.3]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}+20.0\\{}{\scriptsize [10.8, 29.2]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}+4.2\\{}{\scriptsize [$-$7.5, 16.7]}\end{tabular} \\
            round 2 & \begin{tabular}[t]{@{}r@{}}50.8\\{}{\scriptsize [41.7, 60.8]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}79.2 (+28.3)\\{}{\scriptsize [70.0, 87.5]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}76.7 (+25.8)\\{}{\scriptsize [70.0, 83.3]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}81.7 (+30.8)\\{}{\scriptsize [75.0, 88.3]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}+25.8\\{}{\scriptsize [18.3, 34.2]}\end{tabular} & \begin{tabular}[t]{@{}r@{}}$-$2.5\\{}{\scriptsize [$-$11.7, 6.7]}\end{tabular} \\
            \bottomrule
            \end{tabular}
            \end{table}
        "#);
    }

    #[test]
    fn the_main_table_as_csv() {
        let csv = text(files(), "tables/main-base-weak.csv");
        insta::assert_snapshot!(csv.lines().take(8).collect::<Vec<_>>().join("\n"), @"
            group,checkpoint,column,value,low,high,difference,difference_low,difference_high,p,p_holm,detectable,verdict,between_seeds,problems,seeds,text
            ,base,m1@t1,0.266667,0.191667,0.341667,,,,,,,,,60,2,
            ,base,m5@t1,0.283333,0.208333,0.366667,0.016667,-0.075,0.108333,,,,,,60,2,
            ,base,m1@t5,0.2,0.141667,0.266667,-0.066667,-0.125,0,,,,,,60,2,
            ,base,p1@t5,0.291667,0.216667,0.366667,0.025,0,0.05,,,,,,60,2,
            ,base,m1@t5 − m1@t1,,,,-0.066667,-0.125,0,,,,,,60,2,
            ,base,m1@t5 − m5@t1,,,,-0.083333,-0.175,0,,,,,,60,2,
            ,sft,m1@t1,0.516667,0.4,0.65,,,,,,,,,60,1,
        ");
    }

    #[test]
    fn the_top_of_the_page_as_markdown() {
        let page = text(files(), "index.md");
        insta::assert_snapshot!(page.split("\n### ").take(2).collect::<Vec<_>>().join("\n### "), @"
            # ablations

            Does recursive introspection teach a small model to correct itself?

            > **base = weak.** After round 2, voting over 5 turns (m1@t5) solves 76.7 % [70.0, 83.3]: 25.8 points [18.3, 34.2] above the same model's first turn (m1@t1). That is not clearly different (−2.5 points [−11.7, 6.7]) from its own vote over 5 parallel first turns (m5@t1). The base shows no clear change over its turns (−6.7 points [−12.5, 0.0]). 60 test problems, 2 training seeds (standard deviation between seeds 9.4 points).


            > **base = strong.** After round 2, voting over 5 turns (m1@t5) solves 86.7 % [78.3, 95.0]: 15.0 points [3.3, 28.3] above the same model's first turn (m1@t1). That is not clearly different (−8.3 points [−18.3, 0.0]) from its own vote over 5 parallel first turns (m5@t1). The base shows no clear change over its turns (0.0 points [0.0, 0.0]). 60 test problems, one training seed, so the spread between trainings is unknown.


            5 conditions, 6 runs: 6 done, 0 failed, 0 missing; 2 training seeds, 60 test problems.

            ## Main results

            ### base = weak

            | checkpoint | m1@t1 | m5@t1 | m1@t5 | p1@t5 | m1@t5 − m1@t1 | m1@t5 − m5@t1 |
            |---|---:|---:|---:|---:|---:|---:|
            | base | 26.7 [19.2, 34.2] | 28.3 (+1.7) [20.8, 36.7] | 20.0 (−6.7) [14.2, 26.7] | 29.2 (+2.5) [21.7, 36.7] | −6.7 [−12.5, 0.0] | −8.3 [−17.5, 0.0] |
            | sft | 51.7 [40.0, 65.0] | 86.7 (+35.0) [78.3, 95.0] | 46.7 (−5.0) [35.0, 60.0] | 55.0 (+3.3) [43.3, 66.7] | −5.0 [−13.3, 3.3] | −40.0 [−53.3, −26.7] |
            | round 1 | 40.8 [31.7, 50.8] | 56.7 (+15.8) [46.6, 66.7] | 60.8 (+20.0) [51.7, 70.0] | 75.8 (+35.0) [68.3, 83.3] | +20.0 [10.8, 29.2] | +4.2 [−7.5, 16.7] |
            | round 2 | 50.8 [41.7, 60.8] | 79.2 (+28.3) [70.0, 87.5] | 76.7 (+25.8) [70.0, 83.3] | 81.7 (+30.8) [75.0, 88.3] | +25.8 [18.3, 34.2] | −2.5 [−11.7, 6.7] |

            Percent of problems solved, with the 95 % interval below and the paired gain over the row's own m1@t1 in parentheses (60 problems, 2 seeds in the last row). m1@t5 votes over 5 turns of one dialogue, and m5@t1 votes over 5 independent first turns. p1@t5 counts a problem as solved if any turn is right.
        ");
    }
}
