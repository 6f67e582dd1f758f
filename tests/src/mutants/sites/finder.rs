//! Visits the syntax tree of a file and collects its checks.

use std::ops::Range;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use sha2::{Digest, Sha256};
use syn::{
    Attribute, Expr, ExprIf, Field, GenericArgument, ImplItemFn, ItemFn, ItemImpl, ItemMod,
    ItemStruct, PathArguments, Stmt, Type,
    spanned::Spanned,
    visit::{self, Visit},
};

use super::{
    site::{Kind, Site},
    tokens::{arguments, joined, name_of, normalized, position},
};

pub struct Finder<'a> {
    file: &'a str,
    source: &'a str,
    /// The current item.
    item: String,
    /// The code of the current item, without comments.
    item_code: String,
    /// The fields of the last accounts struct.
    fields: Vec<String>,
    pub sites: Vec<Site>,
}

impl<'a> Finder<'a> {
    pub fn new(file: &'a str, source: &'a str) -> Self {
        Self {
            file,
            source,
            item: String::new(),
            item_code: String::new(),
            fields: Vec::new(),
            sites: Vec::new(),
        }
    }

    /// Adds a check of the current item.
    fn add(&mut self, kind: Kind, code: &dyn ToTokens, edits: Vec<(Range<usize>, String)>) {
        self.add_named(kind, self.item.clone(), code, edits);
    }

    fn add_named(
        &mut self,
        kind: Kind,
        item: String,
        code: &dyn ToTokens,
        edits: Vec<(Range<usize>, String)>,
    ) {
        let tokens = code.to_token_stream();
        let text = tokens.to_string().replace('\n', " ");
        let same = |site: &&Site| site.kind == kind && site.item == item && site.text == text;
        let ordinal = self.sites.iter().filter(same).count();
        let hashed = [
            self.file,
            &item,
            kind.name(),
            &text,
            &ordinal.to_string(),
            &self.item_code,
        ];
        let key = const_hex::encode(&Sha256::digest(hashed.join("\0"))[..6]);
        let (line, end_line) = (tokens.span().start().line, tokens.span().end().line);
        self.sites.push(Site {
            kind,
            file: self.file.into(),
            item,
            text,
            key,
            line,
            end_line,
            edits,
            library: None,
        });
    }

    /// Visits an item as the current one.
    fn visit_item_named(
        &mut self,
        name: String,
        tokens: &dyn ToTokens,
        visit: impl FnOnce(&mut Self),
    ) {
        let outer = (
            std::mem::replace(&mut self.item, name),
            std::mem::replace(&mut self.item_code, normalized(tokens)),
        );
        visit(self);
        (self.item, self.item_code) = outer;
    }

    /// Adds the checks of a field's `#[account(…)]`.
    fn account_attribute(&mut self, item: &str, attribute: &Attribute) {
        let Ok(list) = attribute.meta.require_list() else {
            return;
        };
        let arguments = arguments(list.tokens.clone());
        for (at, argument) in arguments.iter().enumerate() {
            let without = |others: &[usize]| {
                let removed = [&[at], others].concat();
                vec![(
                    list.tokens.span().byte_range(),
                    joined(&arguments, |at| !removed.contains(&at)),
                )]
            };
            let tokens = argument.iter().cloned().collect::<TokenStream>();
            if let Some(error) = argument.iter().position(
                |token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == '@'),
            ) {
                let error: TokenStream = argument[error..].iter().cloned().collect();
                let edits = vec![(error.span().byte_range(), String::new())];
                self.add_named(Kind::Error, item.into(), &error, edits);
            }
            let kind = match name_of(argument).as_str() {
                "address" => Kind::Address,
                "constraint" => Kind::Constraint,
                "seeds" => {
                    let bump = position(&arguments, "bump");
                    self.add_named(Kind::Seeds, item.into(), &tokens, without(&bump));
                    // The handler still needs the bump.
                    let bump = self.bump_replacement(item, argument);
                    self.sites.last_mut().expect("just added").library = bump;
                    continue;
                }
                "signer" => Kind::Signer,
                "token" => Kind::Token,
                "mint" => Kind::Mint,
                "mut" => {
                    // `unsafe(dup)` implies it.
                    let duplicates = position(&arguments, "unsafe");
                    self.add_named(Kind::Mut, item.into(), &tokens, without(&duplicates));
                    continue;
                }
                "close" => Kind::Close,
                _ => continue, // not a check: how an account is created
            };
            self.add_named(kind, item.into(), &tokens, without(&[]));
        }
    }

    /// The expression by which the handler reads the bump of `seeds`, and one that derives the bump instead.
    fn bump_replacement(&self, item: &str, seeds: &[TokenTree]) -> Option<(String, String)> {
        let (_, field) = item.split_once('.')?;
        let TokenTree::Group(list) = seeds.last()? else {
            return None;
        };
        let seeds: Vec<String> = arguments(list.stream())
            .iter()
            .map(|seed| {
                let mut text = String::new();
                for token in seed {
                    if self.fields.contains(&token.to_string()) {
                        text += "ctx.accounts.";
                    }
                    text += &token.to_string();
                }
                format!("({text}).as_ref()")
            })
            .collect();
        let seeds = seeds.join(", ");
        Some((
            format!("ctx.bumps.{field}"),
            format!("anchor_lang::find_program_address(&[{seeds}], &crate::ID).1"),
        ))
    }

    /// Adds the check of a field's type.
    fn account_type(&mut self, item: &str, field: &Field) {
        let Type::Path(path) = &field.ty else { return };
        let Some(last) = path.path.segments.last() else {
            return;
        };
        let whole = field.ty.span().byte_range();
        let is_created = field.attrs.iter().any(|attribute| {
            let list = attribute.meta.require_list();
            list.is_ok_and(|list| {
                let arguments = arguments(list.tokens.clone());
                arguments.iter().any(|argument| name_of(argument) == "init")
            })
        });
        let unchecked = vec![(whole, "UncheckedAccount".into())];
        match last.ident.to_string().as_str() {
            "Signer" => self.add_named(Kind::Signer, item.into(), &field.ty, unchecked),
            "Program" | "Interface" => {
                self.add_named(Kind::Type, item.into(), &field.ty, unchecked);
            }
            "Account" if !is_created => {
                let PathArguments::AngleBracketed(generics) = &last.arguments else {
                    return;
                };
                if let Some(GenericArgument::Type(of)) = generics.args.first() {
                    let of = of.span().byte_range();
                    let edits = vec![
                        (of.start..of.start, "crate::Unverified<".into()),
                        (of.end..of.end, ">".into()),
                    ];
                    self.add_named(Kind::Type, item.into(), &field.ty, edits);
                }
            }
            _ => {}
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if module.ident != "tests" {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        let derives_accounts = item.attrs.iter().any(|attribute| {
            attribute.path().is_ident("derive")
                && attribute.to_token_stream().to_string().contains("Accounts")
        });
        if !derives_accounts {
            return;
        }
        let names = item.fields.iter().filter_map(|field| field.ident.as_ref());
        self.fields = names.map(ToString::to_string).collect();
        self.visit_item_named(item.ident.to_string(), item, |finder| {
            for field in &item.fields {
                let Some(name) = &field.ident else { continue };
                let name = format!("{}.{name}", item.ident);
                for attribute in &field.attrs {
                    if attribute.path().is_ident("account") {
                        finder.account_attribute(&name, attribute);
                    }
                }
                finder.account_type(&name, field);
            }
        });
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let of = item.self_ty.to_token_stream().to_string();
        let outer = std::mem::replace(&mut self.item, of);
        visit::visit_item_impl(self, item);
        self.item = outer;
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        let name = format!("{}::{}", self.item, item.sig.ident);
        self.visit_item_named(name, item, |finder| {
            visit::visit_impl_item_fn(finder, item);
        });
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.visit_item_named(item.sig.ident.to_string(), item, |finder| {
            visit::visit_item_fn(finder, item);
        });
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        let only_checks = match statement {
            Stmt::Macro(call) => call
                .mac
                .path
                .get_ident()
                .is_some_and(|name| name.to_string().starts_with("require")),
            Stmt::Expr(Expr::Try(tried), Some(_)) => is_check(&tried.expr),
            _ => false,
        };
        match statement {
            _ if only_checks => {
                let edits = vec![(statement.span().byte_range(), String::new())];
                self.add(Kind::Require, statement, edits);
            }
            Stmt::Expr(last, None) if is_check(last) => {
                let edits = vec![(last.span().byte_range(), "Ok(())".into())];
                self.add(Kind::Require, last, edits);
            }
            Stmt::Expr(Expr::If(condition), _) if only_refuses(&condition.then_branch.stmts) => {
                let edits = vec![(statement.span().byte_range(), String::new())];
                self.add(Kind::Return, statement, edits);
            }
            _ => {}
        }
        visit::visit_stmt(self, statement);
    }

    fn visit_expr_if(&mut self, condition: &'ast ExprIf) {
        if let Some((_, otherwise)) = &condition.else_branch
            && let Expr::Block(block) = &**otherwise
            && only_refuses(&block.block.stmts)
        {
            // The `then` branch runs in both cases.
            let case = &self.source[condition.then_branch.span().byte_range()];
            let edits = vec![(otherwise.span().byte_range(), case.to_owned())];
            self.add(Kind::Return, otherwise, edits);
        }
        visit::visit_expr_if(self, condition);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let method = call.method.to_string();
        if let Some(operation) = method.strip_prefix("checked_") {
            let whole = call.span().byte_range();
            let edits = vec![
                (whole.start..whole.start, "Some(".into()),
                (
                    call.method.span().byte_range(),
                    format!("wrapping_{operation}"),
                ),
                (whole.end..whole.end, ")".into()),
            ];
            self.add(Kind::Checked, call, edits);
        }
        visit::visit_expr_method_call(self, call);
    }
}

/// Whether an expression is a call that only checks something.
fn is_check(expression: &Expr) -> bool {
    let name = match expression {
        Expr::MethodCall(call) if call.method == "map_err" => return is_check(&call.receiver),
        Expr::MethodCall(call) => call.method.to_string(),
        Expr::Call(call) => match &*call.func {
            Expr::Path(path) => path
                .path
                .segments
                .last()
                .map(|last| last.ident.to_string())
                .unwrap_or_default(),
            _ => return false,
        },
        _ => return false,
    };
    name.starts_with("require_")
        || ["validate", "invariant", "find_and_verify_program_address"].contains(&&*name)
}

/// Whether the statements are only `return Err(…);` or `return None;`.
fn only_refuses(statements: &[Stmt]) -> bool {
    let [Stmt::Expr(Expr::Return(returned), _)] = statements else {
        return false;
    };
    returned.expr.as_ref().is_some_and(|value| {
        let value = value.to_token_stream().to_string();
        value.starts_with("Err") || value == "None"
    })
}
