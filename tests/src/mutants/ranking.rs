//! Ranks tests by how likely they are to kill a mutant: first those that name the error of the removed check,
//! then those that call a function that names it. Among these, those that are the fewest calls away from the
//! mutated function come first.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

use anyhow::Result;
use heck::ToSnakeCase;
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::{self, Visit};

use super::sites::Site;

/// The modules of tests that take long: they run after the others at the same distance to an error.
const LONG_TESTS: [&str; 5] = [
    "attacks::economics::",
    "harmlessness::",
    "liveness::",
    "motives::",
    "property::",
];
/// Maximum number of calls to follow.
const MAX_DISTANCE: usize = 6;

/// An approximate call graph of the program and its tests. Functions are identified by their name alone:
/// those of the same name are merged.
pub struct CallGraph {
    /// The identifiers in each function.
    mentions: HashMap<String, HashSet<String>>,
    /// The program's errors that each function names.
    errors: HashMap<String, HashSet<String>>,
}

impl CallGraph {
    /// Reads the sources of the repository at `root`.
    pub fn read(root: &Path) -> Result<Self> {
        let mut graph = Self {
            mentions: HashMap::new(),
            errors: HashMap::new(),
        };
        let program = super::SOURCES.map(|(folder, _)| folder);
        for folder in program
            .into_iter()
            .chain(["tests/src", "tests/tests", "sdk/src"])
        {
            for path in super::rust_files(&root.join(folder))? {
                graph.visit_file(&syn::parse_file(&fs::read_to_string(path)?)?);
            }
        }
        Ok(graph)
    }

    /// `tests`, sorted by how likely they are to kill the mutant of `site`, the likeliest first.
    pub fn rank(&self, site: &Site, tests: &[String]) -> Vec<String> {
        // The handler of an account struct has its name in snake case.
        let target = match site.item.rsplit_once("::") {
            Some((_, function)) => function.to_owned(),
            None => site
                .item
                .split('.')
                .next()
                .unwrap_or_default()
                .to_snake_case(),
        };
        let errors = self.errors_of(site);
        let mut ranked: Vec<_> = tests
            .iter()
            .map(|test| {
                let name = test.rsplit("::").next().unwrap_or(test);
                let to_error = self.distance_to_error(name, &errors);
                let is_long = LONG_TESTS.iter().any(|module| test.starts_with(module));
                ((to_error, is_long, self.distance(name, &target)), test)
            })
            .collect();
        ranked.sort_by_key(|&(rank, _)| rank);
        ranked.into_iter().map(|(.., test)| test.clone()).collect()
    }

    /// The errors that a check may return: its own, or those of the functions that it calls.
    fn errors_of(&self, site: &Site) -> Vec<String> {
        if let Some(error) = site.error() {
            return vec![error.to_owned()];
        }
        let words = site.text.split(|c: char| !c.is_alphanumeric() && c != '_');
        let called = words.filter(|word| word.starts_with(char::is_lowercase));
        called
            .filter_map(|word| self.errors.get(word))
            .flatten()
            .cloned()
            .collect()
    }

    /// 0 if the function names one of the errors, 1 if a function that it calls does, otherwise 2.
    fn distance_to_error(&self, function: &str, errors: &[String]) -> usize {
        let Some(mentions) = self.mentions.get(function) else {
            return 2;
        };
        let names_error =
            |named: &HashSet<String>| errors.iter().any(|error| named.contains(error));
        if names_error(mentions) {
            return 0;
        }
        let mut called = mentions.iter().filter_map(|name| self.errors.get(name));
        if called.any(names_error) { 1 } else { 2 }
    }

    /// The number of calls from the function `from` to `to`, at most [`MAX_DISTANCE`].
    fn distance(&self, from: &str, to: &str) -> usize {
        let mut seen: HashSet<&str> = HashSet::from([from]);
        let mut reached = vec![from];
        for distance in 0..MAX_DISTANCE {
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
        MAX_DISTANCE
    }

    fn add(&mut self, name: String, body: TokenStream) {
        let text = body.to_string();
        let errors = text.split("DriftShieldError :: ").skip(1);
        let errors = errors.filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next());
        let named = self.errors.entry(name.clone()).or_default();
        named.extend(errors.map(str::to_owned));
        collect_identifiers(body, self.mentions.entry(name).or_default());
    }
}

impl<'ast> Visit<'ast> for CallGraph {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(item.sig.ident.to_string(), item.block.to_token_stream());
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        // Every type has a `new`, which would connect all functions with each other.
        if item.sig.ident != "new" {
            self.add(item.sig.ident.to_string(), item.block.to_token_stream());
        }
        visit::visit_impl_item_fn(self, item);
    }
}

fn collect_identifiers(tokens: TokenStream, names: &mut HashSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                names.insert(name.to_string());
            }
            TokenTree::Group(group) => collect_identifiers(group.stream(), names),
            _ => {}
        }
    }
}
