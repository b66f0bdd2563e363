//! Makes text from files harmless: it can neither begin a line of its own nor control a terminal.

/// The text with control characters, and characters that break or reverse lines, as escapes.
pub fn escaped(text: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if is_harmful(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn nothing_breaks_a_line_or_steers_a_terminal() {
        assert_eq!(escaped("conv2d/3×3 \"é\" \\n"), "conv2d/3×3 \"é\" \\n");
        assert_eq!(escaped("a\n999 passed\r\t\u{1b}[2J"), "a\\n999 passed\\r\\t\\u{1b}[2J");
        assert_eq!(escaped("\u{9b}\u{7f}\u{2028}\u{202e}\u{2066}"), "\\u{9b}\\u{7f}\\u{2028}\\u{202e}\\u{2066}");
    }
}
