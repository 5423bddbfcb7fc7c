//! Elastic columns, as Go's `text/tabwriter` makes them and so kubectl's output
//! has them: cells end with a tab, a column is as wide as its widest cell in
//! the lines that follow one another. Pure.

use std::borrow::Cow;

/// A text that cannot steer the terminal it is printed on: whoever writes an Event's
/// message must not clear the screen of whoever reads it.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    if text.contains(['\u{1b}', '\r']) {
        Cow::Owned(text.replace('\u{1b}', "^[").replace('\r', "\\r"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Text with tabs to text with blanks; `padding` blanks part two columns, which
/// are at least `least` wide.
pub(super) fn align(text: &str, least: usize, padding: usize) -> String {
    let lines: Vec<Vec<&str>> = text.split_terminator('\n').map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|line| vec![0; line.len().saturating_sub(1)]).collect();
    let columns = widths.iter().map(Vec::len).max().unwrap_or_default();
    for column in 0..columns {
        let mut from = 0;
        while from < lines.len() {
            let block = widths.iter().skip(from).take_while(|widths| column < widths.len()).count();
            let cells = lines.iter().skip(from).take(block).filter_map(|line| line.get(column));
            let widest = cells.map(|cell| cell.chars().count() + padding).max().unwrap_or_default().max(least);
            for width in widths.iter_mut().skip(from).take(block).filter_map(|widths| widths.get_mut(column)) {
                *width = widest;
            }
            from += block.max(1);
        }
    }
    let mut out = String::with_capacity(text.len() * 2);
    for (line, widths) in lines.iter().zip(&widths) {
        for (at, cell) in line.iter().enumerate() {
            out.push_str(cell);
            if let Some(width) = widths.get(at) {
                out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_as_wide_as_its_block() {
        assert_eq!(align("Name:\ta\nNamespace:\tb\n", 0, 2), "Name:       a\nNamespace:  b\n");
        assert_eq!(align("a\tb\tc\nlong\tx\ty\n", 0, 2), "a     b  c\nlong  x  y\n");
    }

    #[test]
    fn a_line_without_the_cell_ends_the_block() {
        assert_eq!(align("a\tb\nline\nlonger\tc\n", 0, 2), "a  b\nline\nlonger  c\n");
        assert_eq!(align("  x:\t1\n    yy:\t2\nEvents:\t<none>\n", 0, 2), "  x:     1\n    yy:  2\nEvents:  <none>\n");
    }

    #[test]
    fn columns_have_a_least_width() {
        assert_eq!(align("A\tB\n", 6, 3), "A     B\n");
        assert_eq!(align("", 6, 3), "");
    }
}
