//! Helpers for `proc_macro2` token streams.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::ToTokens;

/// An item's tokens as text, without its `doc` attributes.
pub fn normalized(item: &dyn ToTokens) -> String {
    without_docs(item.to_token_stream()).to_string()
}

fn without_docs(tokens: TokenStream) -> TokenStream {
    let mut left = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let is_doc = matches!(
                    group.stream().into_iter().next(),
                    Some(TokenTree::Ident(name)) if name == "doc"
                );
                if is_doc && is_punct(left.last(), '#') {
                    left.pop();
                    continue;
                }
                if is_doc && is_punct(left.last(), '!') {
                    left.truncate(left.len() - 2); // `#!`
                    continue;
                }
                let inner = without_docs(group.stream());
                left.push(Group::new(group.delimiter(), inner).into());
            }
            other => left.push(other),
        }
    }
    left.into_iter().collect()
}

fn is_punct(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

/// The arguments of an attribute: its tokens, split at commas.
pub fn arguments(tokens: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut arguments = vec![Vec::new()];
    for token in tokens {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == ',' => arguments.push(Vec::new()),
            _ => arguments.last_mut().expect("never empty").push(token),
        }
    }
    arguments.retain(|argument| !argument.is_empty());
    arguments
}

/// The first token of an argument if that is an identifier, otherwise empty.
pub fn name_of(argument: &[TokenTree]) -> String {
    match argument.first() {
        Some(TokenTree::Ident(name)) => name.to_string(),
        _ => String::new(),
    }
}

/// The index of the argument with this name, if there is one.
pub fn position(arguments: &[Vec<TokenTree>], name: &str) -> Vec<usize> {
    let position = arguments.iter().position(|other| name_of(other) == name);
    position.into_iter().collect()
}

/// The arguments for whose index `is_kept` is true, joined by commas.
pub fn joined(arguments: &[Vec<TokenTree>], is_kept: impl Fn(usize) -> bool) -> String {
    let kept = arguments
        .iter()
        .enumerate()
        .filter(|&(at, _)| is_kept(at))
        .map(|(_, argument)| {
            argument
                .iter()
                .cloned()
                .collect::<TokenStream>()
                .to_string()
        });
    kept.collect::<Vec<_>>().join(", ")
}
