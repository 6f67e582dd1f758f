//! Summaries of operations: the first sentence of what is said about each.

use utoipa::openapi::{OpenApi, path::Operation};

use super::operations;

/// Makes the first sentence of each operation's text its summary, and the rest its description. `utoipa` takes the
/// first line of the text, wherever it ends.
pub fn split(document: &mut OpenApi) {
    operations::all(document).for_each(split_of);
}

fn split_of(operation: &mut Operation) {
    let parts = [operation.summary.take(), operation.description.take()];
    let text: Vec<_> = parts.into_iter().flatten().collect();
    let text = text.join("\n");
    let (first, rest) = first_sentence(text.trim());
    operation.summary = Some(first);
    operation.description = (!rest.is_empty()).then(|| rest.to_owned());
}

/// The first sentence, in one line, and what follows it.
fn first_sentence(text: &str) -> (String, &str) {
    let ends = [". ", ".\n"].map(|end| text.find(end));
    let paragraph = text.find("\n\n").unwrap_or(text.len());
    let end = ends.into_iter().flatten().map(|dot| dot + 1).min();
    let end = end.unwrap_or(text.len()).min(paragraph);
    (text[..end].replace('\n', " "), text[end..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_ends_with_its_dot_or_its_paragraph() {
        for (text, first, rest) in [
            ("One.", "One.", ""),
            (
                "One of\ntwo lines. Next.\nLast.",
                "One of two lines.",
                "Next.\nLast.",
            ),
            ("At 1.5 of it.\nNext.", "At 1.5 of it.", "Next."),
            ("No dot\n\nNext.", "No dot", "Next."),
        ] {
            assert_eq!(first_sentence(text), (first.to_owned(), rest));
        }
    }
}
