//! Which tests to run first: those that name the error, then those that are fewest calls away from
//! the function in which a check is gone.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

use anyhow::Result;
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::{self, Visit};

use super::sites::Site;

/// Further calls away is as good as anywhere.
const FARTHEST: usize = 6;

/// What the functions of the program and of its tests mention, by name alone: functions of the same
/// name are one.
pub struct Calls {
    mentions: HashMap<String, HashSet<String>>,
    /// The errors that functions of the program give themselves.
    refusals: HashMap<String, HashSet<String>>,
}

impl Calls {
    /// Of the repository at `root`.
    pub fn read(root: &Path) -> Result<Self> {
        let mut calls = Self {
            mentions: HashMap::new(),
            refusals: HashMap::new(),
        };
        for folder in [super::SOURCE, "tests/src", "tests/tests", "sdk/src"] {
            for path in super::rust_files(&root.join(folder))? {
                calls.visit_file(&syn::parse_file(&fs::read_to_string(path)?)?);
            }
        }
        Ok(calls)
    }

    /// `tests`, those most likely to fail without `site` first.
    pub fn order(&self, site: &Site, tests: &[String]) -> Vec<String> {
        let target = match site.item.rsplit_once("::") {
            Some((_, function)) => function.to_owned(),
            None => snake_case(site.item.split('.').next().unwrap_or(&site.item)),
        };
        let errors = self.errors(site);
        let mut ranked: Vec<_> = tests
            .iter()
            .map(|test| {
                let name = test.rsplit("::").next().unwrap_or(test);
                let names_error = self
                    .mentions
                    .get(name)
                    .is_some_and(|mentions| errors.iter().any(|error| mentions.contains(error)));
                (!names_error, self.distance(name, &target), test)
            })
            .collect();
        ranked.sort_by_key(|&(no_error, distance, _)| (no_error, distance));
        ranked.into_iter().map(|(.., test)| test.clone()).collect()
    }

    /// The errors that a check gives: its own, or else those of the functions that it calls.
    fn errors(&self, site: &Site) -> Vec<String> {
        if let Some(error) = site.error() {
            return vec![error.to_owned()];
        }
        let words = site.text.split(|c: char| !c.is_alphanumeric() && c != '_');
        let called = words.filter(|word| word.starts_with(char::is_lowercase));
        called
            .filter_map(|word| self.refusals.get(word))
            .flatten()
            .cloned()
            .collect()
    }

    /// How many calls lie between the functions `from` and `to`.
    fn distance(&self, from: &str, to: &str) -> usize {
        let mut seen: HashSet<&str> = HashSet::from([from]);
        let mut reached = vec![from];
        for distance in 0..FARTHEST {
            if reached.contains(&to) {
                return distance;
            }
            let next = reached
                .iter()
                .filter_map(|name| self.mentions.get(*name))
                .flatten()
                .filter(|name| seen.insert(name))
                .map(String::as_str)
                .collect();
            reached = next;
        }
        FARTHEST
    }

    fn add(&mut self, name: String, body: TokenStream) {
        let text = body.to_string();
        let errors = text.split("DriftShieldError :: ").skip(1);
        let errors = errors.filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next());
        let refusals = self.refusals.entry(name.clone()).or_default();
        refusals.extend(errors.map(str::to_owned));
        collect(body, self.mentions.entry(name).or_default());
    }
}

impl<'ast> Visit<'ast> for Calls {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(item.sig.ident.to_string(), item.block.to_token_stream());
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        // Every type has one: it would connect everything with everything.
        if item.sig.ident != "new" {
            self.add(item.sig.ident.to_string(), item.block.to_token_stream());
        }
        visit::visit_impl_item_fn(self, item);
    }
}

fn collect(tokens: TokenStream, names: &mut HashSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                names.insert(name.to_string());
            }
            TokenTree::Group(group) => collect(group.stream(), names),
            _ => {}
        }
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
