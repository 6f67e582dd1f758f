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
}

impl Calls {
    /// Of the repository at `root`.
    pub fn read(root: &Path) -> Result<Self> {
        let mut calls = Self {
            mentions: HashMap::new(),
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
        let mut ranked: Vec<(usize, &String)> = tests
            .iter()
            .map(|test| (self.rank(test, site.error(), &target), test))
            .collect();
        ranked.sort_by_key(|&(rank, _)| rank);
        ranked.into_iter().map(|(_, test)| test.clone()).collect()
    }

    fn rank(&self, test: &str, error: Option<&str>, target: &str) -> usize {
        let name = test.rsplit("::").next().unwrap_or(test);
        let names_error = error.is_some_and(|error| {
            self.mentions
                .get(name)
                .is_some_and(|mentions| mentions.contains(error))
        });
        if names_error {
            return 0;
        }
        1 + self.distance(name, target)
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
        let mentions = self.mentions.entry(name).or_default();
        collect(body, mentions);
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
