//! Text to nodes.

use serde_json::{Number, Value};

use super::{Node, Operator, Slice};

/// How deep filters and unions may stand in one another.
const DEPTH_MAX: usize = 32;

/// The nodes of a whole template.
pub(super) fn template(text: &str) -> Result<Vec<Node>, String> {
    let mut flat = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        if !before.is_empty() {
            flat.push(Piece::Node(Node::Text(before.to_owned())));
        }
        let mut reader = Reader { rest: from.get(1..).unwrap_or_default(), depth: 0 };
        flat.push(reader.braces()?);
        rest = reader.rest;
    }
    if !rest.is_empty() {
        flat.push(Piece::Node(Node::Text(rest.to_owned())));
    }
    let mut pieces = flat.into_iter();
    let nodes = nest(&mut pieces, false)?;
    Ok(nodes)
}

/// One pair of braces, or the text between two.
enum Piece {
    Node(Node),
    Range(Vec<Node>),
    End,
}

/// Puts what stands between `range` and `end` into the range.
fn nest(pieces: &mut impl Iterator<Item = Piece>, within: bool) -> Result<Vec<Node>, String> {
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Node(node) => nodes.push(node),
            Piece::Range(path) => nodes.push(Node::Range { path, body: nest(pieces, true)? }),
            Piece::End if within => return Ok(nodes),
            Piece::End => return Err("not in range, nothing to end".to_owned()),
        }
    }
    // kubectl lets the last `end` be forgotten.
    Ok(nodes)
}

struct Reader<'t> {
    rest: &'t str,
    depth: usize,
}

impl<'t> Reader<'t> {
    /// What stands up to the closing brace.
    fn braces(&mut self) -> Result<Piece, String> {
        let mut nodes = Vec::new();
        let mut word = None;
        loop {
            match self.rest.chars().next() {
                None => return Err("unclosed action".to_owned()),
                Some('}') => {
                    self.skip(1);
                    break;
                }
                Some(c) if c.is_ascii_alphabetic() => match self.identifier() {
                    "true" => nodes.push(Node::Literal(Value::Bool(true))),
                    "false" => nodes.push(Node::Literal(Value::Bool(false))),
                    known @ ("range" | "end") if nodes.is_empty() && word.is_none() => word = Some(known),
                    other => return Err(format!("unrecognized identifier {other}")),
                },
                Some(_) => self.step(&mut nodes)?,
            }
        }
        Ok(match word {
            Some("range") => Piece::Range(nodes),
            Some(_) => Piece::End,
            None => Piece::Node(Node::Path(nodes)),
        })
    }

    /// The steps of a path that stands alone, in a filter or a union.
    fn path(text: &'t str, depth: usize) -> Result<Vec<Node>, String> {
        if depth > DEPTH_MAX {
            return Err(format!("filters stand more than {DEPTH_MAX} deep in one another"));
        }
        let mut reader = Reader { rest: text.trim(), depth };
        let mut nodes = Vec::new();
        while let Some(c) = reader.rest.chars().next() {
            if c.is_ascii_alphabetic() {
                match reader.identifier() {
                    "true" => nodes.push(Node::Literal(Value::Bool(true))),
                    "false" => nodes.push(Node::Literal(Value::Bool(false))),
                    other => return Err(format!("unrecognized identifier {other}")),
                }
            } else {
                reader.step(&mut nodes)?;
            }
        }
        Ok(nodes)
    }

    fn step(&mut self, nodes: &mut Vec<Node>) -> Result<(), String> {
        if self.rest.starts_with("[?(") {
            nodes.push(self.filter()?);
            return Ok(());
        }
        if self.rest.starts_with("..") {
            self.skip(2);
            nodes.push(Node::Recursive);
            if !self.rest.starts_with(['[', '.', '}']) && !self.rest.is_empty() {
                nodes.push(self.field());
            }
            return Ok(());
        }
        match self.rest.chars().next() {
            Some(' ' | '@' | '$') => self.skip(1),
            Some('[') => nodes.push(self.brackets()?),
            Some(quote @ ('"' | '\'')) => nodes.push(Node::Text(self.quoted(quote)?)),
            Some('.') => {
                self.skip(1);
                if !self.rest.starts_with('[') {
                    nodes.push(self.field());
                }
            }
            Some(c) if c.is_ascii_digit() || matches!(c, '+' | '-') => nodes.push(self.number()?),
            Some(c) => return Err(format!("unrecognized character in action: {c:?}")),
            None => {}
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn identifier(&mut self) -> &'t str {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        self.take(end)
    }

    /// `name` behind a dot; a backslash takes the next character as it is.
    fn field(&mut self) -> Node {
        let mut name = String::new();
        let mut escaped = false;
        let mut end = self.rest.len();
        for (at, c) in self.rest.char_indices() {
            match c {
                _ if escaped => {
                    name.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                ' ' | '\n' | '\r' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}' => {
                    end = at;
                    break;
                }
                _ => name.push(c),
            }
        }
        self.skip(end);
        if name == "*" { Node::Wildcard } else { Node::Field(name) }
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        self.skip(1);
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => {
                    let (_, next) = chars.next().ok_or("unterminated quoted string")?;
                    text.push(match next {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        '\\' | '"' | '\'' => next,
                        other => return Err(format!("invalid escape \\{other} in a quoted string")),
                    });
                }
                c if c == quote => {
                    self.skip(at + 1);
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err("unterminated quoted string".to_owned())
    }

    fn number(&mut self) -> Result<Node, String> {
        let tail = self.rest.get(1..).unwrap_or_default();
        let end = 1 + tail.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(tail.len());
        let text = self.take(end).trim_start_matches('+');
        let number = text.parse::<i64>().ok().map(Number::from);
        let number = number.or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64));
        number.map(|number| Node::Literal(Value::Number(number))).ok_or_else(|| format!("cannot parse number {text}"))
    }

    /// `[…]` that is no filter.
    fn brackets(&mut self) -> Result<Node, String> {
        let end = closing(self.rest, ']').ok_or("unterminated array")?;
        let text = self.take(end + 1);
        let inner = text.get(1..text.len() - 1).unwrap_or_default();
        let parts = split(inner);
        if parts.len() > 1 {
            let choices = parts.iter().map(|part| choice(part.trim()).map(|node| vec![node]));
            return choices.collect::<Result<_, _>>().map(Node::Union);
        }
        choice(inner)
    }

    /// `[?(LEFT OP RIGHT)]`
    fn filter(&mut self) -> Result<Node, String> {
        let inside = self.rest.get(2..).unwrap_or_default();
        let end = closing(inside, ')').ok_or("unterminated filter")?;
        let text = inside.get(1..end).unwrap_or_default();
        if !inside.get(end + 1..).is_some_and(|rest| rest.starts_with(']')) {
            return Err("unclosed array expect ]".to_owned());
        }
        self.skip(2 + end + 2);
        let depth = self.depth + 1;
        let Some((left, operator, right)) = comparison(text) else {
            return Ok(Node::Filter { left: Reader::path(text, depth)?, comparison: None });
        };
        let operator = match operator {
            "==" | "=" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            other => return Err(format!("unrecognized filter operator {other}")),
        };
        let (left, right) = (Reader::path(left, depth)?, Reader::path(right, depth)?);
        Ok(Node::Filter { left, comparison: Some((operator, right)) })
    }
}

/// One choice within brackets: `*`, `0`, `1:3`, `'name'`.
fn choice(text: &str) -> Result<Node, String> {
    let wrong = || format!("invalid array index {text}");
    if text == "*" {
        return Ok(Node::Slice(Slice::Range { start: None, end: None, step: None }));
    }
    for quote in ['\'', '"'] {
        if let Some(name) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return Ok(named(name));
        }
    }
    let number = |text: &str| match text {
        "" => Ok(None),
        text => text.parse::<i64>().map(Some).map_err(|_| wrong()),
    };
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [one] => one.parse().map(|index| Node::Slice(Slice::One(index))).map_err(|_| wrong()),
        [start, end] => Ok(Node::Slice(Slice::Range { start: number(start)?, end: number(end)?, step: None })),
        [start, end, step] => {
            Ok(Node::Slice(Slice::Range { start: number(start)?, end: number(end)?, step: number(step)? }))
        }
        _ => Err(wrong()),
    }
}

/// A quoted name. kubectl reads it as a path behind a dot, so that dots part
/// fields and escaped ones do not.
fn named(name: &str) -> Node {
    let mut reader = Reader { rest: name, depth: 0 };
    let mut nodes = vec![reader.field()];
    while !reader.rest.is_empty() {
        reader.skip(1);
        nodes.push(reader.field());
    }
    match nodes.len() {
        1 => nodes.remove(0),
        _ => Node::Path(nodes),
    }
}

/// Where the bracket that `text` begins with ends, quotes and inner ones skipped.
fn closing(text: &str, close: char) -> Option<usize> {
    let open = text.chars().next()?;
    let mut depth = 0_usize;
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, c) if c == open => depth += 1,
            (None, c) if c == close => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// The parts between commas that stand in no quotes.
fn split(text: &str) -> Vec<&str> {
    let mut quote = None;
    let parts = text.split(|c: char| {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, ',') => return true,
            _ => {}
        }
        false
    });
    parts.collect()
}

/// The sides of the first comparison that stands in no quotes and brackets.
fn comparison(text: &str) -> Option<(&str, &str, &str)> {
    let mut quote = None;
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => depth = depth.saturating_sub(1),
            (None, '=' | '!' | '<' | '>') if depth == 0 => {
                let (left, rest) = text.split_at(at);
                let end = rest.find(|c: char| !matches!(c, '=' | '!' | '<' | '>' | '~')).unwrap_or(rest.len());
                let (operator, right) = rest.split_at(end);
                return Some((left, operator, right));
            }
            _ => {}
        }
    }
    None
}
