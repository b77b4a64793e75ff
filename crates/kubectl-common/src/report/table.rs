//! Tables as kubectl prints them: upper-case headers, three spaces between columns, no borders.

use anstyle::{AnsiColor, Style};
use comfy_table::presets::NOTHING as NO_BORDERS;
use comfy_table::{Attribute, Color, ColumnConstraint, ContentArrangement};

use super::fit;

/// What an empty cell shows.
const NOTHING: &str = "<none>";

/// The narrowest column that is still worth wrapping; below it the terminal may do it.
const NARROWEST: u16 = 16;

/// How a cell is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// It is well.
    Good,
    /// It deserves a look.
    Warning,
    /// It is in the way.
    Bad,
    /// It matters less than the rest.
    Quiet,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Quiet => Style::new().dimmed(),
        }
    }

    fn of_cell(self, cell: comfy_table::Cell) -> comfy_table::Cell {
        match self {
            Self::Plain => cell,
            Self::Good => cell.fg(Color::DarkGreen),
            Self::Warning => cell.fg(Color::DarkYellow),
            Self::Bad => cell.fg(Color::DarkRed),
            Self::Quiet => cell.add_attribute(Attribute::Dim),
        }
    }

    /// Returns `text` in the colour of the tone; [`Output`](super::Output) takes colours out where they do not belong.
    pub fn paint(self, text: &str) -> String {
        let style = self.style();
        format!("{style}{text}{style:#}")
    }
}

/// One cell; text without a tone is converted by `into`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// Makes a cell that is read in the given tone; an empty text shows as `<none>`. A cell is one line: what a terminal
    /// obeys, line breaks included, appears as its number.
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        let text = fit::line(&text.into());
        Self { text: if text.is_empty() { NOTHING.to_owned() } else { text }, tone }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// A table; its last column is wrapped when the terminal is too narrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    headers: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Makes a table of columns with these headers.
    pub fn new<H: Into<String>>(headers: impl IntoIterator<Item = H>) -> Self {
        Self { headers: headers.into_iter().map(|header| header.into().to_uppercase()).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells show as `<none>`, cells beyond the headers are left out.
    pub fn row<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) -> &mut Self {
        let mut row: Vec<_> = cells.into_iter().map(Into::into).collect();
        row.resize_with(self.headers.len(), || NOTHING.into());
        self.rows.push(row);
        self
    }

    /// Returns whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the table, without a line break at the end, as wide as it is or as `width` allows.
    pub fn render(&self, width: Option<u16>) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(NO_BORDERS).set_header(self.headers.clone()).enforce_styling().style_text_only();
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| cell.tone.of_cell(comfy_table::Cell::new(&cell.text))));
        }
        let last = self.headers.len().saturating_sub(1);
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, if index == last { 0 } else { 3 }));
            if index != last {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        table.set_content_arrangement(ContentArrangement::Disabled);
        let fixed: u16 = table.column_max_content_widths().iter().take(last).map(|column| column + 3).sum();
        if let Some(width) = width.filter(|width| *width >= fixed.saturating_add(NARROWEST)) {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods() -> Table {
        let mut table = Table::new(["Namespace", "pod", "reason"]);
        table.row(["shop", "web-1", "its budget web allows no disruption until a replacement is ready"]);
        table.row(["kube-system", "a-pod-with-a-long-name", ""]);
        table
    }

    #[test]
    fn looks_like_kubectls() {
        let expected = "\
NAMESPACE     POD                      REASON
shop          web-1                    its budget web allows no disruption until a replacement is ready
kube-system   a-pod-with-a-long-name   <none>";
        assert_eq!(pods().render(None), expected);
        assert_eq!(pods().render(Some(200)), expected);
    }

    #[test]
    fn wraps_only_the_last_column_on_a_terminal() {
        let expected = "\
NAMESPACE     POD                      REASON
shop          web-1                    its budget web allows no
                                       disruption until a
                                       replacement is ready
kube-system   a-pod-with-a-long-name   <none>";
        assert_eq!(pods().render(Some(64)), expected);
    }

    #[test]
    fn leaves_a_hopelessly_narrow_terminal_to_itself() {
        assert_eq!(pods().render(Some(40)), pods().render(None));
    }

    #[test]
    fn rows_are_made_to_fit_the_headers() {
        let mut table = Table::new(["A", "B"]);
        table.row(["1"]).row(["1", "2", "3"]).row(Vec::<String>::new());
        assert_eq!(table.render(None), "A        B\n1        <none>\n1        2\n<none>   <none>");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let mut table = Table::new(["NODE", "STATE"]);
        table.row([Cell::new("node-1", Tone::Bad), Cell::new("drained", Tone::Good)]);
        table.row(["n", "café"]);
        let rendered = table.render(None);
        assert!(rendered.contains("\u{1b}["), "{rendered:?}");
        let plain = anstream::adapter::strip_str(&rendered).to_string();
        assert_eq!(plain, "NODE     STATE\nnode-1   drained\nn        café");
    }

    #[test]
    fn an_empty_table_is_its_headers() {
        assert!(Table::new(["A"]).is_empty());
        assert_eq!(Table::new(["A", "b"]).render(Some(80)), "A   B");
    }
}
